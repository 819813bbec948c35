"""The life of messages in an outbox, as pure functions: a store applies them, all or nothing.

A function that is given messages as they are ``found`` is a `chatpost.outbox.model.Step`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatpost.outbox.digest import notice_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.outbox.model import Origin, OutboxMessage, WebhookReference

AWAITED_FOR = 3600.0
"""Seconds after which the sender of a posted message is taken for dead."""

BATCH = 500
"""Messages that are changed at once, so that others do not wait long; a digest is not torn."""


class Attempt(NamedTuple):
    """An attempt to post ``members``, as they are since it has begun, as one ``request``.

    The first member has the request as its content. ``maybe_posted``: an earlier attempt may have posted it.
    """

    members: list[OutboxMessage]
    request: CreateMessageRequest
    maybe_posted: bool

    def is_current(self, found: Sequence[OutboxMessage]) -> bool:
        """Return whether no other attempt has begun since, and these are not other messages with the same ids."""
        return [_key(message) for message in found] == [_key(message) for message in self.members]


def _key(message: OutboxMessage) -> tuple[object, ...]:
    return message.id, message.origin, message.status.attempts, message.status.digest


# Choices among the messages of an index -------------------------------------------------------------------------


def first_pending(index: Sequence[OutboxMessage]) -> list[OutboxMessage]:
    """Return the pending messages of a space, each digest by its first message only."""
    pending = [message for message in index if message.is_pending]
    ids = {message.id for message in pending}
    # A first message that is lost leaves the others of its digest to themselves.
    return [
        message
        for message in pending
        if message.status.digest in {None, message.id} or message.status.digest not in ids
    ]


def digest_of(index: Sequence[OutboxMessage], first: OutboxMessage) -> list[OutboxMessage]:
    """Return a message and those that are in a digest with it, itself first."""
    others = [message for message in index if message.status.digest == first.id and message.id != first.id]
    return [first, *others]


def batches(index: Sequence[OutboxMessage], ids: set[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield the ids, with those of whole digests, in batches; each with its space."""
    chosen = {message.status.digest or message.id for message in index if message.id in ids}
    groups: dict[str, dict[int, list[int]]] = {}
    for message in index:
        group = message.status.digest or message.id
        if group in chosen:
            groups.setdefault(message.webhook.space, {}).setdefault(group, []).append(message.id)
    for space, its_groups in groups.items():
        batch: list[int] = []
        for group_ids in its_groups.values():
            if batch and len(batch) + len(group_ids) > BATCH:
                yield space, batch
                batch = []
            batch.extend(group_ids)
        yield space, batch


def overdue(index: Sequence[OutboxMessage], now: float) -> set[int]:
    """Return the ids of the messages that `expire` would change."""
    ids = {message.id: message for message in index}
    due = set()
    for message in index:
        first = ids.get(message.status.digest or message.id, message)
        if message.status.state in {"pending", "posted"} and first.rules.expires_at < now:
            due.add(message.id)
    return due


# Attempts -------------------------------------------------------------------------------------------------------


def start_attempt(
    found: list[OutboxMessage], members: Sequence[OutboxMessage], request: CreateMessageRequest
) -> list[OutboxMessage] | None:
    """Begin to post the members as one request, unless one has changed since it was read: as of now they may be posted.

    The first of them gets the request as its content.
    """
    if found != members:
        return None
    first = found[0].id
    begun = [
        message.with_status(digest=first, maybe_posted=True, attempts=message.status.attempts + 1) for message in found
    ]
    begun[0] = begun[0]._replace(request=request)
    return begun


def posted(
    found: list[OutboxMessage], attempt: Attempt, created: CreatedMessage, now: float
) -> list[OutboxMessage] | None:
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
    return [message.with_status(state="rejected") for message in ended]


def _ended(message: OutboxMessage, error: str, *, maybe_posted: bool) -> OutboxMessage:
    digest = message.status.digest if maybe_posted else None
    return message.with_status(error=error, maybe_posted=maybe_posted, digest=digest)


def note_error(found: list[OutboxMessage], error: str) -> list[OutboxMessage]:
    """Note why messages cannot even be tried."""
    return [message.with_status(error=error) for message in found]


def reject(found: list[OutboxMessage], error: str) -> list[OutboxMessage]:
    """Set messages aside whose contents cannot be read."""
    return [message.with_status(state="rejected", error=error) for message in found]


def release(found: list[OutboxMessage], origin: Origin) -> list[OutboxMessage]:
    """Note that the sender at ``origin`` does not wait for its messages any more: those that are posted are deleted."""
    return [
        message.with_status(is_awaited=False) if message.origin == origin else message
        for message in found
        if message.origin != origin or message.status.state != "posted"
    ]


# Time, and the user ---------------------------------------------------------------------------------------------


def expire(found: list[OutboxMessage], now: float) -> list[OutboxMessage]:
    """Let messages expire, and add notices of them, or put them into notices found that were not tried yet.

    Posted messages whose senders are dead are deleted.
    """
    due = overdue(found, now)
    left = [message for message in found if message.id not in due]
    expired = [message.with_status(state="expired") for message in found if message.id in due and message.is_pending]
    for fingerprint in dict.fromkeys(message.webhook.fingerprint for message in expired):
        its = [message for message in expired if message.webhook.fingerprint == fingerprint]
        before = next((message for message in left if can_count(message) and message.lane == (fingerprint, "")), None)
        left = [message for message in left if message is not before]
        left.append(notice_of(its, before, now))
    return [*left, *expired]


def can_count(message: OutboxMessage) -> bool:
    """Return whether the message is a notice that can count more messages: it was not tried yet."""
    return bool(message.is_pending and message.rules.expired and not message.status.attempts)


def retry(found: list[OutboxMessage], expires_at: float) -> list[OutboxMessage]:
    """Let messages that were rejected or have expired wait again. One that may have been posted keeps its content."""
    return [
        _ended(message, "", maybe_posted=message.status.maybe_posted)
        .with_status(state="pending", error=None)
        ._replace(rules=message.rules._replace(expires_at=expires_at))
        if message.status.state in {"rejected", "expired"}
        else message
        for message in found
    ]


def move(found: list[OutboxMessage], webhook: WebhookReference) -> list[OutboxMessage]:
    """Give messages another webhook."""
    return [
        message if message.status.state == "damaged" else message.with_status(error=None)._replace(webhook=webhook)
        for message in found
    ]


def delete(found: list[OutboxMessage]) -> list[OutboxMessage]:
    """Delete messages; those that are posted are left to their senders."""
    return [message for message in found if message.status.state == "posted"]
