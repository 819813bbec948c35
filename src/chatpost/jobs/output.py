"""The output of a job: its streams become one, in whole lines, of which the end is kept."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL_LIMIT = 256 * 1024
"""Bytes of the end of the output that are kept. Escape sequences in it may take most."""

_LONGEST_LINE = 64 * 1024  # a longer one is taken as it comes


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
