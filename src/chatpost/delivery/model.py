"""Deliveries: the messages, their destination, their deadline and their progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message, Thread
from chatpost.chat.webhook import Webhook
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import DeliveryError

RequestFactory: TypeAlias = "Callable[[CreatedMessage | None], CreateMessageRequest | None]"
"""Makes a request, None if nothing is left to post, at the space's turn; given the delivery's first message, if any."""


class Destination(NamedTuple):
    """A webhook, the thread there, and the rules for posting to it.

    ``label`` is the profile's name, None if the URL came from the environment. ``thread`` is the one that was asked
    for. ``interval`` is the seconds between two requests to the space, None to post without waiting for a turn.
    """

    label: str | None
    webhook: Webhook
    thread: Thread | None
    policy: RetryPolicy
    interval: float | None


class Deadline:
    """The seconds that a delivery may take, from now on. ``clock`` is monotonic, in seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left, never below 0."""
        return max(0.0, self._end - self._clock())


class Progress:
    """How far a delivery has come. Any thread may read it at any time.

    ``request`` is the request that was sent last. ``attempts`` counts those begun, ``posted`` the messages that Chat
    has confirmed, and ``created`` is the first of them. ``maybe_posted``: the message under way may be in the space,
    but no answer has confirmed it. ``error`` is the last attempt's error, and ``gave_up`` the reason, in
    words, why no further attempt was made. ``outbox_id`` is the id of the first message that waits in the outbox.
    ``reported``: the user has been told the outcome.
    """

    request: CreateMessageRequest | None = None
    attempts = 0
    posted = 0
    created: CreatedMessage | None = None
    maybe_posted = False
    error: DeliveryError | None = None
    gave_up: str | None = None
    outbox_id: int | None = None
    reported = False

    def confirm(self, created: CreatedMessage) -> None:
        """Note a message that Chat has confirmed."""
        self.created = self.created or created
        self.posted += 1
        self.maybe_posted = False
        self.error = None


class Delivery(NamedTuple):
    """One text on its way to one destination, as one message or several that are posted one after the other.

    ``request_id`` is the id of its request; with several factories, each request adds a number to it.
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
        """Ask whether the turn has come; the first question takes the place.

        Raises `SpaceBusy`, and leaves the queue, if the turn is more than ``within`` seconds away.
        """

    def sent(self) -> None:
        """Note that the request goes out now."""

    def close_for(self, seconds: float | None) -> None:
        """Close the space to everybody for so many seconds; None: for one interval."""

    def leave(self) -> None:
        """Give up the place, or the turn that was not used."""


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
"""The turn of a message that does not queue: always now."""


class Pacer(Protocol):
    """Keeps the queues of all spaces."""

    def turn(self, space: str, interval: float) -> Turn:
        """Return a place, not taken yet, in the queue of a space that takes a request every ``interval`` seconds."""

    def leave(self) -> None:
        """Give up all places: the command is cancelled."""
