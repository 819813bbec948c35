"""Converts Chat's own markup to HTML.

Source: "Format messages" in the Chat documentation: ``*bold*``, ``_italic_``, ``~strike~``, code in backticks, links as
``<url|label>``, mentions as ``<users/ID>``, and list items.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# A doubled or unbalanced marker, or one inside a word, is not markup.
_SPAN = r"(?<![\w{0}]){0}(?P<{1}>[^\s{0}](?:[^{0}\n]*[^\s{0}])?){0}(?![\w{0}])"
_CJK = "。，、；：？！…“”‘’「」『』【】（）《》〈〉"  # noqa: RUF001 - punctuation that never belongs to a link
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_SYNTAX = (
    r"```\n?(?P<block>.*?)\n?```"
    r"|(?<!`)`(?P<code>[^`\n]+)`(?!`)"
    r"|<(?P<url>https?://[^|<>\s]+)\|(?P<label>[^<>\n]+)>"
    r"|<users/(?P<user>[^<>\s]+)>"
    rf"|(?P<link>https?://[^\s<>\"{_CJK}]+)"
    rf"|{_SPAN.format(chr(92) + '*', 'bold')}|{_SPAN.format('_', 'italic')}|{_SPAN.format('~', 'strike')}"
    r"|^(?P<item>[*-] )"
)


def to_html(text: str, templates: Mapping[str, str]) -> str:
    """Convert a text by one template for each kind of markup, with ``{text}`` and ``{url}``, which are escaped.

    The kinds are block, code, link, user, bold, italic, strike and item.
    """
    from html import escape  # it has large tables, and few messages need it

    html, at = [], 0
    for match in re.finditer(_SYNTAX, text, re.DOTALL | re.MULTILINE):
        html.append(escape(text[at : match.start()], quote=False))
        kind, link = match.lastgroup or "", _without_punctuation(match["link"] or "")
        url = match["url"] or link
        at = match.start() + len(link) if link else match.end()
        has_markup = kind in {"bold", "italic", "strike"}
        inner = to_html(match[kind], templates) if has_markup else escape(link or match[kind], quote=False)
        html.append(templates["link" if url else kind].format(text=inner, url=escape(url)))
    return "".join(html) + escape(text[at:], quote=False)


def _without_punctuation(link: str) -> str:
    """Return a link without the punctuation, the quotes and the unbalanced brackets at its end."""
    closed = {bracket: link.count(bracket) - link.count(opening) for bracket, opening in _BRACKETS.items()}
    end = len(link)
    while end and (link[end - 1] in ".,;:!?'*»" or closed.get(link[end - 1], 0) > 0):
        if link[end - 1] in closed:
            closed[link[end - 1]] -= 1
        end -= 1
    return link[:end]
