"""Passes on what comes from a pipe, as it comes."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINGER = 2.0
"""Seconds after the command's end for what comes from a process that it left behind with the pipe open."""

_CHUNK = 64 * 1024


class Pump(threading.Thread):
    """Reads a pipe to its end, and writes what it reads to ``target``, a file descriptor of ours.

    ``copy`` gets every chunk. ``command_end`` is a pipe that is closed when the command has ended. The rest in the pipe
    then is still passed on, and what comes within `LINGER`. ``on_end`` is called when all is done.

    If ours cannot be written, the pipe is closed, so that the command learns it as it would without us. ``failure`` is
    the reason, for a person, unless it is that nobody reads any more.
    """

    def __init__(
        self, source: int, target: int, copy: Callable[[bytes], None], command_end: int, on_end: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True)
        self._source = source
        self.target = target
        self._copy = copy
        self._command_end = command_end
        self._on_end = on_end
        self.failure: str | None = None
        self.is_done = False

    def run(self) -> None:
        """Pass on until the end."""
        try:
            for chunk in self._chunks():
                self._copy(chunk)
                self._write(chunk)
        except BrokenPipeError:
            pass
        except OSError as failure:
            self.failure = os.strerror(failure.errno or 0).lower()
        finally:
            os.close(self._source)
            self.is_done = True
            self._on_end()

    def _chunks(self) -> Iterator[bytes]:
        ready = select.poll()
        ready.register(self._source, select.POLLIN)
        ready.register(self._command_end, select.POLLIN)
        until, owed = inf, 0
        while True:
            rest = None if until == inf else max(0.0, until - time.monotonic()) * 1000
            readable = [descriptor for descriptor, _ in ready.poll(rest)]
            if self._command_end in readable:
                ready.unregister(self._command_end)
                until, owed = time.monotonic() + LINGER, _bytes_in(self._source)
                continue
            if owed <= 0 and (not readable or time.monotonic() > until):
                return
            chunk = os.read(self._source, _CHUNK)
            if not chunk:
                return
            owed -= len(chunk)
            yield chunk

    def _write(self, chunk: bytes) -> None:
        while chunk:
            try:
                chunk = chunk[os.write(self.target, chunk) :]
            except BlockingIOError:  # another process has made it non-blocking
                select.select([], [self.target], [])


def _bytes_in(pipe: int) -> int:
    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return size
