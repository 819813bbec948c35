"""A real redis-server for tests. It listens on a Unix socket in a temporary folder, so it needs no port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from redis.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from chatpost.redis_client import RedisClient
from tests.tools import need

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from types import TracebackType

TIMEOUT = 30.0
"""Timeout in seconds for an answer; long enough for a busy machine."""


def ask(kind: Any, place: Mapping[str, Any], *words: str | float) -> Any:
    """Return a server's raw answer to a command. ``kind`` is a redis-py connection class."""
    connection = kind(**place, socket_timeout=TIMEOUT, protocol=2)
    try:
        connection.connect()
        connection.send_command(*words)
        return connection.read_response()
    finally:
        connection.disconnect()


class RedisProcess:
    """A redis-server without persistence, as a context manager.

    ``options`` are command-line options of redis-server.
    """

    def __init__(self, *options: str) -> None:
        self._program = need("redis-server")
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")  # a socket path has a length limit
        self.socket = Path(self._folder.name, "s")
        self._process: subprocess.Popen[bytes] | None = None

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
        """Return the URL of the server's socket."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ("--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", self._folder.name)
        self._process = subprocess.Popen([self._program, *options, *self._options], stdout=subprocess.DEVNULL)
        while True:
            try:
                self.call("PING")
            except RedisConnectionError:
                assert self._process.poll() is None, "redis-server does not start"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """Kill the server with SIGKILL; its data is lost."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def call(self, *words: str | float) -> Any:
        """Return the server's answer to a command."""
        return ask(UnixDomainSocketConnection, {"path": str(self.socket)}, *words)

    def client(self) -> RedisClient:
        """Return a client connected to the server."""
        return RedisClient(self.url, TIMEOUT)


@contextmanager
def forwarded(target: Path, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Forward a loopback port to a Unix socket, optionally behind TLS. Yield the port."""

    def forward(connection: socket.socket) -> None:
        with suppress(OSError), ExitStack() as opened:
            outer = opened.enter_context(tls.wrap_socket(connection, server_side=True) if tls else connection)
            inner = opened.enter_context(socket.socket(socket.AF_UNIX))
            inner.connect(str(target))
            back = threading.Thread(target=_pass_on, args=(inner, outer), daemon=True)
            back.start()
            _pass_on(outer, inner)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=forward, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class PortProcess:
    """A redis-server on a free loopback port, with a writable config file, as a context manager.

    Clusters and Sentinel address each other by port, so they cannot use a Unix socket.
    """

    def __init__(self, *options: str, config: str = "") -> None:
        self._program = need("redis-server")
        self._options = options
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        while not self._starts():
            pass  # another process has taken the port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _starts(self) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        file = Path(self._folder.name, "redis.conf")
        file.write_text(f'port {self.port}\nbind 127.0.0.1\nsave ""\ndir {self._folder.name}\n{self._config}')
        self._process = subprocess.Popen([self._program, file, *self._options], stdout=subprocess.DEVNULL)
        while self._process.poll() is None:
            try:
                self.call("PING")
            except RedisConnectionError:
                time.sleep(0.01)
            else:
                return True
        return False

    def call(self, *words: str | float) -> Any:
        """Return the server's answer to a command."""
        return ask(Connection, {"port": self.port}, *words)
