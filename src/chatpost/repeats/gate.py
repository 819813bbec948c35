"""Suppresses and counts repeated messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreatedMessage, CreateMessageRequest, Message
from chatpost.content.compose import with_note
from chatpost.delivery.model import Delivery, Progress, Suppressed
from chatpost.delivery.sender import Deliverer
from chatpost.errors import ConfigurationError, StorageError, Unavailable
from chatpost.formatting import format_time
from chatpost.repeats.model import Repeats, RepeatStore

_FIRST_POLL, _LONGEST_POLL = 0.02, 0.5  # seconds
_MARGIN = 5.0  # seconds that a delivery may take after its deadline


STILL_POSTING = (
    "another process is still posting this message, and the deadline has passed: send it again, or raise --deadline"
)


class OncePer(NamedTuple):
    """Post a message at most once in ``seconds`` seconds; ``key`` is a hash that its repeats share."""

    seconds: float
    key: str


class Clocks(NamedTuple):
    """The wall clock, in seconds since the epoch, and the sleep that a gate uses."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


class Gate:
    """A `chatpost.delivery.sender.Deliverer` that passes messages on to ``deliverer``, except repeats.

    ``rules`` is keyed by progress. While one delivery is posting a message, its repeats wait: if it fails, one of them
    posts the message. If the store cannot be used, the gate warns and passes on every message.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        open_store: Callable[[], RepeatStore],
        rules: Mapping[Progress, OncePer],
        clocks: Clocks,
        warn: Callable[[str], None],
    ) -> None:
        self._deliverer = deliverer
        self._open_store = open_store
        self._rules = rules
        self._clocks = clocks
        self._warn = warn
        self._claims: dict[str, tuple[RepeatStore, str]] = {}

    def deliver(self, delivery: Delivery) -> Delivery:
        """Pass on the delivery, or suppress it; its progress has the outcome."""
        rule = self._rules.get(delivery.progress)
        if rule is None:
            return self._deliverer.deliver(delivery)
        claim = str(uuid4())
        repeats: Repeats | None = None
        try:
            store = self._open_store()
            repeats = self._wait_for_claim(store, rule, claim, delivery)
        except (StorageError, ConfigurationError) as error:
            self._warn(f"repeats are not suppressed: {error}")
            store = None
        if store is None:  # outside of the handler, or its error would count as a cause of later ones
            return self._deliverer.deliver(delivery)
        if repeats is None:
            return delivery
        self._claims[claim] = store, rule.key
        try:
            if repeats.number:
                delivery = _noted(delivery, _note(repeats, self._clocks.now()))
            return self._deliverer.deliver(delivery)
        finally:
            self._end(claim, self._clocks.now() if delivery.progress.error is None else None)

    def leave_queues(self) -> None:
        """Give up all claims, and leave all queues, when the command is cancelled."""
        for claim in list(self._claims):
            self._end(claim, None)
        self._deliverer.leave_queues()

    def _wait_for_claim(self, store: RepeatStore, rule: OncePer, claim: str, delivery: Delivery) -> Repeats | None:
        """Claim the message and return its repeats; return None if it is suppressed, or the deadline has passed."""
        pause = _FIRST_POLL
        while True:
            now = self._clocks.now()
            until = now + delivery.deadline.left() + _MARGIN
            add = partial(Repeats.add, now=now, seconds=rule.seconds, claim=claim, claimed_until=until)
            before, after = store.change(rule.key, add)
            if after.claim == claim:
                return before
            if not before.is_claimed(now):
                delivery.progress.suppressed = Suppressed(after.number, after.posted_at)
                return None
            if delivery.deadline.left() < pause:
                delivery.progress.error = Unavailable(STILL_POSTING)
                return None
            self._clocks.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)

    def _end(self, claim: str, posted_at: float | None) -> None:
        with suppress(KeyError, StorageError):  # a signal handler has ended it, or it will expire
            store, key = self._claims.pop(claim)
            store.change(key, partial(Repeats.end, claim=claim, posted_at=posted_at))


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
