"""The lines of a stream: read and buffered until a reply takes them."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from chatpost.chat.message import SIZE_LIMIT
from chatpost.concurrency import LONGEST_WAIT, SelectableEvent, join, start_without_signals
from chatpost.content.decoding import Decoder
from chatpost.content.markup import escape_mentions, without_fences
from chatpost.content.split import split
from chatpost.content.terminal import screen_text

REPLY_LIMIT = SIZE_LIMIT - 100
"""Maximum bytes of lines in one reply, without its fence and language."""

BUFFER_LIMIT = 1024 * 1024
"""Bytes of buffered lines above which the reader pauses, which blocks the writer."""

_LONGEST_LINE = 256 * 1024  # bytes after which an unfinished line is cut


class Lines:
    """A buffer of lines between the thread that reads them and the thread that posts them.

    ``clock`` is monotonic, in seconds. ``size`` is the number of buffered bytes; ``has_ended``: the stream has ended.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: deque[str] = deque()
        self._visible = 0
        self.size = 0
        self.has_ended = False
        # Its lock is reentrant, so a signal handler can use it at any time.
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Number of buffered lines."""
        return len(self._lines)

    def put(self, lines: Sequence[str]) -> None:
        """Add lines at the end."""
        with self._changed:
            self._lines.extend(lines)
            self._count(lines, 1)
            self._changed.notify_all()

    def put_back(self, lines: Sequence[str]) -> None:
        """Put taken lines back at the beginning, in their order."""
        with self._changed:
            self._lines.extendleft(reversed(lines))
            self._count(lines, 1)

    def end(self) -> None:
        """Mark the stream as ended."""
        self.has_ended = True
        self.wake()

    def wait_for_room(self, is_wanted: Callable[[], bool]) -> None:
        """Block while the buffer is full and ``is_wanted`` returns True."""
        with self._changed:
            self._changed.wait_for(lambda: self.size <= BUFFER_LIMIT or not is_wanted())

    def wake(self) -> None:
        """Wake all blocked threads."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_end(self, seconds: float) -> None:
        """Wait for the end of the stream, at most ``seconds`` or `LONGEST_WAIT`."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_ended, min(seconds, LONGEST_WAIT))

    def drop(self) -> int:
        """Drop all buffered lines; return their number."""
        with self._changed:
            dropped = len(self._lines)
            self._lines.clear()
            self.size = self._visible = 0
            self._changed.notify_all()
        return dropped

    def wait(self, not_before: float) -> bool:
        """Wait for lines to post; return False if the stream has ended and no visible lines are left.

        Until ``not_before`` on the clock, wait for a full reply or the end of the stream.
        """
        with self._changed:
            while True:
                now = self._clock()
                if self._visible and (self.has_ended or now >= not_before or self.size >= REPLY_LIMIT):
                    return True
                if self.has_ended:
                    return False
                self._changed.wait(min(max(0.0, not_before - now), LONGEST_WAIT) if self._visible else LONGEST_WAIT)

    def take(self) -> list[str]:
        """Take the lines of one reply, at least one line."""
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
    """Decodes bytes to lines, as a terminal would show them, and adds them to ``lines``.

    ``is_markdown``: the fence of the lines will be Markdown's, not Chat's. ``begun`` is the unfinished line. ``mask``
    removes secrets from a line.
    """

    def __init__(self, lines: Lines, *, is_markdown: bool, mask: Callable[[str], str]) -> None:
        self.lines = lines
        self.decoder = Decoder()
        self.begun = ""
        self._mask = mask
        # A longer run of backticks would need a fence that does not fit beside REPLY_LIMIT.
        self._longest_run = 20 if is_markdown else 2

    def add(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Add the next bytes."""
        *whole, self.begun = (self.begun + self.decoder.decode(chunk, final=is_last)).split("\n")
        if self.begun and (is_last or len(self.begun) > _LONGEST_LINE):
            whole.append(self.begun)
            self.begun = ""
        self.lines.put([piece for line in whole for piece in self._clean(line)])

    def end(self) -> None:
        """Add the unfinished line: the stream has ended."""
        self.add(b"", is_last=True)

    def _clean(self, raw: str) -> list[str]:
        """Return a line as a terminal would show it, in pieces if it is longer than a reply."""
        clean = without_fences(escape_mentions(self._mask(screen_text(raw))), self._longest_run)
        return list(split(clean, REPLY_LIMIT - 1)) or [""]


class Reader:
    """Reads a file descriptor to its end, in a thread; ``tee`` is called with each chunk.

    Once ``stopped`` is set and the lines are woken, it reads only the rest of the unfinished line, if available.
    ``discarded`` counts the lines that were read and discarded.
    """

    def __init__(self, source: int, maker: LineMaker, tee: Callable[[bytes], None], stopped: SelectableEvent) -> None:
        self._source = source
        self._maker = maker
        self._tee = tee
        self._is_discarding = False
        self._stopped = stopped
        self.discarded = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        start_without_signals(self._thread)

    @property
    def had_bad_bytes(self) -> bool:
        """Whether invalid bytes became U+FFFD."""
        return self._maker.decoder.had_bad_bytes

    def discard(self) -> None:
        """Discard all later input, so that the writer is not disturbed; wait for its end."""
        self._is_discarding = True
        self._maker.lines.wake()
        join(self._thread)

    def _run(self) -> None:
        try:
            for chunk in self._chunks():
                if self._is_discarding:
                    self.discarded += chunk.count(b"\n")
                    self._maker.begun = "" if chunk.endswith(b"\n") else "any text"
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
        # Half of a number is another number, so read the line to its end if it is available.
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
        """Read the available bytes; None if another process has read them first."""
        try:
            return os.read(self._source, size)
        except BlockingIOError:
            return None
        except OSError:
            return b""
