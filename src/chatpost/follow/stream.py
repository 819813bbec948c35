"""A stream's lines: collected while the space is busy, and taken for a reply when it is free."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from chatpost.chat.message import SIZE_LIMIT
from chatpost.concurrency import SelectableEvent, start_without_signals
from chatpost.content.decoding import Decoder
from chatpost.content.markup import escape_mentions, without_fences
from chatpost.content.split import split
from chatpost.content.terminal import screen_text

REPLY_LIMIT = SIZE_LIMIT - 100
"""Bytes of lines in one reply, without its fence and language."""

BUFFER_LIMIT = 1024 * 1024
"""Bytes of lines that can wait. When there are more, nothing is read, and so the writer is slowed down."""

_LONGEST_LINE = 256 * 1024  # bytes after which a line that has not ended is cut


class Lines:
    """Lines on their way from the thread that reads them to the thread that posts them.

    Every line that was added stays until it is taken. ``clock`` is monotonic, in seconds. ``size`` is the number of
    bytes that wait; ``has_ended``: no more lines come.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: deque[str] = deque()
        self._visible = 0
        self.size = 0
        self.has_ended = False
        # Its lock is reentrant, so that a signal's handler can use it at any point.
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """The number of lines that are waiting now."""
        return len(self._lines)

    def put(self, lines: Sequence[str]) -> None:
        """Add lines at the end."""
        with self._changed:
            self._lines.extend(lines)
            self._count(lines, 1)
            self._changed.notify_all()

    def put_back(self, lines: Sequence[str]) -> None:
        """Put lines that were taken back at the beginning, in their order."""
        with self._changed:
            self._lines.extendleft(reversed(lines))
            self._count(lines, 1)

    def end(self) -> None:
        """Say that no more lines come."""
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()

    def wait_for_room(self, is_wanted: Callable[[], bool]) -> None:
        """Block the reader while too much is waiting, as long as it is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self.size <= BUFFER_LIMIT or not is_wanted())

    def wake(self) -> None:
        """Wake all waiting threads."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_end(self, seconds: float) -> None:
        """Wait for the end of the stream, at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_ended, seconds)

    def drop(self) -> int:
        """Drop all lines that wait; return how many."""
        with self._changed:
            dropped = len(self._lines)
            self._lines.clear()
            self.size = self._visible = 0
            self._changed.notify_all()
        return dropped

    def wait(self, not_before: float) -> bool:
        """Wait for a reply's worth of lines; return False if there is nothing to see and no more comes.

        Before the time ``not_before`` of the clock, only a full reply or the end of the stream is worth one.
        """
        with self._changed:
            while True:
                now = self._clock()
                if self._visible and (self.has_ended or now >= not_before or self.size >= REPLY_LIMIT):
                    return True
                if self.has_ended:
                    return False
                self._changed.wait(max(0.0, not_before - now) if self._visible else None)

    def take(self) -> list[str]:
        """Take as many lines as fit into a reply, at least one."""
        taken: list[str] = []
        room = REPLY_LIMIT
        with self._changed:
            while self._lines and (not taken or _size(self._lines[0]) <= room):
                taken.append(self._lines.popleft())
                room -= _size(taken[-1])
            self._count(taken, -1)
            self._changed.notify_all()
        return taken

    def _count(self, lines: Sequence[str], sign: int) -> None:
        self.size += sign * sum(map(_size, lines))
        self._visible += sign * sum(bool(line.strip()) for line in lines)


def _size(line: str) -> int:
    return len(line.encode()) + 1


class LineMaker:
    """Makes lines of bytes, as a terminal would show them, and adds them to ``lines``.

    ``is_markdown``: the lines will stand in a fence of Markdown's, not of Chat's. ``begun`` is the line that has not
    ended yet.
    """

    def __init__(self, lines: Lines, *, is_markdown: bool, mask: Callable[[str], str] = lambda line: line) -> None:
        """``mask`` takes secrets out of a line."""
        self.lines = lines
        self.decoder = Decoder()
        self.begun = ""
        self._mask = mask
        # A run of more backticks would need a fence that has no room beside REPLY_LIMIT.
        self._longest_run = 20 if is_markdown else 2

    def add(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Add the bytes that come next."""
        *whole, self.begun = (self.begun + self.decoder.decode(chunk, final=is_last)).split("\n")
        if self.begun and (is_last or len(self.begun) > _LONGEST_LINE):
            whole.append(self.begun)
            self.begun = ""
        self.lines.put([piece for line in whole for piece in self._clean(line)])

    def end(self) -> None:
        """End the last line: nothing more comes."""
        self.add(b"", is_last=True)

    def _clean(self, raw: str) -> list[str]:
        """Return a line as a terminal would show it, in pieces if it is longer than a reply."""
        shown = self._mask(screen_text(raw))
        clean = without_fences(escape_mentions(shown), self._longest_run)
        return list(split(clean, REPLY_LIMIT - 1)) if clean.strip() else [""]


class Reader:
    """Reads a file descriptor into lines, in a thread of its own, to its end. ``tee`` gets every byte that is read.

    Once ``stopped`` is set and the lines are woken, it reads no more than the rest of the line that was begun, if it
    is there already. ``discarded`` counts the lines that were read and not kept.
    """

    def __init__(self, source: int, maker: LineMaker, tee: Callable[[bytes], None], stopped: SelectableEvent) -> None:
        self._source = source
        self._maker = maker
        self._tee = tee
        self._is_discarding = False
        self._stopped = stopped
        self.discarded = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        start_without_signals(self._thread)

    @property
    def had_bad_bytes(self) -> bool:
        """Whether bytes that are not text became U+FFFD."""
        return self._maker.decoder.had_bad_bytes

    def discard(self) -> None:
        """From now on read without keeping anything, so that the writer is not disturbed; wait for the end."""
        self._is_discarding = True
        self._maker.lines.wake()
        self._thread.join()

    def _run(self) -> None:
        try:
            for chunk in self._chunks():
                if self._is_discarding:
                    self.discarded += chunk.count(b"\n")
                    self._maker.begun = "" if chunk.endswith(b"\n") else "what it holds does not matter"
                else:
                    self._maker.add(chunk)
                self._tee(chunk)
                self._maker.lines.wait_for_room(lambda: not self._is_discarding and not self._stopped.is_set)
            if self._is_discarding:
                self.discarded += bool(self._maker.begun)
            else:
                self._maker.end()
        finally:
            self._maker.lines.end()

    def _chunks(self) -> Iterator[bytes]:
        while not self._stopped.is_set:
            readable, _, _ = select.select([self._source, self._stopped.fileno()], [], [])
            if self._source in readable:
                chunk = self._read(64 * 1024)
                if chunk == b"":
                    return
                if chunk is not None:
                    yield chunk
        # The beginning of a number would be another number, so the line is read to its end if that is there.
        rest = bytearray()
        while self._maker.begun and not rest.endswith(b"\n") and len(rest) < _LONGEST_LINE:
            is_readable, _, _ = select.select([self._source], [], [], 0)
            byte = self._read(1) if is_readable else None
            if not byte:
                break
            rest += byte
        if rest:
            yield bytes(rest)

    def _read(self, size: int) -> bytes | None:
        """Read what is there; None if another process has read it first."""
        try:
            return os.read(self._source, size)
        except BlockingIOError:
            return None
        except OSError:
            return b""
