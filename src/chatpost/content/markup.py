"""Chat's markup around a text: fences that it cannot break out of, and mentions before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_FENCE = "```"
# Between characters that then are no markup any more, but look as they did.
_NOTHING = "\u200b"


def fenced(text: str, language: str | None = None) -> str:
    """Put the text into a fence. With a language it is Markdown's, which Chat's own markup has not.

    Markdown's is longer than any in the text. Chat knows only one of three backticks, so three in the text are parted.
    """
    if language is not None:
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(len(_FENCE), longest + 1)
        return f"{fence}{language}\n{text}\n{fence}"
    return f"{_FENCE}\n{unfenceable(text, allow_mentions=True)}\n{_FENCE}"


def unfenceable(text: str, *, allow_mentions: bool) -> str:
    """Part backticks that could end a fence, and unless allowed, mentions; done twice it changes nothing more."""
    parted = re.sub("`{2,}", lambda run: _NOTHING.join(run[0]), text)
    return parted if allow_mentions else without_mentions(parted)


def without_mentions(text: str) -> str:
    """Return the text so that ``<users/...>`` in it reads as it did, but mentions nobody."""
    return re.sub("(?i)<(?=users/)", f"<{_NOTHING}", text)


def mentioning(users: Iterable[str], text: str) -> str:
    """Put mentions of users, by their ids or ``all``, before the text; on a line of their own before a fence."""
    mentions = " ".join(f"<users/{user}>" for user in users)
    if not mentions or not text:
        return mentions or text
    return f"{mentions}{chr(10) if text.startswith(_FENCE) else ' '}{text}"
