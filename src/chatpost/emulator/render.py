"""Renders text and cards as safe HTML: everything is escaped, and only known markup becomes HTML."""

from __future__ import annotations

import re
from html import unescape

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from chatpost.chat.syntax import Part, parts

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
    return Markup().join(map(_part_html, parts(text)))


def _part_html(part: Part) -> Markup:
    match part.kind:
        case "block":
            return Markup("<pre><code>{}</code></pre>").format(part.text)
        case "code":
            return Markup("<code>{}</code>").format(part.text)
        case "link":
            return _LINK.format(part.url, part.text)
        case "user":
            return _MENTION.format(part.text)
        case "item":
            return Markup("• ")
        case "bold" | "italic" | "strike":
            tag = {"bold": "strong", "italic": "em", "strike": "s"}[part.kind]
            return Markup("<{0}>{1}</{0}>").format(tag, _chat_html(part.text))
    return escape(part.text)


# The tags that Chat knows in the text of a card. Others are dropped.
_CARD_TAG = re.compile(
    r"<(?P<end>/)?(?P<plain>b|i|u|s|strike|strong|em|code|pre|ul|ol|li)\s*>"
    r"|<(?P<break>br)\s*/?>"
    r'|<a\s+href="(?P<href>https?://[^\s"<>]+)"\s*>'
    r'|<font\s+color="(?P<color>#[0-9a-fA-F]{6})"\s*>'
    r"|</(?P<close>a|font)\s*>"
    r"|</?[a-zA-Z][^<>]*>",
    re.IGNORECASE,
)


_DEEPEST = 50


def card_html(text: object) -> Markup:
    """Render the text of a card, which can have some HTML tags; other tags are dropped."""
    html: list[Markup] = []
    opened: list[str] = []
    at, source = 0, str(text or "")
    for tag in _CARD_TAG.finditer(source):
        html.append(escape(unescape(source[at : tag.start()])))
        at = tag.end()
        if tag["break"]:
            html.append(Markup("<br>"))
        elif tag["close"] or tag["end"]:
            _close(html, opened, (tag["close"] or tag["plain"]).lower())
        elif len(opened) >= _DEEPEST:
            continue
        elif tag["plain"]:
            opened.append(tag["plain"].lower())
            html.append(Markup("<{}>").format(opened[-1]))
        elif tag["href"]:
            opened.append("a")
            html.append(Markup('<a href="{}" rel="noreferrer noopener" target="_blank">').format(unescape(tag["href"])))
        elif tag["color"]:
            opened.append("font")
            html.append(Markup('<font color="{}">').format(tag["color"]))
    html.append(escape(unescape(source[at:])))
    html.extend(Markup("</{}>").format(tag) for tag in reversed(opened))
    return Markup().join(html)


def _close(html: list[Markup], opened: list[str], tag: str) -> None:
    """Close a tag that is open, and those that were opened in it."""
    if tag not in opened:
        return
    while (closing := opened.pop()) != tag:
        html.append(Markup("</{}>").format(closing))
    html.append(Markup("</{}>").format(tag))


def safe_link(url: object) -> str | None:
    """Return the URL if it is safe to link to: http or https."""
    return url if isinstance(url, str) and _IS_LINK.fullmatch(url) else None


# The icons that quick cards use are drawn; the common ones are emoji.
_SIGNS = {"check_circle", "warning", "error", "info"}
_EMOJI = {
    "AIRPLANE": "✈️",
    "BOOKMARK": "🔖",
    "BUS": "🚌",
    "CAR": "🚗",
    "CLOCK": "🕒",
    "DESCRIPTION": "📄",
    "DOLLAR": "💲",
    "EMAIL": "✉️",
    "FLIGHT_ARRIVAL": "🛬",
    "FLIGHT_DEPARTURE": "🛫",
    "HOTEL": "🏨",
    "INVITE": "✉️",
    "MAP_PIN": "📍",
    "MULTIPLE_PEOPLE": "👥",
    "OFFER": "🏷️",
    "PERSON": "👤",
    "PHONE": "📞",
    "RESTAURANT_ICON": "🍽️",
    "STAR": "⭐",
    "SHOPPING_CART": "🛒",
    "STORE": "🏬",
    "TICKET": "🎫",
    "TRAIN": "🚆",
    "VIDEO_CAMERA": "🎥",
    "VIDEO_PLAY": "▶️",
    "account_circle": "👤",
    "alarm": "⏰",
    "bug_report": "🐞",
    "build": "🔧",
    "call": "📞",
    "cancel": "❌",
    "close": "✖",
    "cloud": "☁️",
    "code": "💻",
    "database": "🗄️",
    "delete": "🗑️",
    "dns": "🖥️",
    "done": "✔",
    "edit": "✏️",
    "event": "📅",
    "favorite": "❤️",
    "group": "👥",
    "help": "❓",
    "home": "🏠",
    "key": "🔑",
    "link": "🔗",
    "lock": "🔒",
    "mail": "✉️",
    "notifications": "🔔",
    "person": "👤",
    "rocket_launch": "🚀",
    "schedule": "🕒",
    "search": "🔍",
    "settings": "⚙️",
    "speed": "⏱️",
    "star": "⭐",
    "storage": "🗄️",
    "thumb_up": "👍",
    "timer": "⏱️",
    "today": "📅",
    "update": "🔄",
}


def icon_kind(name: object) -> str:
    """Return how an icon is shown: as a ``sign``, which the page draws, as an ``emoji``, or by its ``name``."""
    return "sign" if name in _SIGNS else "emoji" if name in _EMOJI else "name"


def icon_text(name: object) -> str:
    """Return an icon as text: its emoji, else its name."""
    return _EMOJI.get(str(name)) or str(name or "icon")
