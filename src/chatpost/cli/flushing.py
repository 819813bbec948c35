"""`chatpost outbox flush`: posts what waits, in all spaces at the same time, and tells what is left."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from chatpost.cli.console import is_terminal, say
from chatpost.cli.reporter import Reporter
from chatpost.cli.signals import last_words
from chatpost.cli.spooling import COMPOSER, WebhookFinder, find_outbox
from chatpost.cli.targets import TIMING, make_client, make_pacer
from chatpost.delivery.flusher import Flusher
from chatpost.delivery.model import Deadline
from chatpost.delivery.sender import Sender
from chatpost.errors import ExitStatus, Unavailable
from chatpost.waiting import at_the_same_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.cli.values import Flushing, Telling
    from chatpost.delivery.kept import Entry
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.errors import ChatpostError


def flush_outbox(flushing: Flushing, policy: RetryPolicy, telling: Telling) -> ExitStatus:
    """Post what waits; return the exit status. Raises `StorageError` if the outbox cannot be used."""
    box, reporter = find_outbox(), Reporter(telling)
    before = [entry for entry in box.entries() if _waits(entry)]
    if not before:
        return ExitStatus.OK
    sender = Sender(make_client(), make_pacer(reporter.warn), TIMING, reporter.tell)
    finder = WebhookFinder(policy.timeout)
    joins = (lambda _: True) if flushing.digest else finder.joins
    flusher = Flusher(box, sender, COMPOSER, finder, joins, time.time)

    def interrupted() -> None:
        say("interrupted: what is not posted stays in the outbox")
        if sender.pacer is not None:
            sender.pacer.leave()

    def flush_space(space: str) -> dict[int, ChatpostError]:
        deadline = partial(Deadline, policy.deadline, TIMING.clock)
        return flusher.flush(space, policy, deadline, lambda _: True).of_messages

    spaces = dict.fromkeys(entry.space for entry in before)
    with last_words(interrupted):
        for errors in at_the_same_time([partial(flush_space, space) for space in spaces]):
            for number, error in errors.items():
                if not (telling.quiet and isinstance(error, Unavailable)):
                    say(f"{number}: {error}")
    return _tell(before, box.entries(), telling)


def _tell(before: Sequence[Entry], after: Sequence[Entry], telling: Telling) -> ExitStatus:
    """Say how much was posted; return the exit status."""
    states = {entry.id: entry.state for entry in after}
    waiting = sum(_waits(entry) for entry in after)
    left = sum(states.get(entry.id) in {"refused", "expired"} for entry in before)
    posted = sum(entry.id not in states for entry in before)
    if left or (not telling.quiet and (waiting or telling.verbose or is_terminal(sys.stderr))):
        more = f", {left} will not be posted (chatpost outbox list)" if left else ""
        say(f"{posted} posted, {waiting} still waiting{more}")
    return ExitStatus.TRY_LATER if waiting else ExitStatus.OK


def _waits(entry: Entry) -> bool:
    return entry.state in {"waiting", "sealed"}
