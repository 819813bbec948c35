"""Deliveries: messages, destination, deadline and progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message, Thread
from chatpost.chat.webhook import Webhook
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import DeliveryError

RequestFactory: TypeAlias = "Callable[[CreatedMessage | None], CreateMessageRequest | None]"
"""Makes a request at the space's turn, or None if nothing is left to post. Takes the first message of the delivery."""


DEFAULT_INTERVAL = 1.1
"""Seconds between two requests to a space: one for the quota, and a tenth for network delays."""


class Destination(NamedTuple):
    """A webhook, the thread there, and the rules for posting to it.

    ``label`` is the profile's name, None if the URL came from the environment. ``thread`` is the requested thread.
    ``interval`` is in seconds, between two requests to the space; None disables pacing.
    """

    label: str | None
    webhook: Webhook
    thread: Thread | None
    policy: RetryPolicy
    interval: float | None


class Deadline:
    """The deadline of a delivery, ``seconds`` from now. ``clock`` is monotonic, in seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, self._end - self._clock())


class Suppressed(NamedTuple):
    """A message that was not posted, because it repeats one posted at ``posted_at``, in seconds since the epoch.

    ``repeats`` counts the repeats since then, including this one.
    """

    repeats: int
    posted_at: float


class Progress:
    """The progress of a delivery. Any thread may read it at any time.

    ``request`` is the last request sent. ``attempts`` counts the attempts begun, ``posted`` the messages that Chat has
    confirmed; ``created`` is the first of them. ``maybe_posted``: the current message may be in the space, unconfirmed.
    ``error`` is that of the last attempt, ``gave_up`` the reason, in words, why there was no further attempt.
    ``outbox_id`` is the id of the first message in the outbox.
    ``unattended``: the outbox was not flushed in the last hour. ``suppressed`` is set if the message is a repeat.
    ``reported``: the outcome was reported to the user.
    """

    request: CreateMessageRequest | None = None
    attempts = 0
    posted = 0
    created: CreatedMessage | None = None
    maybe_posted = False
    error: DeliveryError | None = None
    gave_up: str | None = None
    outbox_id: int | None = None
    unattended = False
    suppressed: Suppressed | None = None
    reported = False

    def confirm(self, created: CreatedMessage) -> None:
        """Record a message that Chat has confirmed."""
        self.created = self.created or created
        self.posted += 1
        self.maybe_posted = False
        self.error = None


class Delivery(NamedTuple):
    """One text for one destination: one message, or several, to be posted in order.

    ``request_id`` is the id of its request; with several factories, each request appends a number.
    """

    to: Destination
    request_id: str
    factories: Sequence[RequestFactory]
    deadline: Deadline
    progress: Progress


def request_factories(request: CreateMessageRequest, messages: Sequence[Message]) -> list[RequestFactory]:
    """Return a factory for each message: the first has the request's thread, the others reply to the first."""
    if len(messages) == 1:
        return [lambda _: request._replace(message=messages[0])]
    return [partial(request.of_part, number, message) for number, message in enumerate(messages, 1)]


class Place(NamedTuple):
    """A place in a space's queue: the seconds to ``sleep`` before the next poll, and to ``wait`` in all for the turn.

    Both are 0 if the turn has come; ``wait`` is at least ``sleep``.
    """

    sleep: float
    wait: float


class Turn(Protocol):
    """One sender's place in a space's queue."""

    def poll(self, within: float) -> Place:
        """Return the current place; the first poll joins the queue.

        Leaves the queue and raises `SpaceBusy` if the turn is more than ``within`` seconds away.
        """

    def sent(self) -> None:
        """Record that the request goes out now."""

    def close_for(self, seconds: float | None) -> None:
        """Close the space to all senders for ``seconds``; None: for one interval."""

    def leave(self) -> None:
        """Give up the place, or an unused turn."""


class _Free:
    def poll(self, _within: float) -> Place:
        return Place(0.0, 0.0)

    def sent(self) -> None:
        pass

    def close_for(self, seconds: float | None) -> None:
        pass

    def leave(self) -> None:
        pass


FREE: Turn = _Free()
"""The turn of a message that needs no pacing: always now."""


class Pacer(Protocol):
    """Manages the queues of all spaces."""

    def turn(self, space: str, interval: float) -> Turn:
        """Return a turn, not queued yet, in a space that accepts a request every ``interval`` seconds."""

    def leave(self) -> None:
        """Give up all places, when the command is cancelled."""
