"""Sends every message: waits for its turn, makes the request, retries, and reports each event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from math import inf
from typing import NamedTuple, Protocol, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest
from chatpost.chat.webhook import Webhook
from chatpost.concurrency import run_concurrently
from chatpost.delivery.model import FREE, Delivery, Pacer, RequestFactory, Turn
from chatpost.delivery.retry import SHORTEST_ATTEMPT, decide, past_deadline
from chatpost.errors import DeliveryError, SpaceBusy


class AttemptMade(NamedTuple):
    """Attempt ``number`` to post part ``part`` took ``seconds``; ``error`` is None if it succeeded.

    ``wait`` is in seconds, until the next attempt; None if there is no retry.
    """

    part: int
    number: int
    seconds: float
    error: DeliveryError | None = None
    wait: float | None = None


class PartPosted(NamedTuple):
    """Part ``number`` of ``of`` parts of a long text was posted."""

    number: int
    of: int


class Paused(NamedTuple):
    """The sender waits ``seconds`` for its turn in the space."""

    seconds: float


class RetryPlanned(NamedTuple):
    """After an error, the next attempt for a message of the outbox is in ``wait`` seconds."""

    error: DeliveryError
    wait: float


class MessagesPosted(NamedTuple):
    """The messages of the outbox with these ids were posted, ``posted`` of ``of`` in the space so far."""

    ids: Sequence[int]
    posted: int
    of: int


Event: TypeAlias = AttemptMade | PartPosted | Paused | RetryPlanned | MessagesPosted
"""An event in a delivery that the reporter can show."""

_TOO_MANY_REQUESTS = 429  # http.HTTPStatus is slow to import
_TURN_TOLERANCE = 3.0  # seconds that a turn may be later than last reported


class Timing(NamedTuple):
    """The clock (monotonic, in seconds), the sleep, and the randomness (from 0 to 1) that a sender uses."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


class Client(Protocol):
    """Makes one attempt: `chatpost.chat.client.ChatClient`, or a dry run."""

    def create_message(
        self, webhook: Webhook, request: CreateMessageRequest, timeout: float, on_sending: Callable[[], None]
    ) -> CreatedMessage:
        """Post within ``timeout`` seconds or raise `DeliveryError`; call ``on_sending`` when the message goes out."""


class Deliverer(Protocol):
    """Posts a delivery: a `Sender`, or one that uses the outbox."""

    def deliver(self, delivery: Delivery) -> Delivery:
        """Post or spool the delivery's messages; its progress has the outcome."""

    def leave_queues(self) -> None:
        """Leave all queues when the command is cancelled."""


class Sender(NamedTuple):
    """Posts deliveries. ``on_event`` is called with each event, from the thread of its delivery.

    Without a ``pacer``, messages are not paced.
    """

    client: Client
    pacer: Pacer | None
    timing: Timing
    on_event: Callable[[Delivery, Event], None]

    def deliver(self, delivery: Delivery) -> Delivery:
        """Post the delivery's messages in order, until one fails; its progress has the outcome."""
        to = delivery.to
        for factory in delivery.factories:
            space = f"{to.webhook.origin}/{to.webhook.space}"
            turn = FREE if self.pacer is None or to.interval is None else self.pacer.turn(space, to.interval)
            try:
                self._post(delivery, factory, turn)
            finally:
                turn.leave()
            if delivery.progress.error is not None:
                break
            if len(delivery.factories) > 1:
                self.on_event(delivery, PartPosted(delivery.progress.posted, len(delivery.factories)))
        return delivery

    def leave_queues(self) -> None:
        """Leave all queues when the command is cancelled."""
        if self.pacer is not None:
            self.pacer.leave()

    def _post(self, delivery: Delivery, factory: RequestFactory, turn: Turn) -> None:
        """Post one message, with retries as the policy allows.

        The request is made when the message's turn has come; every attempt sends the same request.
        """
        progress = delivery.progress
        request: CreateMessageRequest | None = None
        for number in count(1):
            try:
                self._wait_for_turn(delivery, turn)
            except SpaceBusy as busy:
                why = past_deadline(delivery.to.policy)
                is_first = progress.error is None  # otherwise the attempt's error says more
                progress.gave_up = (
                    f"that is {why}: use a longer --deadline" if is_first else f"the next attempt would be {why}"
                )
                progress.error = progress.error or busy
                return
            if request is None:
                request = factory(progress.created)
                if request is None:
                    return
                progress.request = request
            wait = self._attempt(delivery, request, turn, number)
            if wait is None:
                return
            turn.leave()
            self.timing.sleep(wait)

    def _wait_for_turn(self, delivery: Delivery, turn: Turn) -> None:
        said_until = -inf
        while True:
            place = turn.poll(max(0.0, delivery.deadline.left() - SHORTEST_ATTEMPT))
            if not place.sleep:
                return
            turn_at = self.timing.clock() + place.wait
            if turn_at > said_until + _TURN_TOLERANCE:  # the first time, or if the turn is delayed
                self.on_event(delivery, Paused(place.wait))
                said_until = turn_at
            self.timing.sleep(place.sleep)

    def _attempt(self, delivery: Delivery, request: CreateMessageRequest, turn: Turn, number: int) -> float | None:
        """Send the request once and report the attempt; return the seconds until the retry, if any."""
        policy, deadline, progress = delivery.to.policy, delivery.deadline, delivery.progress
        part, began = progress.posted + 1, self.timing.clock()
        was_maybe_posted = progress.maybe_posted

        def sending() -> None:
            progress.maybe_posted = True  # until Chat answers
            turn.sent()

        progress.attempts += 1
        try:
            seconds = min(policy.timeout, max(deadline.left(), SHORTEST_ATTEMPT))
            progress.confirm(self.client.create_message(delivery.to.webhook, request, seconds, sending))
        except DeliveryError as error:
            took = self.timing.clock() - began
            if error.code == _TOO_MANY_REQUESTS:
                turn.close_for(error.retry_after)
            wait, gave_up = decide(error, number, self.timing.random(), deadline.left(), policy)
            progress.error, progress.gave_up = error, gave_up
            progress.maybe_posted = was_maybe_posted or error.maybe_posted
            self.on_event(delivery, AttemptMade(part, number, took, error, wait))
            return wait
        self.on_event(delivery, AttemptMade(part, number, self.timing.clock() - began))
        return None


def deliver_all(sender: Deliverer, deliveries: Sequence[Delivery]) -> Iterator[Delivery]:
    """Post all deliveries concurrently; yield each when it is done, in the order given.

    Raises a bug in one of them after yielding the others.
    """
    if len(deliveries) == 1:
        yield sender.deliver(deliveries[0])
        return
    yield from run_concurrently([partial(sender.deliver, delivery) for delivery in deliveries])
