"""A message in the outbox, and the outbox itself: what each store of messages does.

A message is stored, under its request id, before the first attempt, and is deleted when Chat has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest

MOST_MESSAGES = 10_000
"""Messages that an outbox holds."""

MOST_BYTES = 100_000_000
"""Bytes of messages that an outbox holds."""

FIRST_COOL_DOWN = 60.0
"""Seconds of the cool-down after the first failure of a webhook; they double with each failure."""

LONGEST_COOL_DOWN = 3600.0
"""Seconds beyond which the cool-down does not grow."""

State: TypeAlias = Literal["pending", "posted", "rejected", "expired", "damaged"]
"""The state of a message. It is ``posted`` only until its sender has read the answer, and ``damaged`` if its stored
values cannot be read."""


class Origin(NamedTuple):
    """The host that has spooled a message, and when: seconds since the epoch, by that host's clock.

    It tells the message from another with the same id: an outbox that has lost its messages assigns ids again.
    """

    host: str
    written: float


class WebhookReference(NamedTuple):
    """Names a webhook without its secrets.

    ``profile`` is in the file ``config``, None for CHATPOST_URL and the user's own file; ``fingerprint`` tells whether
    it is still the same webhook. ``space`` is the URL of its space.
    """

    profile: str | None
    config: str | None
    fingerprint: str
    space: str


class Rules(NamedTuple):
    """How to post a message: ``interval`` is that of a `chatpost.delivery.model.Destination`.

    It expires at ``expires_at``, by the outbox's clock. ``is_alone``: it goes into no digest. ``is_part``: it continues
    the message before it. ``expired``: it is the notice of this number of expired messages.
    """

    interval: float | None
    expires_at: float
    is_alone: bool = False
    is_part: bool = False
    expired: int = 0


class Status(NamedTuple):
    """The state of a message, and the last ``error`` of its ``attempts``.

    ``digest`` is the id of the first of the messages that are posted as one, from the first attempt on until they are
    surely not posted; a message that is posted by itself has its own id. ``maybe_posted``: Chat may have the message
    already. ``is_awaited``: its sender will read the answer, ``created``.
    """

    state: State = "pending"
    attempts: int = 0
    error: str | None = None
    maybe_posted: bool = False
    digest: int | None = None
    is_awaited: bool = False
    created: CreatedMessage | None = None


class OutboxMessage(NamedTuple):
    """A message in the outbox. ``id`` is 0 before it is there.

    ``thread`` is ``key K``, or Chat's name of the thread, or empty. ``preview`` is the beginning of the text, and
    ``size`` the bytes of the whole content. ``request`` is the content: as it was last sent if ``status.digest`` is the
    message's own id, else as it was spooled; None if it was not read.
    """

    id: int
    origin: Origin
    webhook: WebhookReference
    thread: str
    rules: Rules
    status: Status
    preview: str
    size: int
    request: CreateMessageRequest | None = None

    @property
    def lane(self) -> tuple[str, str]:
        """The webhook and the thread: the messages of a lane are posted in the order of their ids."""
        return self.webhook.fingerprint, self.thread

    @property
    def is_pending(self) -> bool:
        """Whether a flush posts the message."""
        return self.status.state == "pending"

    @property
    def is_in_flight(self) -> bool:
        """Whether an attempt has begun, so that the message may be posted, and its content must not change."""
        return self.is_pending and self.status.digest is not None

    @property
    def goes_alone(self) -> bool:
        """Whether the message goes into no digest. An awaited one may be posted by its sender, too."""
        status, rules = self.status, self.rules
        return rules.is_alone or rules.is_part or status.is_awaited or status.maybe_posted or self.is_in_flight

    def with_status(self, **changes: Any) -> OutboxMessage:
        """Return the message with these fields of its status changed."""
        return self._replace(status=self.status._replace(**changes))


class CoolDown(NamedTuple):
    """The failures of a webhook since it last took a message; until ``retry_at``, sends do not try it."""

    failures: int = 0
    retry_at: float = 0.0

    def after_failure(self, now: float) -> CoolDown:
        """Return the cool-down after one more failure."""
        seconds = min(LONGEST_COOL_DOWN, FIRST_COOL_DOWN * 2.0 ** min(self.failures, 10))
        return CoolDown(self.failures + 1, now + seconds)


Step: TypeAlias = "Callable[[list[OutboxMessage]], list[OutboxMessage] | None]"
"""Changes messages: is given them as they are now, and returns what they become, or None to leave them alone.

A message that is left out is deleted, and one with the id 0 is added. A ``request`` that is not None is stored as the
message's content. A step can be called several times, so it changes nothing else.
"""


class Outbox(Protocol):
    """Stores messages. Every change is on the disk when the call returns. All calls raise `StorageError`."""

    def now(self) -> float:
        """Return the time by the outbox's clock, in seconds since the epoch."""

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        """Store messages that expire after these seconds; return their ids. Raises `OutboxFull`."""

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        """Return the messages of a space, or all, by their ids, without their contents."""

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        """Return messages with their contents, without those that are not there.

        Raises `StorageError` if the outbox has lost its messages: it does not know these ids.
        """

    def change(self, space: str, ids: Sequence[int], step: Step) -> list[OutboxMessage] | None:
        """Change messages, all or none, and without a change of others in between; return the step's result.

        The messages have no contents.
        """

    def lock(self, space: str) -> AbstractContextManager[bool]:
        """Keep others from posting to the space in this context; False if another process does so now."""

    def cool_down(self, fingerprint: str) -> CoolDown:
        """Return the cool-down of a webhook."""

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown | None) -> None:
        """Store the cool-down of a webhook; None: there is none."""
