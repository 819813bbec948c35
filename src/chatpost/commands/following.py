"""Lines of stdin, or of a job's output, become replies in a thread, as they come."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from chatpost.cli.console import is_terminal, say
from chatpost.cli.options import FOLLOWING, STYLE
from chatpost.commands.sending import TIMING
from chatpost.concurrency import SelectableEvent
from chatpost.content.source import read_chunks
from chatpost.errors import ExitStatus, InputError
from chatpost.follow.replies import Replies, lines_are
from chatpost.follow.stream import LineMaker, Lines, Reader
from chatpost.processes import reraise_signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from chatpost.cli.reporter import Reporter
    from chatpost.cli.settings import Settings
    from chatpost.delivery.model import Delivery
    from chatpost.delivery.sender import Sender


class Stream:
    """Lines on their way into a thread: those of stdin, or of a job's output. A context manager.

    ``opening`` is the delivery that opens the thread. ``last`` returns the last message of the thread, once the stream
    has ended. ``is_shared``: somebody else writes to the terminal, too. ``is_bounded``: after the end of the stream,
    the deadline is for all that is left.
    """

    def __init__(
        self, lines: Lines, last: Callable[[], str | None], *, is_shared: bool, is_bounded: bool = False
    ) -> None:
        self.opening: Delivery | None = None
        self.tee: Tee | None = None
        self._lines = lines
        self._last = last
        self._is_shared = is_shared
        self._is_bounded = is_bounded
        self._stopped = SelectableEvent()
        self._signal: int | None = None
        self._is_typed = False
        self._reader: Reader | None = None
        self._replies: Replies | None = None

    @classmethod
    def of_stdin(cls, settings: Settings) -> Self:
        """Return a stream that reads stdin from now on, and to its end.

        It does so even if replies fail, so that stdin's writer never dies of a closed pipe.
        """
        following, lines = settings[FOLLOWING], Lines(TIMING.clock)
        is_shared = is_terminal(sys.stdin) or (following.tee and is_terminal(sys.stdout))
        stream = cls(lines, lambda: following.last, is_shared=is_shared)
        if following.tee:
            stream.tee = Tee(stream._stopped)
        if sys.stdin is None:
            lines.end()
            return stream
        stream._is_typed = sys.stdin.isatty()
        maker = LineMaker(lines, is_markdown=settings[STYLE].is_markdown)
        stream._reader = Reader(sys.stdin.fileno(), maker, stream.tee or (lambda _: None), stream._stopped)
        stream._reader.start()
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A person who types is not a job that would die of a closed pipe.
        if self._reader is not None and not self._is_typed:
            self._reader.discard()

    def post(self, sender: Sender, settings: Settings, reporter: Reporter) -> ExitStatus:
        """Post the lines into the thread that was opened; return the exit status.

        A signal ends the stream: the lines that wait are still posted, and the process then dies of the signal.
        """
        if self.opening is None or not self.is_open:
            return ExitStatus.OK
        replies = self._replies = Replies(self._lines, self.opening, sender, settings, reporter)
        replies.is_bounded = self._is_bounded
        if self._is_typed:
            say("type the lines to post; end with Ctrl-D")
        with reporter.live_line(lambda: (self._lines.waiting.lines, replies.not_before), is_shared=self._is_shared):
            is_complete = replies.post_all(settings[FOLLOWING].every)
            if self._reader is not None:
                if not is_complete and not self._lines.has_ended and not self._is_typed:
                    say("lines that come from now on are not posted")
                    self._reader.discard()
                if not is_complete:
                    replies.lost += self._reader.discarded + self._lines.waiting.lines
                if self._reader.had_bad_bytes:
                    reporter.warn("stdin has bytes that are not UTF-8; each is posted as U+FFFD")
            replies.close(self._last())
        if self._signal is not None:
            reraise_signal(self._signal)
        return replies.status or (self.tee.status if self.tee is not None else ExitStatus.OK)

    @property
    def is_open(self) -> bool:
        """Whether the thread is there."""
        return self.opening is not None and self.opening.progress.created is not None

    def take_signal(self, number: int) -> bool:
        """End the stream on the first signal after the thread is open, and still post its lines; return whether so."""
        if not self.is_open or self._signal is not None:
            return False
        self._signal = number
        self._stopped.set()
        self._lines.wake()
        return True

    def tell_what_is_left(self) -> None:
        """Say how many lines are not posted, if the thread is open."""
        if self._replies is not None:
            say(f"{lines_are(self._replies.unposted)} not posted")


def drain_stdin() -> None:
    """Read stdin to its end, and keep nothing, unless a person types it."""
    if sys.stdin is not None and not sys.stdin.isatty():
        with suppress(InputError):
            for _ in read_chunks(sys.stdin.fileno(), "stdin"):
                pass


class Tee:
    """Copies stdin to stdout, until its reader closes it. ``status`` tells if a copy could not be written.

    Once ``stopped`` is set, a reader is no longer waited for.
    """

    def __init__(self, stopped: SelectableEvent) -> None:
        self.status = ExitStatus.OK
        self._stopped = stopped
        self._is_wanted = sys.stdout is not None

    def __call__(self, chunk: bytes) -> None:
        """Copy these bytes."""
        while chunk and self._is_wanted:
            try:
                _, writable, _ = select.select([self._stopped], [sys.stdout], [])
                if not writable:
                    self._is_wanted = False
                    return
                # A pipe that is writable takes as much without blocking.
                chunk = chunk[os.write(sys.stdout.fileno(), chunk[: select.PIPE_BUF]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._is_wanted = False
            except OSError as failure:
                self._is_wanted = False
                self.status = ExitStatus.IO
                say(
                    f"stdout could not be written, so nothing more is copied: {os.strerror(failure.errno or 0).lower()}"
                )
