"""Renders text and cards as safe HTML: everything is escaped, and only known markup becomes HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = r"\S(?:[^{0}\n]*\S)?"
_CHAT = re.compile(
    r"```\n?(?P<block>.*?)\n?```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<url>https?://[^|>\s]+)\|(?P<label>[^>\n]+)>"
    r"|<users/(?P<user>[^>\s]+)>"
    r"|(?P<link>https?://[^\s<>]+)"
    rf"|(?<!\w)\*(?P<strong>{_WORD.format('*')})\*(?!\w)"
    rf"|(?<!\w)_(?P<em>{_WORD.format('_')})_(?!\w)"
    rf"|(?<!\w)~(?P<s>{_WORD.format('~')})~(?!\w)"
    r"|^(?P<item>[*-] )",
    re.DOTALL | re.MULTILINE,
)
_LINK = Markup('<a href="{}" rel="noreferrer noopener" target="_blank">{}</a>')
_MENTION = Markup('<span class="mention">@{}</span>')
_IS_LINK = re.compile(r"https?://[^\s\"<>]+")
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["strikethrough", "table"]).disable("image")
)


def text_html(text: str, *, is_markdown: bool) -> Markup:
    """Render a message's text: Chat's own markup, or Markdown."""
    if is_markdown:
        # It escapes HTML, and makes links only to the web.
        rendered = _MARKDOWN.render(text)
        mentioned = re.sub(r"&lt;users/([\w.@+-]+)&gt;", r'<span class="mention">@\1</span>', rendered)
        return Markup(mentioned)  # noqa: S704 - see above
    return _chat_html(text)


def _chat_html(text: str) -> Markup:
    html, at = [], 0
    for match in _CHAT.finditer(text):
        html.append(escape(text[at : match.start()]))
        html.append(_chat_part(match))
        at = match.end()
    return Markup().join([*html, escape(text[at:])])


def _chat_part(match: re.Match[str]) -> Markup:
    kind, part = match.lastgroup, match[match.lastgroup or 0]
    match kind:
        case "block":
            return Markup("<pre><code>{}</code></pre>").format(part)
        case "code":
            return Markup("<code>{}</code>").format(part)
        case "label":
            return _LINK.format(match["url"], part)
        case "link":
            return _LINK.format(part, part)
        case "user":
            return _MENTION.format(part)
        case "item":
            return Markup("• ")
    return Markup("<{0}>{1}</{0}>").format(kind, _chat_html(part))


class _CardText(HTMLParser):
    """Keeps the tags in a card's text that Chat knows, and drops all others."""

    _PLAIN = ("b", "i", "u", "s", "strong", "em", "code")

    def __init__(self) -> None:
        super().__init__()
        self.html: list[Markup] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "br":
            self.html.append(Markup("<br>"))
        elif tag in self._PLAIN:
            self._begin(tag, Markup("<{}>").format(tag))
        elif tag == "a" and _IS_LINK.fullmatch(values.get("href") or ""):
            self._begin(tag, Markup('<a href="{}" rel="noreferrer noopener" target="_blank">').format(values["href"]))
        elif tag == "font" and re.fullmatch(r"#[0-9a-fA-F]{6}", values.get("color") or ""):
            self._begin(tag, Markup('<font color="{}">').format(values["color"]))

    def _begin(self, tag: str, html: Markup) -> None:
        self._open.append(tag)
        self.html.append(html)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open:
                closing = self._open.pop()
                self.html.append(Markup("</{}>").format(closing))
                if closing == tag:
                    break

    def handle_data(self, data: str) -> None:
        self.html.append(escape(data))

    def whole(self) -> Markup:
        self.close()
        while self._open:
            self.html.append(Markup("</{}>").format(self._open.pop()))
        return Markup().join(self.html)


def card_html(text: object) -> Markup:
    """Render the text of a card, which can have some HTML tags; other tags are dropped."""
    parser = _CardText()
    parser.feed(str(text or ""))
    return parser.whole()


def safe_link(url: object) -> str | None:
    """Return the URL if it is safe to link to: http or https."""
    return url if isinstance(url, str) and _IS_LINK.fullmatch(url) else None
