"""`chatpost outbox flush`: posts what waits, in all spaces at the same time, and tells what is left."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from chatpost.cli.console import is_terminal, say
from chatpost.cli.reporter import Reporter
from chatpost.commands.posting import TIMING, make_sender
from chatpost.concurrency import run_concurrently
from chatpost.delivery.model import Deadline
from chatpost.errors import ExitStatus, Unavailable
from chatpost.outbox.flusher import Flusher
from chatpost.outbox.resolver import WebhookResolver
from chatpost.outbox.spooler import COMPOSER, find_outbox
from chatpost.processes import report_on_signal
from chatpost.profiles.redis_config import RedisConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatpost.cli.command_options import FlushOptions
    from chatpost.cli.options import OutputOptions
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Sender
    from chatpost.errors import ChatpostError
    from chatpost.outbox.model import Outbox, State
    from chatpost.surroundings import Surroundings


class Flush(NamedTuple):
    """Posts what waits, as the options say."""

    box: Outbox
    flushing: FlushOptions
    policy: RetryPolicy
    sender: Sender

    def post(self, space: str, finder: WebhookResolver) -> dict[int, ChatpostError]:
        """Post what waits for a space; return the errors of messages by their ids. Raises `StorageError`."""
        joins = (lambda _: True) if self.flushing.digest else finder.joins
        flusher = Flusher(self.box, self.sender, COMPOSER, finder, joins, time.time)
        deadline = partial(Deadline, self.policy.deadline, TIMING.clock)
        return flusher.flush(space, self.policy, deadline, lambda _: True).of_messages

    def cancel(self) -> None:
        """Give up the places in the queues."""
        if self.sender.pacer is not None:
            self.sender.pacer.leave()


def flush_outbox(
    flushing: FlushOptions, policy: RetryPolicy, telling: OutputOptions, surroundings: Surroundings
) -> ExitStatus:
    """Post what waits; return the exit status. Raises `StorageError` if the outbox cannot be used."""
    store = RedisConfig.of_file(flushing.config, surroundings.environment)
    box = find_outbox(store)
    before = {number: state for number, state in box.states().items() if state.waits}
    if not before:
        return ExitStatus.OK
    reporter = Reporter(telling, surroundings)
    sender = make_sender(store, reporter)
    flush = Flush(box, flushing, policy, sender)
    finder = WebhookResolver(policy.timeout, flushing.config)

    def interrupted() -> None:
        say("interrupted: what is not posted stays in the outbox")
        flush.cancel()

    spaces = dict.fromkeys(state.space for state in before.values())
    with report_on_signal(interrupted):
        for errors in run_concurrently([partial(flush.post, space, finder) for space in spaces]):
            for number, error in errors.items():
                if not (telling.quiet and isinstance(error, Unavailable)):
                    say(f"{number}: {error}")
    return _tell(before, box.states(), telling)


def _tell(before: Mapping[int, State], after: Mapping[int, State], telling: OutputOptions) -> ExitStatus:
    """Say how much was posted; return the exit status."""
    waiting = sum(state.waits for state in after.values())
    left = sum(number in after and not after[number].waits for number in before)
    posted = sum(number not in after for number in before)
    if left or (not telling.quiet and (waiting or telling.verbose or is_terminal(sys.stderr))):
        more = f", {left} will not be posted (chatpost outbox list)" if left else ""
        say(f"{posted} posted, {waiting} still waiting{more}")
    return ExitStatus.TRY_LATER if waiting else ExitStatus.OK
