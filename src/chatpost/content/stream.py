"""Turns a stream into replies: lines are collected while the space is busy, and posted when it is free."""

from __future__ import annotations

import codecs
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import SIZE_LIMIT
from chatpost.content.markup import unfenceable
from chatpost.content.split import split
from chatpost.content.terminal import screen_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPLY_LIMIT = SIZE_LIMIT - 100
"""Bytes of lines in one reply, without its fence and language."""

BUFFER_LIMIT = 1024 * 1024
"""Bytes of lines that can wait. Beyond it, the writer is slowed down."""

LONGEST_LINE = 256 * 1024
"""Bytes after which a line that has not ended is cut."""

_CHUNK = 64 * 1024


class Waiting(NamedTuple):
    """How many lines, and how many bytes, wait to be posted."""

    lines: int
    size: int


class Lines:
    """Lines on their way from the thread that reads them to the thread that posts them."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0
        self._is_closed = False
        self.begun = ""
        """The beginning of a line that has not ended."""
        # Its lock is reentrant, so that a signal's handler can close it at any point.
        self._changed = threading.Condition()

    @property
    def waiting(self) -> Waiting:
        """The lines that are waiting now."""
        return Waiting(len(self._lines), self._size)

    def put(self, raw: str) -> None:
        """Add a line, as a terminal would show it. Blocks while too much is waiting; drops the line after the end."""
        for line in _clean(raw):
            with self._changed:
                while self._size + _size(line) > BUFFER_LIMIT and self._lines and not self._is_closed:
                    self._changed.wait()
                if not self._is_closed:
                    self._push(line)

    def close(self) -> None:
        """Say that no more lines come. The line that was begun is the last."""
        with self._changed:
            if not self._is_closed and self.begun:
                for line in _clean(self.begun):
                    self._push(line)
            self._is_closed = True
            self._changed.notify_all()

    def _push(self, line: str) -> None:
        self._lines.append(line)
        self._size += _size(line)
        self._changed.notify_all()

    def wait(self) -> bool:
        """Wait for a line; return False if there is none and no more will come."""
        with self._changed:
            while not self._lines and not self._is_closed:
                self._changed.wait()
            return bool(self._lines)

    def take(self) -> str:
        """Take as many lines as fit into a reply, at least one."""
        with self._changed:
            taken = [self._pop()]
            room = REPLY_LIMIT - _size(taken[0])
            while self._lines and _size(self._lines[0]) <= room:
                room -= _size(self._lines[0])
                taken.append(self._pop())
            self._changed.notify_all()
        return "\n".join(taken)

    def _pop(self) -> str:
        line = self._lines.popleft()
        self._size -= _size(line)
        return line


def _size(line: str) -> int:
    return len(line.encode()) + 1


def read_lines(source: int, lines: Lines, tee: Callable[[bytes], None]) -> None:
    """Read a file descriptor to its end into the lines, then close them; ``tee`` gets every byte that is read."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        for chunk in _chunks(source):
            *whole, begun = (lines.begun + decoder.decode(chunk)).split("\n")
            if len(begun) > LONGEST_LINE:
                whole, begun = [*whole, begun], ""
            lines.begun = begun
            for line in whole:
                lines.put(line)
            tee(chunk)
        lines.begun += decoder.decode(b"", final=True)
    finally:
        lines.close()


def _chunks(source: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(source, _CHUNK)
        except BlockingIOError:
            select.select([source], [], [])
            continue
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def _clean(raw: str) -> list[str]:
    """Return a line as a terminal would show it, in pieces if it is longer than a reply."""
    clean = unfenceable(screen_text(raw.removesuffix("\r")), allow_mentions=False)
    return list(split(clean, REPLY_LIMIT - 1)) if clean.strip() else [""]
