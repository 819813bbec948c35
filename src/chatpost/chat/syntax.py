"""Converts Chat's own markup to HTML.

Source: "Format messages" in the Chat documentation: ``*bold*``, ``_italic_``, ``~strike~``, code in backticks, links as
``<url|label>``, mentions as ``<users/ID>``, and list items.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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


def to_html(text: str, templates: Mapping[str, str]) -> str:
    """Convert a text by one template for each kind of markup, with ``{text}`` and ``{url}``, which are escaped.

    The kinds are block, code, link, user, bold, italic, strike and item.
    """
    from html import escape  # it has large tables, and few messages need it

    html, at = [], 0
    for match in re.finditer(_SYNTAX, text, re.DOTALL | re.MULTILINE):
        html.append(escape(text[at : match.start()], quote=False))
        at = match.end()
        kind, url = match.lastgroup or "", match["url"] or match["link"] or ""
        has_markup = kind in {"bold", "italic", "strike"}
        inner = to_html(match[kind], templates) if has_markup else escape(match[kind], quote=False)
        html.append(templates["link" if url else kind].format(text=inner, url=escape(url)))
    return "".join(html) + escape(text[at:], quote=False)
