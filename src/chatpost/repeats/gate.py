"""Suppresses and counts repeated messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreatedMessage, CreateMessageRequest, Message
from chatpost.concurrency import start_without_signals
from chatpost.content.compose import with_note
from chatpost.delivery.model import Delivery, Progress, Suppressed
from chatpost.delivery.sender import Deliverer
from chatpost.errors import ConfigurationError, StorageError, Unavailable
from chatpost.formatting import format_time
from chatpost.repeats.model import LEASE, Repeats, RepeatStore

_FIRST_POLL, _LONGEST_POLL = 0.02, 0.5  # seconds


STILL_POSTING = (
    "another process is still posting this message, and the deadline has passed: send it again, or raise --deadline"
)


class OncePer(NamedTuple):
    """Post a message at most once in ``seconds`` seconds; ``key`` is a hash that its repeats share.

    ``is_spooled``: the message goes to the outbox if it cannot be posted.
    """

    seconds: float
    key: str
    is_spooled: bool


class _Claim(NamedTuple):
    store: RepeatStore
    key: str
    progress: Progress
    is_over: Event


class Gate:
    """A `chatpost.delivery.sender.Deliverer` that passes messages on to ``deliverer``, except repeats.

    ``rules`` is keyed by progress; ``sleep`` takes seconds. While one delivery is posting a message, its repeats wait:
    if it fails, one of them posts the message. If the store cannot be used, the gate warns and passes on every message.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        open_store: Callable[[], RepeatStore],
        rules: Mapping[Progress, OncePer],
        sleep: Callable[[float], None],
        warn: Callable[[str], None],
    ) -> None:
        self._deliverer = deliverer
        self._open_store = open_store
        self._rules = rules
        self._sleep = sleep
        self._warn = warn
        self._claims: dict[str, _Claim] = {}

    def deliver(self, delivery: Delivery) -> Delivery:
        """Pass on the delivery, or suppress it; its progress has the outcome."""
        rule, claim, progress = self._rules.get(delivery.progress), str(uuid4()), delivery.progress
        if rule is None:
            return self._deliverer.deliver(delivery)
        try:
            note = self._wait_for_claim(self._open_store(), rule, claim, delivery)
        except (StorageError, ConfigurationError) as error:
            self._warn(f"repeats are not suppressed: {error}")
            note = None
        # From here on, no error is being handled, or it would count as a cause of later ones.
        if progress.suppressed is not None or progress.error is not None:
            return delivery
        try:
            return self._deliverer.deliver(_noted(delivery, note) if note else delivery)
        finally:
            self._end(claim, is_posted=progress.error is None)

    def leave_queues(self) -> None:
        """Give up all claims, and leave all queues, when the command is cancelled."""
        for claim, (_, _, progress, _) in list(self._claims.items()):
            self._end(claim, is_posted=progress.outbox_id is not None)
        self._deliverer.leave_queues()

    def _wait_for_claim(self, store: RepeatStore, rule: OncePer, claim: str, delivery: Delivery) -> str | None:
        """Claim the message, and return the note about its repeats, if any.

        The progress has the outcome if the message is suppressed, or if it is still being posted at the deadline. A
        message that can go to the outbox is passed on at the deadline.
        """
        pause = _FIRST_POLL
        while True:
            step = partial(Repeats.add, seconds=rule.seconds, claim=claim)
            before, after, now = store.change(rule.key, step)
            if after.claim == claim:
                self._claims[claim] = _Claim(store, rule.key, delivery.progress, Event())
                start_without_signals(Thread(target=self._renew, args=(claim,), daemon=True))
                return _note(before, now) if before.number else None
            if not before.is_claimed(now):
                delivery.progress.suppressed = Suppressed(after.number, after.posted_at)
                return None
            if delivery.deadline.left() < pause:
                delivery.progress.error = None if rule.is_spooled else Unavailable(STILL_POSTING)
                return None
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)

    def _renew(self, claim: str) -> None:
        with suppress(KeyError, StorageError):  # the claim has ended, or will expire
            store, key, _, is_over = self._claims[claim]
            while not is_over.wait(LEASE / 3):
                store.change(key, partial(Repeats.renew, claim=claim))

    def _end(self, claim: str, *, is_posted: bool) -> None:
        with suppress(KeyError, StorageError):  # a signal handler has ended it, or it will expire
            store, key, _, is_over = self._claims.pop(claim)
            is_over.set()
            store.change(key, partial(Repeats.end, claim=claim, is_posted=is_posted))


def _note(repeats: Repeats, now: float) -> str:
    count = "1 repeat" if repeats.number == 1 else f"{repeats.number:,} repeats"
    return f"({count} since {format_time(repeats.posted_at, now)})"


def _noted(delivery: Delivery, note: str) -> Delivery:
    """Return the delivery with a note at the end of its last message, or in an extra message if that is full."""
    *others, last = delivery.factories
    request = last(None)
    if request is None:
        return delivery
    if with_note(request.message, note).size > SIZE_LIMIT:
        more = partial(request.of_part, len(delivery.factories) + 1, Message(note))
        return delivery._replace(factories=[*delivery.factories, more])

    def make(first: CreatedMessage | None) -> CreateMessageRequest | None:
        made = last(first)
        return made and made._replace(message=with_note(made.message, note))

    return delivery._replace(factories=[*others, make])
