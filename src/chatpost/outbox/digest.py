"""Changes messages before they are posted: marks late messages, and makes digests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreateMessageRequest
from chatpost.content.split import open_fence
from chatpost.formatting import format_duration, format_time
from chatpost.outbox.model import OutboxMessage

LATE = 300.0  # seconds after which a message is marked as late


def late(message: OutboxMessage, request: CreateMessageRequest, now: float) -> CreateMessageRequest:
    """Return the request with a first line that says when the message was written.

    Parts of a text, notices, and messages that have no room for the line stay unchanged.
    """
    written, content = message.origin.written, request.message
    if message.rules.is_part or message.rules.expired:
        return request
    note = f"(written {format_time(written, now)}, {format_duration(now - written)} late)"
    changed = content._replace(text=_below(note, content.text, content.is_markdown))
    return request._replace(message=changed) if changed.size <= SIZE_LIMIT else request


def digest(
    first: CreateMessageRequest, messages: Iterable[OutboxMessage], now: float
) -> tuple[CreateMessageRequest, int] | None:
    """Join as many messages as fit into one; return its request and their number, or None for fewer than two.

    ``first`` is the request of the first message. Consumes little more of the messages than fits, up to the first that
    goes alone. Each message gets a line with its time, and its host if the hosts differ; repeats are counted.
    """
    joined = _joined(first, messages)
    with_host = len({message.origin.host for message in joined}) > 1
    text, count = "", 0
    for _, group in groupby(joined, lambda message: (_text(message), message.origin.host if with_host else "")):
        repeats = list(group)
        piece = _piece(repeats, now, with_host=with_host)
        longer = _below(text, piece, first.message.is_markdown) if text else piece
        if len(longer.encode()) > SIZE_LIMIT:
            break
        text, count = longer, count + len(repeats)
    if count < 2:  # noqa: PLR2004 - a digest
        return None
    # A new request id: the first message may have been posted alone.
    return first._replace(message=first.message._replace(text=text), request_id=str(uuid4())), count


def _joined(first: CreateMessageRequest, messages: Iterable[OutboxMessage]) -> list[OutboxMessage]:
    """Return the messages that can be joined, until they are certainly too large for one message."""
    joined: list[OutboxMessage] = []
    size = 0
    for message in takewhile(lambda message: _can_join(first, message), messages):
        size += len(_text(message).encode()) if not joined or _text(message) != _text(joined[-1]) else 0
        joined.append(message)
        if size > SIZE_LIMIT:
            break
    return joined


def _can_join(first: CreateMessageRequest, message: OutboxMessage) -> bool:
    request = message.request
    if request is None or message.goes_alone:
        return False
    is_alike = request._replace(message=first.message, request_id=first.request_id) == first
    return is_alike and request.message.is_markdown == first.message.is_markdown


def _text(message: OutboxMessage) -> str:
    return "" if message.request is None else message.request.message.text


def _piece(repeats: Sequence[OutboxMessage], now: float, *, with_host: bool) -> str:
    """Return the text of a message, or of several equal ones, below a line with the time."""
    first, last = repeats[0], repeats[-1]
    when = format_time(first.origin.written, now, "%H:%M:%S")
    if len(repeats) > 1:
        when = f"{when} to {format_time(last.origin.written, now, '%H:%M:%S')}, ×{len(repeats)}"  # noqa: RUF001 - it means times
    text = _text(first)
    is_markdown = first.request is not None and first.request.message.is_markdown
    # An unclosed code block would continue into the next message.
    if fence := open_fence(text, None, syntax="markdown" if is_markdown else "chat"):
        text = f"{text}\n{fence.closing}"
    return _below(f"[{when}, {first.origin.host}]" if with_host else f"[{when}]", text, is_markdown)


def _below(first: str, text: str, is_markdown: bool) -> str:  # noqa: FBT001 - as the message says
    """Return a text below a first line. In Markdown, only a blank line ends a paragraph."""
    return f"{first}\n\n{text}" if is_markdown and text else f"{first}\n{text}".rstrip("\n")
