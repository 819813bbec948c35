"""Converts a message of the outbox to and from the texts that are stored: a row, and two contents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.chat.webhook import mask_webhooks
from chatpost.formatting import one_line
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status, WebhookReference

_MOST = 1e11  # of any number: seconds of the year 5138
_LONGEST_INTERVAL = 86_400  # seconds: the option's maximum
_DEEPEST = 100
_PREVIEW = 60  # characters
_STATES = {"pending", "posted", "rejected", "expired"}


def preview_of(message: Message) -> str:
    """Return the beginning of a message on one line, without the secrets of webhooks."""
    return one_line(mask_webhooks(message.text or message.fallback_text or "(a card)"), _PREVIEW)


def to_row(message: OutboxMessage) -> str:
    """Return a message, without its id and its contents, as JSON."""
    return json.dumps(message[1:-1])


def from_rows(rows: Iterable[Sequence[Any]]) -> list[OutboxMessage]:
    """Parse messages from tuples of id, space, row, and optionally the contents ``spooled`` and ``sent``.

    A message with an invalid row has the state ``damaged``; one with invalid contents has no request.
    """
    messages = []
    for number, space, row, *contents in rows:
        try:
            message = _parse(number, row)
            is_valid = _is_valid(message) and message.webhook.space == space
        except (ValueError, TypeError, RecursionError, OverflowError):
            is_valid = False
        message = message if is_valid else _damaged(number, space)
        messages.append(_with_content(message, *contents) if contents else message)
    return messages


def _parse(number: int, row: str | bytes) -> OutboxMessage:
    origin, webhook, thread, rules, (*status, created), preview, size = json.loads(row)
    known = Status(*status)._replace(created=None if created is None else CreatedMessage(*created))
    return OutboxMessage(
        number, Origin(*origin), WebhookReference(*webhook), thread, Rules(*rules), known, preview, size
    )


def _is_valid(message: OutboxMessage) -> bool:
    (host, written), (profile, config, fingerprint, space) = message.origin, message.webhook
    rules, status = message.rules, message.status
    names = (host, fingerprint, space, message.thread, message.preview)
    texts: tuple[object, ...] = (*names, profile or "", config or "", status.error or "", *(status.created or ()))
    numbers = (written, rules.expires_at, rules.interval or 0.0)
    counts = (message.size, status.attempts, status.digest or 0, rules.expired)
    return (
        status.state in _STATES
        and all([isinstance(text, str) and _is_utf8(text) for text in texts])  # noqa: C419 - a generator takes twice the time
        and (rules.interval or 0.0) <= _LONGEST_INTERVAL
        and all([isinstance(number, float | int) and 0 <= number <= _MOST for number in numbers])  # noqa: C419 - see above
        and all([isinstance(count, int) and 0 <= count <= _MOST for count in counts])  # noqa: C419 - see above
    )


def _is_utf8(text: str) -> bool:
    """Return whether a text contains no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: object, most: int = _DEEPEST) -> int:
    """Return the depth of a JSON value, or ``most`` if it is deeper."""
    its = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item, most - 1) for item in its), default=0) if most > 0 else 0


def _damaged(number: int, space: str) -> OutboxMessage:
    status = Status("damaged", error=f"it is damaged: delete it with `chatpost outbox delete {number}`")
    return OutboxMessage(
        number, Origin("", 0.0), WebhookReference(None, None, "", space), "", Rules(None, 0.0), status, "", 0
    )


def _with_content(message: OutboxMessage, spooled: str | bytes, sent: str | bytes | None) -> OutboxMessage:
    """Return the message with its content, which is the one ``sent`` last once an attempt has begun."""
    content = sent if message.status.digest == message.id and sent else spooled
    try:
        return message._replace(request=_unpack(json.loads(content)))
    except (ValueError, TypeError, RecursionError):
        return message


def content_of(message: OutboxMessage) -> tuple[str, str] | None:
    """Return a message's content without secrets of webhooks, after its field's name: ``spooled`` or ``sent``.

    Returns None if the message has no content.
    """
    if message.request is None:
        return None
    # Only the reply option is not JSON already. A text can contain a webhook's URL.
    packed = json.dumps(mask_webhooks(message.request), default=lambda option: option.value)
    return "sent" if message.status.digest == message.id else "spooled", packed


def _unpack(values: Any) -> CreateMessageRequest:
    if _depth(values) >= _DEEPEST or not _is_utf8(json.dumps(values, ensure_ascii=False)):
        raise ValueError
    message, request_id, thread, option, *rest = values
    content, is_markdown, cards, fallback_text, *widgets = message
    optional = [text for text in (fallback_text, *(thread or ())) if text is not None]
    if not all(isinstance(text, str) for text in (content, request_id, *optional)):
        raise TypeError
    return CreateMessageRequest(
        Message(content, is_markdown, tuple(cards), fallback_text, *map(tuple, widgets)),
        request_id,
        None if thread is None else Thread(*thread),
        None if option is None else MessageReplyOption(option),
        *rest,
    )
