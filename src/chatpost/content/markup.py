"""Code fences that a text cannot close, and mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from chatpost.content.split import Syntax

_NOTHING = "\u200b"  # within markup, it makes it plain text that looks the same
# Markup that works only at the beginning of a line, in Markdown and in Chat's own markup.
_MARKDOWN_BLOCK = r" {0,3}(#{1,6}\s|>|[-*+]\s|\d{1,9}[.)]\s|\||`{3}|~{3}|<)| {4}|\t"
_CHAT_BLOCK = r"[*-] |```|>"


class Style(NamedTuple):
    """The format of a text: code (``code``, or a ``language``), Markdown, or Chat's own markup.

    ``mention`` has user IDs, or ``all``. ``allow_mentions``: do not escape mentions in piped text.
    """

    code: bool = False
    language: str | None = None
    markdown: bool = False
    mention: tuple[str, ...] = ()
    allow_mentions: bool = False

    @property
    def is_code(self) -> bool:
        """Whether the text is code."""
        return self.code or self.language is not None

    @property
    def is_markdown(self) -> bool:
        """Whether the message is Markdown. Chat's own markup has no languages."""
        return self.markdown or self.language is not None

    @property
    def syntax(self) -> Syntax:
        """The markup in the text itself: code has none."""
        if self.is_code:
            return "plain"
        return "markdown" if self.markdown else "chat"

    def shown(self, words: str) -> str:
        """Return the words, in a fence if they are code."""
        return fenced(words, self.language, is_markdown=self.is_markdown) if self.is_code and words else words


def fenced(text: str, language: str | None = None, *, is_markdown: bool = False) -> str:
    """Put the text into a code fence. Only Markdown's has a language.

    Markdown's fence is longer than any run of backticks in the text. Chat's is always three backticks, so such runs in
    the text are broken up.
    """
    if is_markdown:
        fence = "`" * max(3, len(max(re.findall("`+", text), key=len, default="")) + 1)
        return f"{fence}{language or ''}\n{text}\n{fence}"
    return f"```\n{without_fences(text)}\n```"


def without_fences(text: str, longest: int = 2) -> str:
    """Break up runs of more than ``longest`` backticks: three of them would close a fence of Chat's."""
    return re.sub(f"`{{{longest}}}(?=`)", lambda run: f"{run[0]}{_NOTHING}", text)


def escape_mentions(text: str) -> str:
    """Return the text with each ``<users/...>`` changed so that it looks the same but does not notify anyone."""
    return re.sub("(?i)<(?=users/)", f"<{_NOTHING}", text)


def literal(text: str) -> str:
    """Return text that looks the same, but is neither markup nor a mention."""
    return re.sub(rf"(?:[<\[`]|(?<!\w)[*_~])(?!{_NOTHING})", rf"\g<0>{_NOTHING}", text)


def linked(label: str, url: str | None, *, is_markdown: bool) -> str:
    """Return a link with a label, or without a URL the label alone."""
    if url is None:
        return literal(label)
    if is_markdown:
        return f"[{literal(label).replace(']', ')')}]({url.replace(')', '%29')})"
    return f"<{url.replace('|', '%7C')}|{label.translate(dict.fromkeys(map(ord, '<>|'), ' '))}>"


def take_mentions(words: str) -> tuple[list[str], str]:
    """Return the users that a text mentions outside code, and the text with their IDs, or without leading mentions."""
    users: list[str] = []

    def take(match: re.Match[str]) -> str:
        if match["user"] is None:
            return match[0]
        users.append(match["user"])
        return f"@{match['user']}"

    pattern = r"```.*?```|`[^`\n]*`|<users/(?P<user>[^<>\s]+)>"
    leading = re.match(r"(?:<users/[^<>\s]+>\s*)*", words)
    end = leading.end() if leading else 0
    re.sub(pattern, take, words[:end])
    return users, re.sub(pattern, take, words[end:], flags=re.DOTALL)


def mentioning(users: Iterable[str], text: str, *, is_markdown: bool) -> str:
    """Put mentions of users, by ID or ``all``, before the text; on a separate line if the text begins with a block."""
    mentions = " ".join(f"<users/{user}>" for user in users)
    if not mentions or not text:
        return mentions or text
    if is_markdown:
        # Some blocks begin only after a blank line.
        return f"{mentions}\n\n{text}" if _begins_markdown_block(text) else f"{mentions} {text}"
    return f"{mentions}\n{text}" if re.match(_CHAT_BLOCK, text) else f"{mentions} {text}"


def _begins_markdown_block(text: str) -> bool:
    first, second, *_ = f"{text}\n".replace(" ", "").split("\n", 2)
    is_rule = re.fullmatch(r"-{3,}|\*{3,}|_{3,}", first)
    # The second line makes the first line a heading, or the header of a table.
    is_underlined = re.fullmatch("=+|(?=[:|]*-)[:|-]+", second)
    return bool(is_rule or is_underlined or re.match(_MARKDOWN_BLOCK, text))
