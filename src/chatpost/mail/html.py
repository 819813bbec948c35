"""Converts HTML to the text that a reader sees: for mail without a plain text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = {
    "p",
    "div",
    "br",
    "tr",
    "li",
    "ul",
    "ol",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "pre",
    "section",
}
_APART = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre"}
_CELLS = {"td", "th"}
_HIDDEN = {"script", "style", "title", "template"}


def html_to_text(html: str) -> str:
    """Return the text of a page, with a line for each block, and the target of each link behind it."""
    reader = _TextReader()
    reader.feed(html)
    reader.close()
    text = re.sub(r" *\n *", "\n", "".join(reader.pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


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
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag in _APART else "\n")
            self.pieces.append("• " if tag == "li" else "")
        elif tag in _CELLS:
            self.pieces.append(" ")
        self._preformatted += tag == "pre"
        if tag == "a":
            self._link = dict(attributes).get("href")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        elif tag in _APART:
            self.pieces.append("\n\n")
        elif tag in {"div", "tr", "li"}:
            self.pieces.append("\n")
        self._preformatted -= tag == "pre" and self._preformatted > 0
        if tag == "a" and self._link is not None:
            shown = "".join(self.pieces[-1:]).strip()
            if re.match("https?://", self._link) and self._link != shown:
                self.pieces.append(f" ({self._link})")
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._hidden is None:
            self.pieces.append(data if self._preformatted else re.sub(r"\s+", " ", data))
