"""Markup around a text: fences that the text cannot break out of, and mentions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_FENCE = "```"
# Put between the characters of markup, it makes them plain text that looks the same.
_NOTHING = "\u200b"


def fenced(text: str, language: str | None = None) -> str:
    """Put the text into a code fence: Markdown's with a language, since Chat's own markup has no languages.

    Markdown's fence is longer than any run of backticks in the text. Chat's fence is always three backticks, so runs in
    the text are broken up.
    """
    if language is not None:
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(len(_FENCE), longest + 1)
        return f"{fence}{language}\n{text}\n{fence}"
    return f"{_FENCE}\n{unfenceable(text, allow_mentions=True)}\n{_FENCE}"


def unfenceable(text: str, *, allow_mentions: bool) -> str:
    """Break up backticks that could end a fence, and mentions unless they are allowed. Can be applied twice."""
    parted = re.sub("`{2,}", lambda run: _NOTHING.join(run[0]), text)
    return parted if allow_mentions else without_mentions(parted)


def without_mentions(text: str) -> str:
    """Return the text with ``<users/...>`` changed so that it looks the same but mentions nobody."""
    return re.sub("(?i)<(?=users/)", f"<{_NOTHING}", text)


def mentioning(users: Iterable[str], text: str) -> str:
    """Put mentions of users, by id or ``all``, before the text; before a fence, on a line of their own."""
    mentions = " ".join(f"<users/{user}>" for user in users)
    if not mentions or not text:
        return mentions or text
    return f"{mentions}{chr(10) if text.startswith(_FENCE) else ' '}{text}"
