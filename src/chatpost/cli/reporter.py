"""Reports deliveries: data on stdout, sentences on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING

import click

from chatpost.chat.webhook import mask_urls
from chatpost.cli.app import SectionedCommand
from chatpost.cli.console import Kind, as_json, say, write_data
from chatpost.cli.options import EXIT, OUTPUT, OutputOptions
from chatpost.cli.settings import Settings
from chatpost.delivery.model import Delivery
from chatpost.delivery.sender import AttemptMade, Event, MessagesPosted, PartPosted, Paused, RetryPlanned
from chatpost.errors import ChatpostError, DeliveryError, ExitStatus, Offline, OutputError, UsageError
from chatpost.processes import Surroundings

if TYPE_CHECKING:
    from chatpost.cli.tables import PartsBars

_LONG_PAUSE = 2.0
"""Seconds above which a pause is shown at a terminal."""


class Reporter:
    """Reports a command's deliveries, and collects its exit status. As a context manager, it also reports errors.

    ``status`` is that of the first failure. ``write`` is called with each line of data. ``posted`` counts the messages
    that Chat has confirmed. ``warned`` holds the warnings already printed, which are not repeated. ``can_repeat``:
    running the command again would post the same message. ``is_shared``: another writer uses the terminal.
    """

    def __init__(self, options: OutputOptions, surroundings: Surroundings, warned: set[str] | None = None) -> None:
        self.options = options
        self.environment: Mapping[str, str] = surroundings.environment
        self.status = ExitStatus.OK
        self.write: Callable[[str], None] = write_data
        self.can_repeat = True
        self.soft_fail = False
        self._under_way: Sequence[Delivery] = ()
        self.posted = 0
        self._warned = set() if warned is None else warned
        self._next_turn = 0.0
        self._next_attempt = 0.0
        self._offline = set[str]()
        self._bars: PartsBars | None = None
        self._live = ExitStack()
        self._offline_line = ExitStack()
        self.is_shared = False
        # Read before rich replaces stderr.
        self.is_watched = surroundings.stderr is not None and surroundings.stderr.isatty()

    @classmethod
    def of_command(cls, ctx: click.Context) -> Reporter:
        """Return the reporter of a command that posts. Raises `UsageError` for two options that exclude each other."""
        settings = Settings(ctx)
        if isinstance(ctx.command, SectionedCommand):
            settings.check(ctx.command.sections)
        output, exits = settings.values((OUTPUT, EXIT))
        reporter = cls(output, ctx.obj)
        reporter.soft_fail = exits.soft_fail
        return reporter

    @property
    def exit_status(self) -> ExitStatus:
        """The command's exit status."""
        return ExitStatus.OK if self.soft_fail else self.status

    @property
    def _has_reader(self) -> bool:
        return self.is_watched and not self.options.quiet

    def __enter__(self) -> None:
        """Report errors in this context, except `UsageError`, which `chatpost.cli.app.run` reports."""

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if isinstance(error, ChatpostError) and not isinstance(error, UsageError):
            self.report_error(error)
            self.status = error.exit_status
            return True
        if isinstance(error, Exception) and not isinstance(error, UsageError):
            self.interrupted("stopped by a bug")
        return False

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Remember the deliveries, to report their state on a signal; show bars if one has several parts."""
        self._under_way = deliveries
        if any(len(delivery.factories) > 1 for delivery in deliveries):
            self.show_bars()

    def show_bars(self) -> None:
        """Show progress bars until `close`, if stderr is a terminal."""
        if self._has_reader:
            from chatpost.cli.tables import PartsBars  # loads rich

            self._bars = PartsBars()

    def show(self, delivery: Delivery, event: Event) -> None:
        """Show planned retries, posted parts and long pauses; with ``verbose``, every attempt and pause."""
        if isinstance(event, AttemptMade):
            self._show_attempt(delivery, event)
        elif isinstance(event, RetryPlanned):
            self._show_retry(delivery, event.error, event.wait)
        elif isinstance(event, Paused):
            self._next_turn = time.monotonic() + event.seconds
            if self.options.verbose or (self._has_reader and event.seconds > _LONG_PAUSE):
                _say(delivery, f"waiting {event.seconds:.1f} s for its turn in the space")
        else:
            self._show_posted(delivery, event)

    def _show_posted(self, delivery: Delivery, event: PartPosted | MessagesPosted) -> None:
        """Update the progress bars, or print a line for posted messages of the outbox."""
        if self._bars is not None and isinstance(event, PartPosted):
            self._bars.show(delivery.to.label or "posting", event.number, event.of)
        elif self._bars is not None and isinstance(event, MessagesPosted):
            self._bars.show(delivery.to.label or delivery.to.webhook.space, event.posted, event.of)
        elif isinstance(event, MessagesPosted) and self._has_reader and not self.options.verbose:
            ids = ", ".join(map(str, event.ids))
            _say(delivery, f"posted message{'' if len(event.ids) == 1 else 's'} {ids}")

    def _show_attempt(self, delivery: Delivery, attempt: AttemptMade) -> None:
        self.posted += attempt.error is None
        if self.options.verbose:
            from chatpost.cli.messages import describe_attempt

            _say(delivery, describe_attempt(delivery, attempt))
        if attempt.error is not None and attempt.wait is not None:
            self._show_retry(delivery, attempt.error, attempt.wait)

    def _show_retry(self, delivery: Delivery, error: DeliveryError, wait: float) -> None:
        """Show a planned retry. Without a network, print it once; at a terminal, draw a live line until it is back."""
        self._next_attempt = time.monotonic() + wait
        if self.options.quiet:
            return
        if self.options.verbose:
            _say(delivery, f"retrying in {wait:.1f} s", "retry")
        elif not isinstance(error, Offline):
            self._offline_line.close()
            _say(delivery, f"{error}; retrying in {wait:.1f} s", "retry")
        elif (sentence := f"{error}; retrying without further messages") not in self._offline:
            if not self._offline and self._has_reader and not self.is_shared and self._bars is None:
                from chatpost.cli.tables import live_line  # loads rich

                self._offline_line.enter_context(live_line(self._next_attempt_in))
            self._offline.add(sentence)
            _say(delivery, sentence, "retry")

    def _next_attempt_in(self) -> str:
        return f"no network; next attempt in {max(0, ceil(self._next_attempt - time.monotonic()))} s"

    def close(self) -> None:
        """Remove bars and lines that are drawn at a terminal."""
        self._offline_line.close()
        if self._bars is not None:
            self._bars.close()
        self._bars = None

    def warn(self, sentence: str) -> None:
        """Print a warning, unless it was printed before."""
        if not self.options.quiet and sentence not in self._warned:
            self._warned.add(sentence)
            say(sentence, "warning")

    def report(self, delivery: Delivery, known: str | None = None) -> ExitStatus:
        """Print the delivery's line or its error; return its exit status.

        ``known``, if given, replaces the sentence about the message's state after an error.
        """
        self.close()
        progress, output = delivery.progress, self.options.output
        line = None
        if progress.suppressed is not None:
            if self.options.verbose:
                from chatpost.cli.messages import describe_suppressed

                _say(delivery, describe_suppressed(progress.suppressed, time.time()))
        elif progress.created is not None and progress.error is None and progress.outbox_id is None:
            line = {"name": progress.created.name, "thread": progress.created.thread_name}.get(output)
        else:
            from chatpost.cli.messages import describe_failure, describe_spooled

            if progress.error is not None:
                _say(delivery, describe_failure(delivery, known, can_repeat=self.can_repeat), "error")
            elif progress.outbox_id is not None and not self.options.quiet:
                _say(delivery, describe_spooled(delivery))
        if output == "json":
            from chatpost.cli.messages import record

            line = as_json(record(delivery, known, can_repeat=self.can_repeat), delivery.to.webhook.mask)
        status = ExitStatus.OK if progress.error is None else progress.error.exit_status
        try:
            if line is not None:
                self.write(line)
        except OutputError as failure:
            # An error of the delivery takes precedence over this one.
            name = progress.created.name if progress.created else None
            _say(delivery, f"{failure}{f', but the message was posted: {name}' if name else ''}", "error")
            status = status or failure.exit_status
        progress.reported = True
        self.status = self.status or status
        return status

    def report_error(self, error: ChatpostError) -> None:
        """Report an error that was raised before there was a delivery."""
        say(str(error), "error")
        if self.options.output == "json" and not isinstance(error, OutputError):
            from chatpost.cli.messages import failure_record

            with suppress(OutputError):  # the first error takes precedence
                self.write(as_json(failure_record(error), mask_urls))

    def interrupted(self, what: str = "interrupted") -> None:
        """Report that the command ends early, and the state of each unreported delivery."""
        from chatpost.cli.messages import describe_state

        self.close()
        self._live.close()
        for delivery in self._under_way:
            if not delivery.progress.reported:
                _say(delivery, f"{what}. {describe_state(delivery, can_repeat=self.can_repeat)}")
        if not self._under_way:
            say(f"{what}. Nothing was posted.")

    def live_line(self, waiting: Callable[[], tuple[int, float]], *, is_shared: bool) -> ExitStack:
        """In this context, draw a line that counts messages posted and lines waiting, if a terminal is watched.

        ``waiting`` returns the number of lines, and the monotonic time before which they are not posted.
        ``is_shared``: draw nothing, because another writer uses the terminal.
        """
        self.is_shared = True  # by this line, or by the other writer
        if is_shared or not self._has_reader:
            return self._live
        from chatpost.cli.tables import live_line  # loads rich

        def line() -> str:
            count, not_before = waiting()
            seconds = ceil(max(self._next_turn, not_before) - time.monotonic()) if count else 0
            when = f", next reply in {seconds} s" if seconds > 0 else ""
            return f"{self.posted} posted, {count} line{'' if count == 1 else 's'} pending{when}"

        self._live.enter_context(live_line(line))
        return self._live


def _say(delivery: Delivery, sentence: str, kind: Kind = "note") -> None:
    """Print a sentence about a delivery, after the name of its profile, if any."""
    say(f"{delivery.to.label}: {sentence}" if delivery.to.label else sentence, kind)
