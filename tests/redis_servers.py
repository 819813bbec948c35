"""A real redis-server for tests, on a Unix socket in a folder of its own, so that it needs no port."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from chatpost.delivery.redis_connection import RedisConnection
from chatpost.delivery.redis_server import RedisServer
from chatpost.delivery.store_url import StoreUrl
from tests.tools import need

if TYPE_CHECKING:
    from types import TracebackType


class RedisProcess:
    """A redis-server without persistence; a context manager. ``options`` are those of its command line."""

    def __init__(self, *options: str) -> None:
        self._program = need("redis-server")
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")  # the path of a socket has to be short
        self.socket = Path(self._folder.name, "s")
        self._process: subprocess.Popen[bytes] | None = None
        self._server = RedisServer(StoreUrl.parse(self.url), 30)  # time enough for a busy machine

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The URL of its socket."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ("--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", self._folder.name)
        self._process = subprocess.Popen([self._program, *options, *self._options], stdout=subprocess.DEVNULL)
        while True:
            try:
                connection = RedisConnection(StoreUrl.parse(self.url), 10)
            except OSError:
                assert self._process.poll() is None, "redis-server does not start"
                time.sleep(0.01)
            else:
                connection.close()
                return

    def kill(self) -> None:
        """Kill it at once; what it kept is lost."""
        self._server.close()
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def call(self, *words: str | float) -> Any:
        """Return its answer to a command."""
        return self._server.call(*words)

    def server(self) -> RedisServer:
        """Return it as a store sees it."""
        return self._server
