"""Renders text and cards as safe HTML: only known markup becomes HTML, and all text is escaped."""

from __future__ import annotations

import re
from html import unescape

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from chatpost.chat.syntax import to_html

_NEW_TAB = ' rel="noreferrer noopener" target="_blank"'
_MENTION = '<span class="mention">@{text}</span>'
_HTML = {
    "block": "<pre><code>{text}</code></pre>",
    "code": "<code>{text}</code>",
    "link": f'<a href="{{url}}"{_NEW_TAB}>{{text}}</a>',
    "user": _MENTION,
    "item": "• ",
    "bold": "<strong>{text}</strong>",
    "italic": "<em>{text}</em>",
    "strike": "<s>{text}</s>",
}
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["strikethrough", "table"]).disable("image")
)
_PLAIN_TAGS = "b|i|u|s|strike|strong|em|code|pre|ul|ol|li"
# The tags that Chat supports in the text of a card; the last line matches all others, which are dropped.
_CARD_TAG = re.compile(
    rf"</(?P<closed>{_PLAIN_TAGS}|a|font)\s*>"
    rf'|<(?P<opened>{_PLAIN_TAGS}|a(?P<href>\s+href="https?://[^\s"<>]+")|font\s+color="#[0-9a-f]{{6}}")\s*>'
    r"|<(?P<break>br)\s*/?>"
    r"|</?[a-z][^<>]*>",
    re.IGNORECASE,
)
_DEEPEST = 50
_ICONS = """
    AIRPLANE ✈️  BOOKMARK 🔖  BUS 🚌  CAR 🚗  CLOCK 🕒  DESCRIPTION 📄  DOLLAR 💲  EMAIL ✉️  FLIGHT_ARRIVAL 🛬
    FLIGHT_DEPARTURE 🛫  HOTEL 🏨  INVITE ✉️  MAP_PIN 📍  MULTIPLE_PEOPLE 👥  OFFER 🏷️  PERSON 👤  PHONE 📞
    RESTAURANT_ICON 🍽️  STAR ⭐  SHOPPING_CART 🛒  STORE 🏬  TICKET 🎫  TRAIN 🚆  VIDEO_CAMERA 🎥  VIDEO_PLAY ▶️
    account_circle 👤  alarm ⏰  bug_report 🐞  build 🔧  call 📞  cancel ❌  close ✖  cloud ☁️  code 💻  database 🗄️
    delete 🗑️  dns 🖥️  done ✔  edit ✏️  event 📅  favorite ❤️  group 👥  help ❓  home 🏠  key 🔑  link 🔗  lock 🔒
    mail ✉️  notifications 🔔  person 👤  rocket_launch 🚀  schedule 🕒  search 🔍  settings ⚙️  speed ⏱️  star ⭐
    storage 🗄️  thumb_up 👍  timer ⏱️  today 📅  update 🔄
"""
EMOJI: dict[str, str] = dict(re.findall(r"(\w+) (\S+)", _ICONS))
"""Emoji for common icons, by name; the page draws those of quick cards."""


def text_html(text: str, *, is_markdown: bool) -> Markup:
    """Render the text of a message: Chat's own markup, or Markdown."""
    if is_markdown:
        html = re.sub(r"&lt;users/([\w.@+-]+)&gt;", _MENTION.format(text=r"\1"), _MARKDOWN.render(text))
    else:
        html = to_html(text, _HTML)
    return Markup(html)  # noqa: S704 - both escape HTML, and link only to safe URLs


def card_html(text: object) -> Markup:
    """Render the text of a card, which can contain some HTML tags; other tags are dropped."""
    html: list[str] = []
    opened: list[str] = []
    at, source = 0, str(text or "")
    for tag in _CARD_TAG.finditer(source):
        html.append(escape(unescape(source[at : tag.start()])))
        at = tag.end()
        if tag["break"]:
            html.append("<br>")
        elif tag["opened"] and len(opened) < _DEEPEST:
            opened.append(tag["opened"].split()[0].lower())
            html.append(f"<{tag['opened']}{_NEW_TAB if tag['href'] else ''}>")
        elif (name := (tag["closed"] or "").lower()) in opened:
            # Also close all tags within it.
            closed = ""
            while closed != name:
                closed = opened.pop()
                html.append(f"</{closed}>")
    html.append(escape(unescape(source[at:])))
    html += [f"</{name}>" for name in reversed(opened)]
    return Markup("".join(html))  # noqa: S704 - all text is escaped, and all tags are known


def safe_link(url: object) -> str | None:
    """Return the URL if it is an HTTP or HTTPS URL, else None."""
    return url if isinstance(url, str) and re.fullmatch(r"https?://[^\s\"<>]+", url) else None
