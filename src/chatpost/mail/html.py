"""Converts HTML to the text that a reader sees: for mail without a plain-text part. In linear time, for any input."""

from __future__ import annotations

import html
import re

_APART = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "blockquote"}
_BLOCKS = {"div", "tr", "li", "hr", *_APART}
_HIDDEN = {"script", "style", "title", "template"}
_TAG = re.compile(r"(/?)([A-Za-z][A-Za-z0-9]{0,20})")
_LONGEST_TAG = 4000  # characters in which its attributes are looked for
_LINE, _PARAGRAPH = 1, 2  # boundaries of blocks, in line ends


def html_to_text(page: str) -> str:
    """Return the text of a page: one line per block, links with their URLs, and descriptions of images."""
    writer, place, end = _Writer(), 0, -1
    while (start := page.find("<", place)) >= 0:
        writer.text(page[place:start])
        if page.startswith("<!--", start):
            place = page.find("-->", start)
            if place < 0:
                return writer.result()
            place += 3
            continue
        if end < start and (end := page.find(">", start)) < 0:
            place = start
            break
        following = page.find("<", start + 1, end)
        if following >= 0 or not (tag := _TAG.match(page, start + 1)):
            place = start + 1 if following < 0 and page[start + 1 : start + 2] not in {"!", "?"} else end + 1
            if following >= 0:  # a less-than sign, not a tag
                writer.text("<")
                place = start + 1
            continue
        name, place = tag[2].lower(), end + 1
        if tag[1]:
            writer.close(name)
        elif name in _HIDDEN:
            closing = re.compile(rf"</{name}", re.IGNORECASE).search(page, place)
            place = len(page) if closing is None else closing.start()
        else:
            writer.open(name, page[start : min(end, start + _LONGEST_TAG)])
    writer.text(page[place:])
    return writer.result()


class _Writer:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._boundary = 0
        self._ends_with_space = True
        self._preformatted = 0
        self._link: str | None = None

    def result(self) -> str:
        return "".join(self._pieces).strip()

    def open(self, name: str, tag: str) -> None:
        if name in _BLOCKS:
            self._boundary = max(self._boundary, _PARAGRAPH if name in _APART else _LINE)
        self._preformatted += name == "pre"
        if name in {"li", "br", "td", "th"}:
            self._write({"li": "• ", "br": "\n"}.get(name, " "))
        elif name == "img":
            self.text(_attribute("alt", tag))
        elif name == "a":
            self._link = _attribute("href", tag)

    def close(self, name: str) -> None:
        if name in _BLOCKS:
            self._boundary = max(self._boundary, _PARAGRAPH if name in _APART else _LINE)
        self._preformatted -= name == "pre" and self._preformatted > 0
        if name == "a" and self._link:
            if re.match("https?://", self._link) and self._pieces[-1:] != [self._link]:
                self._write(f" ({self._link})")
            self._link = None

    def text(self, raw: str) -> None:
        if not self._preformatted:
            raw = re.sub(r"\s+", " ", raw)
            raw = raw.lstrip() if self._ends_with_space or self._boundary else raw
        if raw:
            self._write(html.unescape(raw))

    def _write(self, text: str) -> None:
        if self._boundary:
            if self._pieces:
                self._pieces[-1] = self._pieces[-1].rstrip(" ")
            self._pieces.append("\n" * self._boundary)
            self._boundary, self._ends_with_space = 0, True
        if text == " " and self._ends_with_space:
            return
        self._pieces.append(text)
        self._ends_with_space = text[-1:].isspace()


def _attribute(name: str, tag: str) -> str:
    found = re.search(rf"""(?i)\s{name}\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", tag)
    return html.unescape("".join(filter(None, found.groups()))) if found else ""
