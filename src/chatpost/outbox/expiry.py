"""Expires messages, with a notice to the space: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, Message
from chatpost.formatting import format_time
from chatpost.outbox.model import OutboxMessage, Rules, Status, overdue
from chatpost.outbox.rows import preview_of

_YEAR = 366 * 86_400.0


def expire(found: list[OutboxMessage], now: float) -> list[OutboxMessage]:
    """Expire messages, and add a notice for each webhook, or count them in a notice among the messages found.

    Deletes posted messages whose sender has died.
    """
    due = overdue(found, now)
    left = [message for message in found if message.id not in due]
    expired = [message.with_status(state="expired") for message in found if message.id in due and message.is_pending]
    for fingerprint in dict.fromkeys(message.webhook.fingerprint for message in expired):
        its = [message for message in expired if message.webhook.fingerprint == fingerprint]
        before = next((each for each in left if can_count(each) and each.webhook.fingerprint == fingerprint), None)
        left = [message for message in left if message is not before]
        left.append(_notice(its, before, now))
    return [*left, *expired]


def can_count(message: OutboxMessage) -> bool:
    """Return whether the message is a notice that can count more messages: it has had no attempt yet."""
    return bool(message.is_pending and message.rules.expired and not message.status.attempts)


def _notice(expired: Sequence[OutboxMessage], before: OutboxMessage | None, now: float) -> OutboxMessage:
    """Return a notice of expired messages, and of those that the notice ``before`` already counts."""
    first = before or expired[0]
    number = len(expired) + (0 if before is None else before.rules.expired)
    count = "1 message has" if number == 1 else f"{number} messages have"
    when = f"{format_time(first.origin.written, now)} on {first.origin.host}"
    text = f"{count} expired and will not be posted; the first was written {when}"
    message = Message(f"⚠️ {text} (see `chatpost outbox list` there)")
    return OutboxMessage(
        0 if before is None else before.id,
        first.origin,
        first.webhook,
        thread="",
        rules=Rules(
            first.rules.interval, now + _YEAR, is_alone=True, expired=number
        ),  # the notice itself stays pending
        status=Status(),
        preview=preview_of(message),
        size=message.size,
        request=CreateMessageRequest(message, str(uuid4())),
    )
