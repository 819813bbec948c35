"""Converts HTML to the text that a reader sees: for mail without a plain-text part."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_APART = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "blockquote"}
_BLOCKS = {"div", "tr", "li", "hr", *_APART}
_HIDDEN = {"script", "style", "title", "template"}
_LINE, _PARAGRAPH = "\v", "\f"  # boundaries of blocks, of which several can be in one place


def html_to_text(html: str) -> str:
    """Return the text of a page: one line per block, links with their URLs, and descriptions of images."""
    reader = _TextReader()
    reader.feed(html)
    reader.close()

    def boundary(match: re.Match[str]) -> str:
        return "\n\n" if _PARAGRAPH in match[0] else "\n"

    return re.sub(rf"[ \n]*[{_LINE}{_PARAGRAPH}][ {_LINE}{_PARAGRAPH}]*", boundary, "".join(reader.pieces)).strip()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden: str | None = None  # the element whose text is not shown
        self._preformatted = 0
        self._link: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._hidden is None and tag in _HIDDEN:
            self._hidden = tag
        given = dict(attributes)
        if tag in _BLOCKS:
            self.pieces.append(_PARAGRAPH if tag in _APART else _LINE)
        if tag in {"li", "br", "td", "th", "img"}:
            self.pieces.append({"li": "• ", "br": "\n", "img": given.get("alt") or ""}.get(tag, " "))
        self._preformatted += tag == "pre"
        if tag == "a":
            self._link = given.get("href")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        elif tag in _BLOCKS:
            self.pieces.append(_PARAGRAPH if tag in _APART else _LINE)
        self._preformatted -= tag == "pre" and self._preformatted > 0
        if tag == "a" and self._link is not None:
            if re.match("https?://", self._link) and self._link != "".join(self.pieces[-1:]).strip():
                self.pieces.append(f" ({self._link})")
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._hidden is None:
            # These would be boundaries.
            text = data.replace(_LINE, " ").replace(_PARAGRAPH, " ")
            self.pieces.append(text if self._preformatted else re.sub(r"\s+", " ", text))
