"""Splits a text that is too long for one message into parts, or cuts off its beginning or end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Syntax = Literal["chat", "markdown", "plain"]
"""The markup in a text, which determines its code fences. Plain text has no fences."""

# A Markdown fence is a whole line: the opening one can have a language, the closing one cannot.
_MARKDOWN_FENCE = r"(?m)^( {0,3})(`{3,99}(?=[^`\n]*$)|~{3,99}(?!~))([^\n]*)$"


class Fence(NamedTuple):
    """An open code fence: the line that closes it, and the line that reopens it."""

    closing: str
    opening: str


class Taken(NamedTuple):
    """A part of a text, the rest, and the fence to reopen in the rest."""

    part: str
    rest: str
    fence: Fence | None = None


def take(text: str, room: int, fence: Fence | None = None, *, syntax: Syntax = "chat") -> Taken:
    """Take a part of at most `room` bytes of UTF-8 from the beginning; `fence` is open there.

    The part ends at a line end, else at a space, else between graphemes; the line end or space itself is dropped. A
    code fence that is open at the end of the part is closed there.
    """
    opening = fence.opening if fence else ""
    room -= _size(opening)
    if len(text) <= room and _size(text) <= room:
        return Taken(opening + text, "")
    reserve = _closing_size(fence)  # bytes for the line that closes the fence at the end of the part
    while True:
        end = _place_to_cut(text, room - reserve)
        after = open_fence(text[:end], fence, syntax=syntax)
        if _closing_size(after) <= reserve or reserve > room // 2:
            break
        reserve = _closing_size(after)
    part, rest = opening + text[:end], text[end + 1 :] if text[end : end + 1] in {"\n", " "} else text[end:]
    return Taken(f"{part}\n{after.closing}" if after else part, rest, after)


def split(text: str, limit: int) -> Iterator[str]:
    """Yield the parts of a plain text, at most `limit` (100 or more) bytes of UTF-8 each. Blank parts are dropped."""
    while text:
        part, text, _ = take(text, limit, syntax="plain")
        if part.strip():
            yield part


def head(text: str, limit: int, *, syntax: Syntax = "chat") -> str:
    """Return the beginning, of at most `limit` bytes, up to the end of a line if possible; an open fence is closed."""
    return take(text, limit, syntax=syntax).part


def tail(text: str, limit: int, *, syntax: Syntax = "chat") -> str:
    """Return the end, of at most `limit` bytes, from the beginning of a line if possible; an open fence is reopened."""
    if _size(text) <= limit:
        return text
    start = _start_of_tail(text, limit)
    fence = open_fence(text[:start], None, syntax=syntax)
    if fence is None:
        return text[start:]
    return fence.opening + text[_start_of_tail(text, limit - _size(fence.opening)) :]


def open_fence(text: str, fence: Fence | None, *, syntax: Syntax) -> Fence | None:
    """Return the fence that is open at the end of the text, or None; `fence` is open at its beginning."""
    if syntax == "plain":
        return None
    if syntax == "chat":
        # In Chat's markup, any three backticks open or close a fence.
        is_open = (text.count("```") + (fence is not None)) % 2 == 1
        return Fence("```", "```\n") if is_open else None
    for line in re.finditer(_MARKDOWN_FENCE, text):
        indent, ticks, info = line[1], line[2], line[3].strip()
        if fence is None:
            language = "" if info.encode()[50:] else info  # each part repeats it
            fence = Fence(indent + ticks, f"{indent}{ticks}{language}\n")
        elif ticks.startswith(fence.closing.strip()) and not info:
            fence = None
    return fence


def _size(text: str) -> int:
    return len(text.encode())


def _closing_size(fence: Fence | None) -> int:
    return len(f"\n{fence.closing}") if fence else 0


def _place_to_cut(text: str, size: int) -> int:
    """Return the number of characters, at least one, to take for at most `size` bytes."""
    size = max(size, 0)
    fits = len(text[:size].encode()[:size].decode(errors="ignore"))
    for end in "\n", " ":
        place = text.rfind(end, 1, fits + 1)
        if place > 0 and text[:place].strip():
            return place
    from chatpost.content.graphemes import last_boundary  # rarely needed: the part has no space

    return last_boundary(text, max(fits, 1))


def _start_of_tail(text: str, limit: int) -> int:
    kept = text[-limit:].encode()[-limit:].decode(errors="ignore")
    start = len(text) - len(kept)
    line_end = kept.find("\n", 0, -1)
    if line_end >= 0:
        return start + line_end + 1
    from chatpost.content.graphemes import next_boundary  # rarely needed: the part has no line end

    return next_boundary(text, start)
