"""Renders text and cards as safe HTML: everything is escaped, and only known markup becomes HTML."""

from __future__ import annotations

import re
from html import unescape

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from chatpost.chat.syntax import Part, parts

_NEW_TAB = ' rel="noreferrer noopener" target="_blank"'
_MENTION = '<span class="mention">@{text}</span>'
# The HTML of each kind of part that is more than text.
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
# The tags that Chat knows in the text of a card; the last line finds the others, which are dropped.
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
"""The common icons by their names; those that quick cards use are drawn by the page."""


def text_html(text: str, *, is_markdown: bool) -> Markup:
    """Render a message's text: Chat's own markup, or Markdown."""
    if not is_markdown:
        return Markup().join(map(_part_html, parts(text)))
    # The library escapes HTML, and makes links only to the web.
    html = re.sub(r"&lt;users/([\w.@+-]+)&gt;", _MENTION.format(text=r"\1"), _MARKDOWN.render(text))
    return Markup(html)  # noqa: S704 - see above


def _part_html(part: Part) -> Markup:
    inner = text_html(part.text, is_markdown=False) if part.kind in {"bold", "italic", "strike"} else part.text
    return Markup(_HTML.get(part.kind, "{text}")).format(text=inner, url=part.url)  # noqa: S704 - format escapes


def card_html(text: object) -> Markup:
    """Render the text of a card, which can have some HTML tags; other tags are dropped."""
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
            # It closes what was opened within it, too.
            closed = ""
            while closed != name:
                closed = opened.pop()
                html.append(f"</{closed}>")
    html.append(escape(unescape(source[at:])))
    html += [f"</{name}>" for name in reversed(opened)]
    return Markup("".join(html))  # noqa: S704 - its texts are escaped, and its tags are known


def safe_link(url: object) -> str | None:
    """Return the URL if it is safe to link to: http or https."""
    return url if isinstance(url, str) and re.fullmatch(r"https?://[^\s\"<>]+", url) else None
