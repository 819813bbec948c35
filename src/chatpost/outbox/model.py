"""A message in the outbox, and its life as pure functions: a store applies them, all or nothing.

A function that is given messages as they are ``found`` is a `chatpost.outbox.store.Step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest

AWAITED_FOR = 3600.0
"""Seconds after which the sender of a posted message is taken for dead."""

BATCH = 500
"""Messages that are changed at once, so that others do not wait long. A larger digest is a batch by itself."""

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
        return rules.is_alone or rules.is_part or status.is_awaited or status.maybe_posted

    def with_status(self, **changes: Any) -> OutboxMessage:
        """Return the message with these fields of its status changed."""
        return self._replace(status=self.status._replace(**changes))


class Attempt(NamedTuple):
    """An attempt to post ``members``, as they are since it has begun, as one ``request``, the content of the first.

    ``maybe_posted``: an earlier attempt may have posted it.
    """

    members: list[OutboxMessage]
    request: CreateMessageRequest
    maybe_posted: bool

    def is_current(self, found: Sequence[OutboxMessage]) -> bool:
        """Return whether no other attempt has begun since, and these are not other messages with the same ids."""
        now, then = (
            [(each.id, each.origin, each.status.attempts) for each in those] for those in (found, self.members)
        )
        return now == then


# Choices among the messages of an index -------------------------------------------------------------------------


def pending_lanes(
    index: Sequence[OutboxMessage], only: tuple[str, str] | None = None, last: int = 0
) -> dict[tuple[str, str], list[OutboxMessage]]:
    """Return the pending messages of a space by their lanes, each digest by its first message only.

    If there is one lane ``only``, return its messages up to the id ``last``.
    """
    pending = [message for message in index if message.is_pending]
    ids = {message.id for message in pending}
    lanes: dict[tuple[str, str], list[OutboxMessage]] = {}
    for message in pending:
        # A first message that Redis has lost leaves the others of its digest to themselves.
        is_first = message.status.digest in {None, message.id} or message.status.digest not in ids
        if is_first and (only is None or (message.lane == only and message.id <= last)):
            lanes.setdefault(message.lane, []).append(message)
    return lanes


def digest_of(index: Sequence[OutboxMessage], first: OutboxMessage) -> list[OutboxMessage]:
    """Return a message and those that are in a digest with it, itself first."""
    return [first, *(message for message in index if message.status.digest == first.id and message.id != first.id)]


def batches(index: Sequence[OutboxMessage], ids: set[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield the ids, with those of whole digests, in batches; each with its space."""
    digests: dict[tuple[str, int], list[int]] = {}
    for message in index:
        digests.setdefault((message.webhook.space, message.status.digest or message.id), []).append(message.id)
    waiting: dict[str, list[int]] = {}
    for (space, _), members in digests.items():
        if not ids.isdisjoint(members):
            if space in waiting and len(waiting[space]) + len(members) > BATCH:
                yield space, waiting.pop(space)
            waiting.setdefault(space, []).extend(members)
    yield from waiting.items()


def overdue(index: Sequence[OutboxMessage], now: float) -> set[int]:
    """Return the ids of the messages that `chatpost.outbox.expiry.expire` changes: a digest's as its first is."""
    late = {message.id for message in index if message.rules.expires_at < now}
    ids = {message.id for message in index} if late else set()
    return {
        message.id
        for message in index
        if message.status.state in {"pending", "posted"}
        and (message.status.digest if message.status.digest in ids else message.id) in late
    }


# Transitions ----------------------------------------------------------------------------------------------------


def start_attempt(
    found: list[OutboxMessage], members: Sequence[OutboxMessage], request: CreateMessageRequest
) -> list[OutboxMessage] | None:
    """Begin to post the members as one request, unless one has changed since it was read.

    The first of them gets the request as its content. As of now they may be posted.
    """
    if found != members:
        return None
    digest = found[0].id
    begun = [each.with_status(digest=digest, maybe_posted=True, attempts=each.status.attempts + 1) for each in found]
    return [begun[0]._replace(request=request), *begun[1:]]


def posted(found: list[OutboxMessage], attempt: Attempt, created: CreatedMessage, now: float) -> list[OutboxMessage]:
    """Delete the messages of an attempt, except those whose senders will read the answer.

    They are posted even if another attempt has begun since.
    """
    origins = {message.id: message.origin for message in attempt.members}
    left = []
    for message in found:
        if message.origin != origins[message.id]:
            left.append(message)
        elif message.status.is_awaited:
            rules = message.rules._replace(expires_at=now + AWAITED_FOR)
            left.append(message.with_status(state="posted", created=created)._replace(rules=rules))
    return left


def failed(
    found: list[OutboxMessage], attempt: Attempt, error: str, *, maybe_posted: bool
) -> list[OutboxMessage] | None:
    """End an attempt that has failed for now: messages that are surely not posted may change again."""
    if not attempt.is_current(found):
        return None
    return [_ended(message, error, maybe_posted=maybe_posted or attempt.maybe_posted) for message in found]


def rejected(found: list[OutboxMessage], attempt: Attempt, error: str) -> list[OutboxMessage] | None:
    """End an attempt whose request Chat will never accept: the messages of a digest are then posted one by one.

    A digest that may have been posted before is rejected as a whole.
    """
    if not attempt.is_current(found):
        return None
    ended = [_ended(message, error, maybe_posted=attempt.maybe_posted) for message in found]
    if len(ended) > 1 and not attempt.maybe_posted:
        return [message._replace(rules=message.rules._replace(is_alone=True)) for message in ended]
    return set_aside(ended, error)


def _ended(message: OutboxMessage, error: str | None, *, maybe_posted: bool) -> OutboxMessage:
    digest = message.status.digest if maybe_posted else None
    return message.with_status(error=error, maybe_posted=maybe_posted, digest=digest)


def set_aside(found: list[OutboxMessage], error: str) -> list[OutboxMessage]:
    """Set messages aside as rejected."""
    return [message.with_status(state="rejected", error=error) for message in found]


def note_error(found: list[OutboxMessage], error: str) -> list[OutboxMessage]:
    """Note why messages cannot even be tried."""
    return [message.with_status(error=error) for message in found]


def release(found: list[OutboxMessage], origin: Origin) -> list[OutboxMessage]:
    """Note that the sender at ``origin`` does not wait for its messages any more: those that are posted are deleted."""
    return [
        message if message.origin != origin else message.with_status(is_awaited=False)
        for message in found
        if message.origin != origin or message.status.state != "posted"
    ]


def requeue(found: list[OutboxMessage], webhook: WebhookReference | None, expires_at: float) -> list[OutboxMessage]:
    """Let messages that were rejected or have expired be pending again, and give all a new webhook, if there is one.

    A message that may have been posted keeps its content.
    """
    changed = []
    for message in found:
        if message.status.state in {"rejected", "expired"}:
            pending = _ended(message, None, maybe_posted=message.status.maybe_posted).with_status(state="pending")
            message = pending._replace(rules=message.rules._replace(expires_at=expires_at))  # noqa: PLW2901
        if webhook is not None and message.status.state != "damaged":
            message = message.with_status(error=None)._replace(webhook=webhook)  # noqa: PLW2901
        changed.append(message)
    return changed


def delete(found: list[OutboxMessage]) -> list[OutboxMessage]:
    """Delete messages; those that are posted are left to their senders."""
    return [message for message in found if message.status.state == "posted"]
