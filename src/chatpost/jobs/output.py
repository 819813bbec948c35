"""The output of a job: passed through as it arrives, with the end of all streams kept in memory."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from math import inf

from chatpost.errors import system_reason

_TAIL_LIMIT = 256 * 1024  # bytes to keep of the end of the output, including escape sequences
_LINGER = 2.0  # seconds after the end of the job in which the output of its background processes is still read
_LONGEST_LINE = 64 * 1024  # bytes after which an unfinished line is not held back
_CHUNK = 64 * 1024


class Output:
    """The output of a job. Thread-safe.

    ``listener`` is called with whole lines, in the order in which the job finished them; it must not block.
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
        """Add a chunk of a stream."""
        with self._lock:
            begun = self._begun.pop(stream, b"") + chunk
            end = begun.rfind(b"\n") + 1 or (len(begun) if len(begun) > _LONGEST_LINE else 0)
            if end < len(begun):
                self._begun[stream] = begun[end:]
            if end:
                self._take(begun[:end])

    def end(self) -> None:
        """Add the unfinished lines: the streams have ended."""
        with self._lock:
            begun, self._begun = self._begun, {}
            if begun:
                self._take(b"\n".join(begun.values()))

    @property
    def tail(self) -> bytes:
        """The end of the output, from the beginning of a line if possible."""
        with self._lock:
            kept = b"".join(self._pieces)
        return kept[kept.find(b"\n") + 1 :] or kept if self._is_cut else kept

    @property
    def lines_before(self) -> int:
        """Number of lines before the tail."""
        return self._lines_dropped + self._is_cut

    def _take(self, piece: bytes) -> None:
        self._listener(piece)
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= _TAIL_LIMIT:
            first = self._pieces.popleft()
            self._size -= len(first)
            self._lines_dropped += first.count(b"\n")
            self._is_cut = not first.endswith(b"\n")


class Pump(threading.Thread):
    """Copies a pipe to the file descriptor ``target``, and calls ``copy`` with each chunk, and ``on_end`` at the end.

    ``command_end`` is a pipe that is closed when the command has ended; then the rest of the pipe is copied, and new
    output for `_LINGER` seconds.

    If the target cannot be written, the pipe is closed, so that the command gets the error, too. ``failure`` is the
    reason, unless the target's reader has closed it.
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
        """Copy to the end."""
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
                size = fcntl.ioctl(self._source, termios.FIONREAD, b"\0" * 4)
                until, owed = time.monotonic() + _LINGER, int.from_bytes(size, sys.byteorder)
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
