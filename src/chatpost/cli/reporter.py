"""Reports deliveries: data to stdout, the story to stderr."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from math import ceil
from typing import TYPE_CHECKING

from chatpost.chat.webhook import mask_urls
from chatpost.cli.console import as_json, is_terminal, say, write_data
from chatpost.cli.messages import (
    attempt_made,
    failure_record,
    label,
    record,
    what_is_kept,
    what_is_known,
    what_went_wrong,
)
from chatpost.delivery.sender import AttemptMade, Event, PartPosted, Paused, RetryPlanned
from chatpost.errors import ChatpostError, ExitStatus, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.cli.tables import PartsBars
    from chatpost.cli.values import OutputOptions
    from chatpost.delivery.model import Delivery

# Seconds that a person at a terminal waits without being told why.
_LONG_PAUSE = 2.0


class Reporter:
    """Tells the user about deliveries, as much as ``telling`` says; ``write`` takes each line of data."""

    def __init__(
        self, telling: OutputOptions, write: Callable[[str], None] = write_data, *, can_repeat: bool = True
    ) -> None:
        """``can_repeat``: the user can post the same message again by the same command."""
        self._can_repeat = can_repeat
        self.telling = telling
        self._write = write
        self._under_way: Sequence[Delivery] = ()
        self._posted = 0
        self._warned: set[str] = set()
        self._next_turn = 0.0
        self._bars: PartsBars | None = None
        self._live = ExitStack()
        # Asked before rich puts something of its own in stderr's place.
        self._is_watched = is_terminal(sys.stderr)

    @property
    def _has_reader(self) -> bool:
        return self._is_watched and not self.telling.quiet

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Remember deliveries, to report them if the command is interrupted; show bars for those of several parts."""
        self._under_way = deliveries
        if self._has_reader and any(len(delivery.factories) > 1 for delivery in deliveries):
            from chatpost.cli.tables import PartsBars  # only a person who waits for parts waits for rich

            self._bars = PartsBars()

    def tell(self, delivery: Delivery, fact: Event) -> None:
        """Show a failed attempt that will be retried; with ``verbose``, show every attempt and pause."""
        if isinstance(fact, AttemptMade):
            self._tell_of_attempt(delivery, fact)
        elif isinstance(fact, PartPosted):
            if self._bars is not None:
                self._bars.show(delivery.to.label or "posting", fact.number, fact.of)
        elif isinstance(fact, RetryPlanned):
            if not self.telling.quiet:
                say(f"{label(delivery)}{fact.error}; trying again in {fact.wait:.1f} s")
        elif isinstance(fact, Paused):
            self._next_turn = time.monotonic() + fact.seconds
            if self.telling.verbose or (self._has_reader and fact.seconds > _LONG_PAUSE):
                say(f"{label(delivery)}waiting {fact.seconds:.1f} s for the space's turn")

    def _tell_of_attempt(self, delivery: Delivery, attempt: AttemptMade) -> None:
        if self.telling.verbose:
            say(f"{label(delivery)}{attempt_made(delivery, attempt)}")
        if attempt.wait is not None and not self.telling.quiet:
            again = f"trying again in {attempt.wait:.1f} s"
            say(f"{label(delivery)}{again}" if self.telling.verbose else f"{label(delivery)}{attempt.error}; {again}")

    def _close_bars(self) -> None:
        if self._bars is not None:
            self._bars.close()
        self._bars = None

    def warn(self, sentence: str) -> None:
        """Warn the user, once, and go on."""
        if not self.telling.quiet and sentence not in self._warned:
            self._warned.add(sentence)
            say(f"warning: {sentence}")

    def report(self, delivery: Delivery, known: str | None = None) -> ExitStatus:
        """Print the delivery's line or its error; return its exit status.

        ``known`` is, for a person, what is known of the message after an error, if the delivery cannot tell.
        """
        self._close_bars()
        progress, telling = delivery.progress, self.telling
        known = known or what_is_known(delivery, can_repeat=self._can_repeat)
        line = None
        if progress.error is not None:
            say(f"{label(delivery)}{what_went_wrong(delivery, known)}")
        elif progress.kept is not None:
            if not telling.quiet:
                say(f"{label(delivery)}{what_is_kept(delivery)}")
        elif progress.created is not None:
            self._posted += 1
            line = {"name": progress.created.name, "thread": progress.created.thread_name}.get(telling.output)
        if telling.output == "json":
            line = as_json(record(delivery, known), delivery.to.webhook.mask)
        status = ExitStatus.OK if progress.error is None else progress.error.exit_status
        try:
            if line is not None:
                self._write(line)
        except OutputError as failure:
            # An error that the message met counts more than that its JSON could not be written.
            name = progress.created.name if progress.created else None
            say(f"{label(delivery)}{failure}" + (f", but the message was posted: {name}" if name else ""))
            status = status or failure.exit_status
        progress.reported = True
        return status

    def report_error(self, error: ChatpostError) -> None:
        """Tell of an error that came before anything was posted."""
        say(str(error))
        if self.telling.output == "json" and not isinstance(error, OutputError):
            with suppress(OutputError):  # the first error is the one that counts
                self._write(as_json(failure_record(error), mask_urls))

    def broken_off(self, what: str) -> None:
        """Tell that the command was broken off, and the state of each message that was not reported yet."""
        self._close_bars()
        self._live.close()
        for delivery in self._under_way:
            if not delivery.progress.reported:
                say(f"{label(delivery)}{what}. {what_is_known(delivery, can_repeat=self._can_repeat)}")
        if not self._under_way:
            say(f"{what}. Nothing was posted.")

    def live_line(self, waiting: Callable[[], tuple[int, float]], *, is_shared: bool) -> ExitStack:
        """Draw a line at a terminal that counts the messages posted and the lines waiting, in this context.

        ``waiting`` returns the number of lines, and the time before which they wait for others. None is drawn if the
        terminal is shared with another writer.
        """
        if is_shared or not self._has_reader:
            return self._live
        from chatpost.cli.tables import live_line  # only a person who watches a stream waits for rich

        def line() -> str:
            count, not_before = waiting()
            seconds = ceil(max(self._next_turn, not_before) - time.monotonic()) if count else 0
            when = f", next reply in {seconds} s" if seconds > 0 else ""
            return f"{self._posted} posted, {count} line{'' if count == 1 else 's'} waiting{when}"

        self._live.enter_context(live_line(line))
        return self._live
