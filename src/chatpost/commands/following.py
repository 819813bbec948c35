"""`--follow`: open a thread, then post lines of stdin, or of a job's output, as replies in it."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Self, TextIO

from chatpost.cli.command_options import FOLLOW
from chatpost.cli.console import is_terminal, say, write_aside, write_data
from chatpost.cli.options import STYLE
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.commands.posting import TIMING, Recipient, deliver, find_redis, make_sender
from chatpost.concurrency import SelectableEvent
from chatpost.content.secrets import SecretMask
from chatpost.delivery.model import Delivery
from chatpost.delivery.sender import Sender
from chatpost.errors import ExitStatus, system_reason
from chatpost.follow.replies import Replies, ReplyOptions, lines_are
from chatpost.follow.stream import LineMaker, Lines, Reader
from chatpost.processes import Surroundings, report_on_signal, reraise_signal


class Follower:
    """Posts the lines of a stream, stdin or a job's output, into a thread. A context manager.

    ``last`` is called after the end of the stream, and returns the last message of the thread, if any. ``is_shared``:
    another writer uses the terminal. ``is_bounded``: after the end of the stream, one deadline covers all remaining
    messages. ``write`` is called with each line of data.
    """

    def __init__(
        self, lines: Lines, last: Callable[[], str | None], *, is_shared: bool, is_bounded: bool = False
    ) -> None:
        self.write: Callable[[str], None] = write_data
        self._lines = lines
        self._last = last
        self._is_shared = is_shared
        self._is_bounded = is_bounded
        self._stopped = SelectableEvent()
        self._signal: int | None = None
        self._is_typed = False
        self._tee: Tee | None = None
        self._reader: Reader | None = None
        self._opening: Delivery | None = None
        self._replies: Replies | None = None

    @classmethod
    def of_stdin(cls, settings: Settings, surroundings: Surroundings) -> Self:
        """Return a follower that starts to read stdin now.

        It reads to the end even if replies fail, so that the writer never dies of a closed pipe.
        """
        options, lines, stdin = settings[FOLLOW], Lines(TIMING.clock), surroundings.stdin
        is_shared = is_terminal(stdin) or (options.tee and is_terminal(surroundings.stdout))
        follower = cls(lines, lambda: options.closing, is_shared=is_shared)
        if options.tee:
            follower.write, follower._tee = write_aside, Tee(surroundings.stdout, follower._stopped)
        if stdin is None:
            lines.end()
            return follower
        follower._is_typed = stdin.isatty()
        mask = SecretMask(surroundings.environment).line
        maker = LineMaker(lines, is_markdown=settings[STYLE].is_markdown, mask=mask)
        follower._reader = Reader(stdin.fileno(), maker, follower._tee or (lambda _: None), follower._stopped)
        return follower

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A terminal has no writer that would die of a closed pipe.
        if self._reader is not None and not self._is_typed:
            self._reader.discard()

    @property
    def is_open(self) -> bool:
        """Whether the first message was posted."""
        return self._opening is not None and self._opening.progress.created is not None

    def post(self, opening: Delivery, recipient: Recipient, reporter: Reporter) -> None:
        """Open the thread and post the lines into it. With ``--dry-run``, print the request that opens it.

        The first signal after that ends the stream: the lines read so far are still posted, then the process dies.
        """
        if reporter.options.dry_run:
            deliver([recipient], [opening], reporter)
            return
        reporter.expect([opening])
        self._opening, sender = opening, make_sender(find_redis([recipient], reporter), reporter)

        def interrupted() -> None:
            reporter.interrupted()
            if self._replies is not None:
                say(f"{lines_are(self._replies.unposted)} not posted")
            sender.leave_queues()

        with report_on_signal(interrupted, self._end_stream):
            if not reporter.report(sender.deliver(opening)) and self.is_open:
                reporter.status = self._post_lines(opening, sender, recipient, reporter)
        if self._signal is not None:
            reraise_signal(self._signal)

    def _post_lines(self, opening: Delivery, sender: Sender, recipient: Recipient, reporter: Reporter) -> ExitStatus:
        options, settings = recipient.options, recipient.settings
        how = ReplyOptions(options.style, options.request.silent, settings.is_set("retries"), self._is_bounded)
        replies = self._replies = Replies(self._lines, opening, sender, how, reporter.report)
        if self._is_typed:
            say("type the lines to post; end with Ctrl-D")
        with reporter.live_line(lambda: (self._lines.waiting, replies.not_before), is_shared=self._is_shared):
            is_complete = replies.post_all(settings[FOLLOW].every)
            if self._reader is not None:
                if not is_complete and not self._lines.has_ended and not self._is_typed:
                    say("lines read from now on are not posted")
                    self._reader.discard()
                if not is_complete:
                    replies.lost += self._reader.discarded + self._lines.waiting
                if self._reader.had_bad_bytes:
                    reporter.warn("stdin contains bytes that are not UTF-8; each is posted as U+FFFD")
            last = self._last()
            if replies.lost:
                say(f"{lines_are(replies.lost)} lost: not everything was posted")
            replies.close(last)
        return replies.status or (self._tee.status if self._tee is not None else ExitStatus.OK)

    def _end_stream(self, number: int) -> bool:
        """End the stream, and return True, at the first signal after the thread is open."""
        if not self.is_open or self._signal is not None:
            return False
        self._signal = number
        self._stopped.set()
        self._lines.wake()
        return True


class Tee:
    """Copies stdin to stdout, until stdout's reader closes it or ``stopped`` is set while stdout is full.

    ``status`` is the exit status: not 0 if stdout cannot be written.
    """

    def __init__(self, stdout: TextIO | None, stopped: SelectableEvent) -> None:
        self.status = ExitStatus.OK
        self._stopped = stopped
        self._stdout = stdout

    def __call__(self, chunk: bytes) -> None:
        """Copy a chunk."""
        while chunk and self._stdout is not None:
            try:
                _, writable, _ = select.select([self._stopped], [self._stdout], [])
                if not writable:
                    self._stdout = None
                    return
                # A writable pipe accepts PIPE_BUF bytes without blocking.
                chunk = chunk[os.write(self._stdout.fileno(), chunk[: select.PIPE_BUF]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._stdout = None
            except OSError as failure:
                self._stdout = None
                self.status = ExitStatus.IO
                say(f"cannot write to stdout, so --tee stops copying: {system_reason(failure)}", "error")
