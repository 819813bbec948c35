"""Changes messages that have waited: says that they are late, and joins many into one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby, takewhile
from typing import TYPE_CHECKING
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreateMessageRequest, Message
from chatpost.content.split import open_fence
from chatpost.durations import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.outbox.model import Entry

_YEAR = 366 * 86_400.0

LATE = 300.0
"""Seconds after which a message says that it is late."""


def late(entry: Entry, now: float) -> CreateMessageRequest:
    """Return the message's request, with a first line that says when it was written if that is long ago.

    A message that has no room for the line stays as it is.
    """
    request, message = entry.request, entry.request.message
    if now - entry.written <= LATE or entry.is_part:
        return request
    note = f"(written {_time(entry.written, now)}, {duration(now - entry.written)} late)"
    changed = message._replace(text=_below(note, message.text, message.is_markdown))
    return request._replace(message=changed) if changed.size <= SIZE_LIMIT else request


def digest(entries: Sequence[Entry], now: float) -> tuple[CreateMessageRequest, int]:
    """Join as many of the messages, from the first on, as fit into one; return its request, and their number.

    Each stands under a line with its time, and its host if there are several; repeats are one, with their number. A
    message that has to go alone, and those behind it, are left for later.
    """
    first = entries[0].request

    def can_join(entry: Entry) -> bool:
        request = entry.request
        is_alike = request._replace(message=first.message, request_id=first.request_id) == first
        is_alike = is_alike and request.message.is_markdown == first.message.is_markdown
        has_to_stay = entry.state != "waiting" or entry.is_uncertain
        return is_alike and not (has_to_stay or entry.is_alone or entry.is_part)

    joined = list(takewhile(can_join, entries))
    with_host = len({entry.host for entry in joined}) > 1
    text, count = "", 0
    for _, group in groupby(joined, lambda entry: (entry.request.message.text, entry.host if with_host else "")):
        repeats = list(group)
        piece = _piece(repeats, now, with_host=with_host)
        longer = _below(text, piece, first.message.is_markdown) if text else piece
        if len(longer.encode()) > SIZE_LIMIT:
            break
        text, count = longer, count + len(repeats)
    # Under an id of its own: the first message may have been tried by itself.
    return first._replace(message=first.message._replace(text=text), request_id=str(uuid4())), count


def expired(entries: Sequence[Entry], now: float) -> Entry:
    """Return a message that says how many messages have expired, for the webhook of the first of them."""
    first = entries[0]
    count = "1 message has" if len(entries) == 1 else f"{len(entries)} messages have"
    when = f"{_time(first.written, now)} on {first.host}"
    text = f"{count} waited too long and will not be posted; the first was written {when}"
    request = CreateMessageRequest(Message(f"⚠️ {text} (see `chatpost outbox list` there)"), str(uuid4()))
    keep_until = now + _YEAR  # the notice itself does not expire
    return first._replace(
        written=now, request=request, thread="", keep_until=keep_until, is_alone=True, is_part=False, state="waiting"
    )


def _piece(repeats: Sequence[Entry], now: float, *, with_host: bool) -> str:
    """Return a message, or several that are the same, under their line."""
    first, last = repeats[0], repeats[-1]
    when = _time(first.written, now, "%H:%M:%S")
    if len(repeats) > 1:
        when = f"{when} to {_time(last.written, now, '%H:%M:%S')}, ×{len(repeats)}"  # noqa: RUF001 - it means times
    message = first.request.message
    text = message.text
    # A code block that is not closed would go on into the next message.
    if fence := open_fence(text, None, syntax="markdown" if message.is_markdown else "chat"):
        text = f"{text}\n{fence.closing}"
    return _below(f"[{when}, {first.host}]" if with_host else f"[{when}]", text, message.is_markdown)


def _below(first: str, text: str, is_markdown: bool) -> str:  # noqa: FBT001 - as the message says
    """Return a text below another: in Markdown, only a blank line ends a paragraph."""
    return f"{first}\n\n{text}" if is_markdown and text else f"{first}\n{text}".rstrip("\n")


def _time(then: float, now: float, form: str = "%H:%M") -> str:
    """Return a time, with its date if that is not today's."""
    moment, today = datetime.fromtimestamp(then, UTC), datetime.fromtimestamp(now, UTC).date()
    return f"{moment:{form}} UTC" if moment.date() == today else f"{moment:%Y-%m-%d {form}} UTC"
