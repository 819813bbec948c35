"""A message in the outbox, and its transitions as pure functions, which a store applies atomically.

A function whose first parameter is ``found`` is a `chatpost.outbox.store.Step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set as AbstractSet
from typing import Any, Literal, NamedTuple, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest

AWAITED_FOR = 3600.0
"""Seconds after which the sender of a posted message counts as dead."""

BATCH = 500
"""Maximum number of messages in one change, so that other processes wait briefly. Larger digests are not divided."""

State: TypeAlias = Literal["pending", "posted", "rejected", "expired", "damaged"]
"""The state of a message: ``posted`` only until its sender has read the answer, ``damaged`` if its row is invalid."""


class Origin(NamedTuple):
    """The host that spooled a message, and the time: seconds since the epoch, by that host's clock.

    Distinguishes messages with the same id: an outbox that has lost its messages assigns ids again.
    """

    host: str
    written: float


class WebhookReference(NamedTuple):
    """Refers to a webhook without its secrets.

    ``profile`` is its name in the file ``config``. It is None for CHATPOST_URL; ``config`` is None for the user's own
    file. ``fingerprint`` identifies the webhook itself. ``space`` is the URL of its space.
    """

    profile: str | None
    config: str | None
    fingerprint: str
    space: str


class Rules(NamedTuple):
    """How to post a message; ``interval`` is as for `chatpost.delivery.model.Destination`.

    It expires at ``expires_at``, by the outbox's clock. ``is_alone``: never put it into a digest. ``is_part``: it
    continues the previous message. ``expired``: it is the notice of this number of expired messages.
    """

    interval: float | None
    expires_at: float
    is_alone: bool = False
    is_part: bool = False
    expired: int = 0


class Status(NamedTuple):
    """The state of a message, and the last ``error`` of its ``attempts``.

    ``digest`` is the id of the first message of its digest, or its own id if it is posted alone; it is None before the
    first attempt, and after an attempt that certainly did not post. ``maybe_posted``: Chat may already have the
    message. ``is_awaited``: its sender will read the answer, ``created``.
    """

    state: State = "pending"
    attempts: int = 0
    error: str | None = None
    maybe_posted: bool = False
    digest: int | None = None
    is_awaited: bool = False
    created: CreatedMessage | None = None


class OutboxMessage(NamedTuple):
    """A message in the outbox; ``id`` is 0 before it is stored.

    ``thread`` is ``key K``, the thread name, or empty. ``preview`` is the beginning of the text, ``size`` the bytes of
    the whole content. ``request`` is the content: as last sent if ``status.digest`` is the message's own id, else as
    spooled; None if not read.
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
        """The webhook's fingerprint and the thread. Messages of a lane are posted in the order of their ids."""
        return self.webhook.fingerprint, self.thread

    @property
    def is_pending(self) -> bool:
        """Whether a flush posts the message."""
        return self.status.state == "pending"

    @property
    def is_in_flight(self) -> bool:
        """Whether an attempt has begun: the message may be posted, so its content must not change."""
        return self.is_pending and self.status.digest is not None

    @property
    def goes_alone(self) -> bool:
        """Whether the message must not go into a digest. An awaited message may also be posted by its sender."""
        status, rules = self.status, self.rules
        return rules.is_alone or rules.is_part or status.is_awaited or status.maybe_posted

    def with_status(self, **changes: Any) -> OutboxMessage:
        """Return the message with these fields of its status changed."""
        return self._replace(status=self.status._replace(**changes))


class Attempt(NamedTuple):
    """An attempt to post ``members``, as stored when it began, as one ``request``, the content of the first.

    ``maybe_posted``: an earlier attempt may have posted it.
    """

    members: list[OutboxMessage]
    request: CreateMessageRequest
    maybe_posted: bool

    def is_current(self, found: Sequence[OutboxMessage]) -> bool:
        """Return whether no other attempt has begun since, and these are the same messages, not only the same ids."""
        return [(each.id, each.origin, each.status.attempts) for each in found] == [
            (each.id, each.origin, each.status.attempts) for each in self.members
        ]


# Choices among the messages of an index -------------------------------------------------------------------------


def pending_lanes(
    index: Sequence[OutboxMessage],
    unresolved: AbstractSet[WebhookReference],
    only: tuple[str, str] | None = None,
    last: int = 0,
) -> dict[tuple[str, str], list[OutboxMessage]]:
    """Return the pending messages of a space by lane; for each digest, only its first message.

    Messages whose webhook is ``unresolved`` are left out, so they do not hold up others. If ``only`` is given, return
    just the messages of that lane, up to the id ``last``.
    """
    pending = [message for message in index if message.is_pending and message.webhook not in unresolved]
    heads = {message.id for message in pending if message.status.digest in {None, message.id}}
    lanes: dict[tuple[str, str], list[OutboxMessage]] = {}
    for message in pending:
        # If Redis has evicted the first message of a digest, the others are posted one by one.
        is_first = message.status.digest in {None, message.id} or message.status.digest not in heads
        if is_first and (only is None or (message.lane == only and message.id <= last)):
            lanes.setdefault(message.lane, []).append(message)
    return lanes


def digest_of(index: Sequence[OutboxMessage], first: OutboxMessage) -> list[OutboxMessage]:
    """Return the messages of a digest, its first message first."""
    return [first, *(message for message in index if message.status.digest == first.id and message.id != first.id)]


def batches(index: Sequence[OutboxMessage], ids: set[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield the ids in batches, each with its space; adds the other ids of their digests."""
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
    """Return the ids of the messages that `expire` of `chatpost.outbox.expiry` changes; a digest expires as a whole."""
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
    """Start an attempt to post the members as one request, unless one has changed since it was read.

    The request becomes the content of the first.
    """
    if found != members:
        return None
    digest = found[0].id
    begun = [each.with_status(digest=digest, maybe_posted=True, attempts=each.status.attempts + 1) for each in found]
    return [begun[0]._replace(request=request), *begun[1:]]


def posted(found: list[OutboxMessage], attempt: Attempt, created: CreatedMessage, now: float) -> list[OutboxMessage]:
    """Delete the messages of a successful attempt, except those whose senders will read the answer.

    This also holds if another attempt has begun since.
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
    """End an attempt that failed but can be retried; messages that were certainly not posted may change again."""
    if not attempt.is_current(found):
        return None
    return [_ended(message, error, maybe_posted=maybe_posted or attempt.maybe_posted) for message in found]


def rejected(found: list[OutboxMessage], attempt: Attempt, error: str) -> list[OutboxMessage] | None:
    """End an attempt whose request Chat rejects; the messages of a digest become pending, each to be posted alone.

    A digest that an earlier attempt may have posted is rejected as a whole.
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
    """Mark messages as rejected."""
    return [message.with_status(state="rejected", error=error) for message in found]


def note_error(found: list[OutboxMessage], error: str) -> list[OutboxMessage]:
    """Store why no attempt can be made."""
    return [message.with_status(error=error) for message in found]


def release(found: list[OutboxMessage], origin: Origin) -> list[OutboxMessage]:
    """Mark the messages from ``origin`` as no longer awaited by their sender; delete those that are posted."""
    return [
        message if message.origin != origin else message.with_status(is_awaited=False)
        for message in found
        if message.origin != origin or message.status.state != "posted"
    ]


def requeue(found: list[OutboxMessage], webhook: WebhookReference | None, expires_at: float) -> list[OutboxMessage]:
    """Make rejected and expired messages pending again; if a webhook is given, move all messages to it.

    A message that may have been posted keeps its content.
    """
    changed = []
    for message in found:
        if message.status.state in {"rejected", "expired"}:
            pending = _ended(message, None, maybe_posted=message.status.maybe_posted).with_status(state="pending")
            message = pending._replace(rules=message.rules._replace(expires_at=expires_at))  # noqa: PLW2901 - the changed message replaces it
        if webhook is not None and message.status.state != "damaged":
            message = message.with_status(error=None)._replace(webhook=webhook)  # noqa: PLW2901 - the changed message replaces it
        changed.append(message)
    return changed


def delete(found: list[OutboxMessage]) -> list[OutboxMessage]:
    """Delete messages, except posted ones, whose senders still have to read the answer."""
    return [message for message in found if message.status.state == "posted"]
