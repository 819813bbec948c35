"""Cards: reads card files, as the Card Builder exports them, and builds quick cards from options.

Source: the Chat API discovery document, the schemas `CardWithId` and `GoogleAppsCardV1...`. Chat validates the fields
of a card and names an invalid one; this module checks only what Chat cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chatpost.content.markup import escape_mentions
from chatpost.content.terminal import screen_text
from chatpost.errors import DataError

if TYPE_CHECKING:
    from chatpost.content.ci import CiRun

STATUSES = {
    "ok": ("check_circle", "#188038", "OK"),
    "warn": ("warning", "#b06000", "Warning"),
    "fail": ("error", "#c5221f", "Failed"),
    "info": ("info", "#1967d2", "Info"),
}
"""Each status with its Material icon, colour and word."""

_DEEPEST = 100  # the limit of Google's own parsers
_FIELDS = {"cardsV2": list, "text": str, "fallbackText": str, "markupSyntax": str}
"""The fields that a card file may have, with their types."""
_TAGS = {
    "block": "<pre>{text}</pre>",
    "code": "<code>{text}</code>",
    "bold": "<b>{text}</b>",
    "italic": "<i>{text}</i>",
    "strike": "<s>{text}</s>",
    "link": '<a href="{url}">{text}</a>',
    "user": "@{text}",
    "item": "• ",
}
"""A template for each kind of markup: the text of a card has a few HTML tags instead."""


class CardMessage(NamedTuple):
    """The message in a card file: ``cardsV2`` for Chat, and its text, if any.

    ``is_piped``: it was read from a pipe, so mentions in its text are not trusted.
    """

    cards: tuple[Mapping[str, Any], ...]
    text: str | None = None
    fallback_text: str | None = None
    is_markdown: bool = False
    is_piped: bool = False


def read_cards(raw: bytes, source: str) -> CardMessage:
    """Parse a card, a card with its ID, a list of either, or a message; raises `DataError`, which names `source`."""
    try:
        message = _cleaned(_as_message(_parsed(raw, source)))
        fault = _fault(message)
    except ValueError as wrong:
        fault = str(wrong)
    if fault is not None:
        raise DataError(f"{source}: {fault}, so nothing was posted")
    is_markdown = message.get("markupSyntax") == "MARKUP_SYNTAX_MARKDOWN"
    return CardMessage(tuple(message["cardsV2"]), message.get("text"), message.get("fallbackText"), is_markdown)


def _parsed(raw: bytes, source: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        msg = f"{source} is not UTF-8"
    except json.JSONDecodeError as error:
        msg = (
            f"{source} is not JSON: {error.msg[:1].lower()}{error.msg[1:]} (line {error.lineno}, column {error.colno})"
        )
    except (ValueError, RecursionError):
        msg = f"{source} is not valid JSON: a number in it is too long, or it is nested too deeply"
    raise DataError(msg)


def _as_message(read: Any) -> Any:
    """Wrap a card, a card with its ID, or a list of either in a message."""
    if isinstance(read, dict) and "cardsV2" not in read:
        read = [read]
    if isinstance(read, list):
        return {"cardsV2": [{"card": card} if isinstance(card, dict) and "card" not in card else card for card in read]}
    return read


def _fault(message: Any) -> str | None:
    """Return the reason why a message cannot be posted unchanged, or None."""
    if not isinstance(message, dict):
        return "it is not an object"
    if unknown := message.keys() - _FIELDS:
        return f"it has the unknown field {min(unknown)!a:.60}"
    for name, value in message.items():
        if not isinstance(value, _FIELDS[name]):
            return f"{name} is not {'a list' if name == 'cardsV2' else 'a string'}"
    return None if message["cardsV2"] else "cardsV2 has no card"


def _cleaned(value: Any, where: str = "", depth: int = 0) -> Any:
    """Return a JSON value with each string as a terminal would show it; raises `ValueError` if it cannot be posted."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {
            _cleaned(name, where, depth): _cleaned(item, f"{where}.{name}" if where else name, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_cleaned(item, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{where or 'it'} contains half of a surrogate pair (\\ud800 to \\udfff without the other half)"
        ) from None
    return screen_text(value)


class CardOptions(NamedTuple):
    """The parts of a quick card, or the path of a card file, ``-`` for stdin.

    ``field`` has pairs of label and value, ``button`` pairs of text and URL. ``ci``: show the CI run, which is ``run``.
    Its values are shown without markup, since others can choose them.
    """

    ci: bool = False
    title: str | None = None
    subtitle: str | None = None
    icon: str | None = None
    status: str | None = None
    field: Sequence[tuple[str, str]] = ()
    button: Sequence[tuple[str, str]] = ()
    card: str | None = None
    run: CiRun | None = None

    @property
    def has_own_parts(self) -> bool:
        """Whether the quick card has parts other than the CI run."""
        return any(self._replace(ci=False, card=None))

    @property
    def lacks_title(self) -> bool:
        """Whether there is a subtitle or an icon, but neither a title nor a CI run as its title."""
        return bool(self.subtitle or self.icon) and not (self.title or self.ci)

    def quick_card(self, run: CiRun | None) -> CardOptions | None:
        """Return the quick card with the CI run, None if it would be empty."""
        quick = self._replace(ci=False, card=None, run=run if self.ci else None)
        if self.ci and run is None and not self.title:  # the run would have been the title
            quick = quick._replace(subtitle=None, icon=None)
        return quick if any(quick) else None

    def message(self, words: str, markdown: str | None) -> CardMessage:
        """Build the card, with the words as its paragraph: in Chat's markup, unless ``markdown`` has them."""
        from html import escape  # it has large tables, and few messages have a card

        from chatpost.chat.syntax import to_html

        widgets: list[dict[str, Any]] = []
        if self.status:
            icon, colour, word = STATUSES[self.status]
            start = {"materialIcon": {"name": icon, "fill": True}}
            text = f'<b><font color="{colour}">{word}</font></b>'
            widgets.append({"decoratedText": {"startIcon": start, "text": text}})
        if words and markdown is not None:
            widgets.append({"textParagraph": {"text": markdown, "textSyntax": "MARKDOWN"}})
        elif words:
            widgets.append({"textParagraph": {"text": to_html(words, _TAGS)}})
        title, links = self.title, list(self.button)
        fields = [(label, to_html(value, _TAGS)) for label, value in self.field]
        if self.run is not None:
            title = title or self.run.title
            fields[:0] = [(label, escape(value, quote=False)) for label, value in self.run.fields]
            links[:0] = [("Open run", self.run.url)] if self.run.url else []
        widgets += ({"decoratedText": {"topLabel": label, "text": text, "wrapText": True}} for label, text in fields)
        if links:
            buttons = [{"text": name, "onClick": {"openLink": {"url": url}}} for name, url in links]
            widgets.append({"buttonList": {"buttons": buttons}})
        card: dict[str, Any] = {}
        if title:
            image = {"imageUrl": self.icon, "imageType": self.icon and "CIRCLE"}
            header = {"title": title, "subtitle": self.subtitle, **image}
            card["header"] = {name: value for name, value in header.items() if value}
        if widgets:
            card["sections"] = [{"widgets": widgets}]
        return CardMessage(({"cardId": "chatpost", "card": card},), None, self._in_words(words))

    def _in_words(self, words: str) -> str:
        """Return the fallback text, for notifications, which cannot show a card."""
        status = STATUSES[self.status][2] if self.status else ""
        title = self.title or (escape_mentions(self.run.title) if self.run else None)
        first = ": ".join(filter(None, (status, title, self.subtitle, words)))
        text = first or ", ".join(f"{label}: {value}" for label, value in self.field) or self.button[0][0]
        return f"{text[:500]}..." if text[500:] else text
