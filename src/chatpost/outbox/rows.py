"""A message of the outbox as the texts that a store keeps, and back: one for the message, two for its contents."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.chat.webhook import mask_webhooks
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status, WebhookReference

_STATES = {"pending", "posted", "rejected", "expired"}


def to_row(message: OutboxMessage) -> str:
    """Return a message, without its id and its contents, as JSON."""
    return json.dumps(message[1:-1])


def from_row(id: int, space: str, row: str | bytes | None) -> OutboxMessage:  # noqa: A002 - the name that users know
    """Return a message of the space, without its contents; one in the state ``damaged`` if the row cannot be read."""
    try:
        origin, webhook, thread, rules, status, preview, size = json.loads(row or "")
        state, attempts, error, maybe_posted, digest, is_awaited, created = status
        created = None if created is None else CreatedMessage(*created)
        message = OutboxMessage(
            id,
            Origin(*origin),
            WebhookReference(*webhook),
            thread,
            Rules(*rules),
            Status(state, attempts, error, maybe_posted, digest, is_awaited, created),
            preview,
            size,
        )
        if _is_valid(message, space):
            return message
    except (ValueError, TypeError, RecursionError):
        pass
    why = f"it is damaged; `chatpost outbox drop {id}` takes it out"
    return OutboxMessage(
        id,
        Origin("", 0.0),
        WebhookReference(None, None, "", space),
        "",
        Rules(None, 0.0),
        Status("damaged", 0, why),
        "",
        0,
    )


def _is_valid(message: OutboxMessage, space: str) -> bool:
    (host, written), (profile, config, fingerprint, own_space) = message.origin, message.webhook
    rules, status = message.rules, message.status
    texts = (host, fingerprint, message.thread, message.preview, profile or "", config or "", status.error or "")
    numbers = (written, rules.expires_at, rules.interval or 0.0)
    counts = (message.size, status.attempts, status.digest or 0, rules.expired)
    return (
        own_space == space
        and status.state in _STATES
        and all([isinstance(text, str) for text in texts])  # noqa: C419 - twice as fast
        and all([isinstance(number, float | int) and isfinite(number) for number in numbers])  # noqa: C419
        and all([isinstance(count, int) for count in counts])  # noqa: C419
    )


def with_content(message: OutboxMessage, spooled: str | bytes | None, sent: str | bytes | None) -> OutboxMessage:
    """Return the message with its content, which is the one last ``sent`` from the first attempt on.

    It has none if that is damaged.
    """
    content = sent if message.status.digest == message.id and sent else spooled
    try:
        return message._replace(request=_unpack(json.loads(content or "")))
    except (ValueError, TypeError, RecursionError):
        return message._replace(request=None)


def slot_of(message: OutboxMessage) -> str:
    """Return where the content that the message has now is stored: ``spooled`` or ``sent``."""
    return "sent" if message.status.digest == message.id else "spooled"


def pack(request: CreateMessageRequest) -> str:
    """Return a request as JSON, without the secrets of webhooks."""
    # The reply option alone is no plain value. A text can hold a webhook's URL.
    return json.dumps(mask_webhooks(request), default=lambda option: option.value)


def _unpack(values: Any) -> CreateMessageRequest:
    message, request_id, thread, option, silent = values
    content, is_markdown, cards, fallback_text = message
    if not (isinstance(content, str) and isinstance(request_id, str)):
        raise TypeError
    return CreateMessageRequest(
        Message(content, is_markdown, tuple(cards), fallback_text),
        request_id,
        None if thread is None else Thread(*thread),
        None if option is None else MessageReplyOption(option),
        silent,
    )
