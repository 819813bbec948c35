"""Splits a text that is too long for one message into parts, or takes its beginning or end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCE = re.compile(r"`{3,20}")
# One word after the backticks is a language; anything else is code.
_LANGUAGE = re.compile(r"[\w+#.-]{1,30}(?=\n|\Z)")
# Characters before and after a cut that are searched for grapheme boundaries. No script has longer graphemes.
_WINDOW = 200


class _Fence(NamedTuple):
    """An open code fence: its backticks, and the line that opens it again."""

    ticks: str
    opening: str


def split(text: str, limit: int, first_limit: int | None = None) -> Iterator[str]:
    """Yield parts of at most `limit` bytes of UTF-8 each; the first has at most `first_limit`.

    Parts end at line ends, else at spaces, else between graphemes; the line end or space itself is dropped. A code
    fence that is open at the end of a part is closed there and opened again in the next part. Blank parts are dropped.
    The limits must be a hundred bytes or more.
    """
    room, fence = first_limit or limit, None
    rest = text
    while rest:
        opening = fence.opening if fence else ""
        if _size(opening + rest) <= room:
            yield opening + rest
            return
        # Leave room to close a fence: whether one is open at the end is known only after the cut.
        end = _place_to_cut(rest, room - _size(opening) - _longest_closing(rest, fence))
        head, rest = rest[:end], rest[end + 1 :] if rest[end : end + 1] in {"\n", " "} else rest[end:]
        part, fence = opening + head, _open_fence(head, fence)
        if head.strip():
            yield f"{part}\n{fence.ticks}" if fence else part
        room = limit


def head(text: str, limit: int) -> str:
    """Return the beginning, of at most `limit` bytes, up to the end of a line if possible."""
    return text[: _place_to_cut(text, limit)] if _size(text) > limit else text


def tail(text: str, limit: int) -> str:
    """Return the end, of at most `limit` bytes, from the beginning of a line if possible."""
    if _size(text) <= limit:
        return text
    kept = text.encode()[-limit:].decode(errors="ignore")
    line_end = kept.find("\n", 0, -1)
    if line_end >= 0:
        return kept[line_end + 1 :]
    start = len(text) - len(kept)
    return text[_next_bound(text, start) :]


def _size(text: str) -> int:
    return len(text.encode())


def _longest_closing(text: str, fence: _Fence | None) -> int:
    """Return the bytes that are needed to close any fence in the text."""
    longest = max((len(run[0]) for run in _FENCE.finditer(text[: 64 * 1024])), default=0)
    return max(longest, len(fence.ticks) if fence else 0) + 1


def _open_fence(text: str, fence: _Fence | None) -> _Fence | None:
    """Return the fence that is open at the end of the text, if any; `fence` is open at its beginning."""
    for run in _FENCE.finditer(text):
        if fence is None:
            language = _LANGUAGE.match(text, run.end())
            fence = _Fence(run[0], f"{run[0]}{language[0] if language else ''}\n")
        elif len(run[0]) >= len(fence.ticks):
            fence = None
    return fence


def _place_to_cut(text: str, size: int) -> int:
    """Return how many characters of the text, at least one, to take for at most `size` bytes."""
    fits = len(text.encode()[:size].decode(errors="ignore"))
    if text[fits : fits + 1] in {"\n", " "}:
        return fits
    for end in "\n", " ":
        place = text.rfind(end, 1, fits)
        if place > 0 and text[:place].strip():
            return place
    return _last_bound(text, fits)


def _bounds(text: str, start: int, end: int) -> list[int]:
    """Return where graphemes end in a part of the text."""
    import regex  # needed only if there is no space in the whole message

    return [start + match.end() for match in regex.finditer(r"\X", text[start:end])]


def _last_bound(text: str, place: int) -> int:
    start = max(0, place - _WINDOW)
    # The last boundary is the end of the window, which may be in the middle of a grapheme.
    return max((bound for bound in _bounds(text, start, place + _WINDOW)[:-1] if start < bound <= place), default=place)


def _next_bound(text: str, place: int) -> int:
    start = max(0, place - _WINDOW)
    return min((bound for bound in _bounds(text, start, place + _WINDOW) if bound >= place), default=place)
