"""Parses Chat's own markup, and converts it to HTML.

Source: "Format messages" in the Chat documentation: ``*bold*``, ``_italic_``, ``~strike~``, code in backticks, links as
``<url|label>``, mentions as ``<users/ID>``, and list items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, cast

Kind = Literal["text", "block", "code", "link", "user", "bold", "italic", "strike", "item"]

_WORD = r"\S(?:[^{0}\n]*\S)?"
_SYNTAX = (
    r"```\n?(?P<block>.*?)\n?```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<url>https?://[^|<>\s]+)\|(?P<label>[^<>\n]+)>"
    r"|<users/(?P<user>[^<>\s]+)>"
    r"|(?P<link>https?://[^\s<>]+)"
    rf"|(?<!\w)\*(?P<bold>{_WORD.format('*')})\*(?!\w)"
    rf"|(?<!\w)_(?P<italic>{_WORD.format('_')})_(?!\w)"
    rf"|(?<!\w)~(?P<strike>{_WORD.format('~')})~(?!\w)"
    r"|^(?P<item>[*-] )"
)


class Part(NamedTuple):
    """A part of a text. The ``text`` of bold, italic and strike can contain markup; ``url`` is set for a link."""

    kind: Kind
    text: str
    url: str = ""


def parts(text: str) -> Iterator[Part]:
    """Yield the parts of a text, in order."""
    at = 0
    for match in re.finditer(_SYNTAX, text, re.DOTALL | re.MULTILINE):
        if match.start() > at:
            yield Part("text", text[at : match.start()])
        at = match.end()
        kind, url = match.lastgroup or "text", match["url"] or match["link"] or ""
        yield Part("link" if url else cast("Kind", kind), match[kind], url)
    if at < len(text):
        yield Part("text", text[at:])


def to_html(text: str, templates: Mapping[str, str]) -> str:
    """Convert a text by one template for each kind of part, with ``{text}`` and ``{url}``; both are escaped."""
    from html import escape  # it has large tables, and few messages need it

    html = []
    for kind, inner, url in parts(text):
        has_markup = kind in {"bold", "italic", "strike"}
        shown = to_html(inner, templates) if has_markup else escape(inner, quote=False)
        html.append(templates.get(kind, "{text}").format(text=shown, url=escape(url)))
    return "".join(html)
