"""The output of a job: its streams are passed on as they come, and become one, of which the end is kept."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from chatpost.errors import system_reason

TAIL_LIMIT = 256 * 1024
"""Bytes of the end of the output that are kept. Escape sequences in it may take most."""

LINGER = 2.0
"""Seconds after the command's end for what comes from a process that it left behind with the pipe open."""

_LONGEST_LINE = 64 * 1024  # a longer one is taken as it comes
_CHUNK = 64 * 1024


class Output:
    """The output of a job, whose streams are read by several threads.

    ``listener`` is given it in whole lines, in the order in which the lines were finished; it must not block.
    """

    def __init__(self, listener: Callable[[bytes], None] = lambda _: None) -> None:
        self._listener = listener
        self._begun: dict[int, bytes] = {}
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._lines_dropped = 0
        self._is_cut = False
        self._lock = threading.Lock()

    def add(self, stream: int, chunk: bytes) -> None:
        """Add what a stream, by its number, has brought."""
        with self._lock:
            begun = self._begun.pop(stream, b"") + chunk
            end = len(begun) if len(begun) > _LONGEST_LINE else 0
            end = begun.rfind(b"\n") + 1 or end
            if end < len(begun):
                self._begun[stream] = begun[end:]
            if end:
                self._take(begun[:end])

    def end(self) -> None:
        """Take the lines that were begun and not ended: nothing more comes."""
        with self._lock:
            begun, self._begun = self._begun, {}
            if begun:
                self._take(b"\n".join(begun.values()))

    @property
    def tail(self) -> bytes:
        """The end, from the beginning of a line if possible."""
        with self._lock:
            kept = b"".join(self._pieces)
        return kept[kept.find(b"\n") + 1 :] or kept if self._is_cut else kept

    @property
    def lines_before(self) -> int:
        """The number of lines before the tail."""
        return self._lines_dropped + self._is_cut

    def _take(self, piece: bytes) -> None:
        self._listener(piece)
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= TAIL_LIMIT:
            first = self._pieces.popleft()
            self._size -= len(first)
            self._lines_dropped += first.count(b"\n")
            self._is_cut = not first.endswith(b"\n")


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
        self._target = target
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
            self.failure = system_reason(failure)
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
                chunk = chunk[os.write(self._target, chunk) :]
            except BlockingIOError:  # another process has made it non-blocking
                select.select([], [self._target], [])


def _bytes_in(pipe: int) -> int:
    size: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return size
