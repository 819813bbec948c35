"""A message of the outbox as the plain values that a store keeps, and back."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.chat.webhook import mask_webhooks
from chatpost.errors import StorageError
from chatpost.outbox.model import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_ENTRY = tuple(name for name in Entry._fields if name not in {"request", "created"})


def row_of(entry: Entry) -> dict[str, Any]:
    """Return the columns of a message that is kept anew."""
    names = ("written", "host", "profile", "config", "fingerprint", "space", "thread", "interval", "keep_until")
    row = {name: getattr(entry, name) for name in (*names, "is_alone", "is_part")}
    return row | {"request": packed(entry.request)}


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return a message that is kept; raises `StorageError` if it is damaged."""
    values = {name: row[name] for name in _OF_ENTRY}
    try:
        created = None if row["created"] is None else CreatedMessage(*json.loads(row["created"]))
        # Its sender may lose sight of it, and post it without the outbox.
        values["is_alone"] = bool(values["is_alone"] or row["is_awaited"])
        return Entry(**values, request=_unpacked(row["sealed"] or row["request"]), created=created)
    except (ValueError, TypeError):
        where = f"the outbox's message {row['id']}"
        why = f"it is damaged; `chatpost outbox drop {row['id']}` takes it out"
        raise StorageError(where, why) from None


def packed(request: CreateMessageRequest) -> str:
    """Return a request as JSON, without the secrets of webhooks."""
    # The reply option alone is no plain value. A text can hold a webhook's URL.
    return json.dumps(mask_webhooks(request), default=lambda option: option.value)


def packed_path(path: Path) -> str:
    """Return a path, as seen from the root, as ASCII: it need not be UTF-8."""
    with suppress(OSError):  # the working directory can be gone, and with it what was there
        path = path.absolute()
    return quote(os.fsencode(path))


def unpacked_path(text: str) -> Path:
    """Return the path that `packed_path` has packed."""
    return Path(os.fsdecode(unquote_to_bytes(text)))


def _unpacked(text: str) -> CreateMessageRequest:
    message, request_id, thread, option, silent = json.loads(text)
    content, is_markdown, cards, fallback_text = message
    return CreateMessageRequest(
        Message(content, is_markdown, tuple(cards), fallback_text),
        request_id,
        None if thread is None else Thread(*thread),
        None if option is None else MessageReplyOption(option),
        silent,
    )
