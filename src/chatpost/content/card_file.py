"""Reads card files: what the Card Builder exports, or a whole message of Chat's API.

Accepts the JSON that Chat's API accepts: camel case or snake case, null for a missing field, a single object for a list
of one. Chat validates the fields of a card and names an invalid one; this module checks only what
Chat cannot.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from chatpost.chat.message import Thread
from chatpost.content.cards import CardMessage, widgets_of
from chatpost.content.json_parts import part
from chatpost.content.terminal import screen_text
from chatpost.errors import DataError

_DEEPEST = 100  # the limit of Google's own parsers
_FIELDS: dict[str, tuple[type, str]] = {
    "cardsV2": (list, "a list"),
    "text": (str, "a string"),
    "fallbackText": (str, "a string"),
    "markupSyntax": (str, "a string"),
    "accessoryWidgets": (list, "a list"),
    "thread": (dict, "an object"),
}
"""The fields of a message that a card file may have, with their types."""
_WITH_TEXT = ("textParagraph", "decoratedText")  # widgets


def read_cards(raw: bytes, source: str) -> CardMessage:
    """Parse a card, a card with its ID, a list of either, or a message; raises `DataError`, which names `source`."""
    try:
        message = _as_message(_cleaned(_parsed(raw, source)))
        _check(message)
        thread = _thread(message.get("thread", {}))
    except ValueError as wrong:
        raise DataError(f"{source}: {wrong}") from None
    cards, text, fallback = message.get("cardsV2", []), message.get("text"), message.get("fallbackText")
    return CardMessage(
        tuple(cards),
        text,
        fallback or (_in_words(cards[0]) if cards else None),
        message.get("markupSyntax") == "MARKUP_SYNTAX_MARKDOWN",
        thread=thread,
        accessory_widgets=tuple(message.get("accessoryWidgets", ())),
    )


def _parsed(raw: bytes, source: str) -> Any:
    if not raw.strip():
        raise DataError(f"{source} is empty, so nothing was posted")
    try:
        return json.loads(raw)  # UTF-8, UTF-16 or UTF-32
    except UnicodeDecodeError:
        msg = f"{source} is neither UTF-8 nor UTF-16"
    except json.JSONDecodeError as error:
        msg = (
            f"{source} is not JSON: {error.msg[:1].lower()}{error.msg[1:]} (line {error.lineno}, column {error.colno})"
        )
    except (ValueError, RecursionError):
        msg = f"{source} is not valid JSON: a number in it is too long, or it is nested too deeply"
    raise DataError(msg)


def _as_message(read: Any) -> Any:
    """Wrap a card, a card with its ID, or a list of either in a message."""
    if isinstance(read, dict) and "cards" in read:
        raise ValueError("the field 'cards' is the old card format: export the card again as cardsV2")
    if isinstance(read, dict) and (_FIELDS.keys() & read.keys() or not read):
        single = {name: [value] for name, value in read.items() if name == "cardsV2" and isinstance(value, dict)}
        return {**read, **single}
    cards = [read] if isinstance(read, dict) else read
    if isinstance(cards, list):
        return {
            "cardsV2": [{"card": card} if isinstance(card, dict) and "card" not in card else card for card in cards]
        }
    return read


def _check(message: Any) -> None:
    """Raise `ValueError` with the reason why a message cannot be posted unchanged."""
    if not isinstance(message, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - every fault of the file is the same error
    if unknown := message.keys() - _FIELDS.keys():
        raise ValueError(f"it has the unknown field {min(unknown)!a:.60}")
    for name, value in message.items():
        kind, described = _FIELDS[name]
        if not isinstance(value, kind):
            raise ValueError(f"{name} is not {described}")  # noqa: TRY004 - see above
    if not message.get("text", "").strip() and not message.get("cardsV2"):
        raise ValueError("cardsV2 has no card" if "cardsV2" in message else "it has neither text nor a card")


def _thread(thread: dict[str, Any]) -> Thread | None:
    name, key = thread.get("name"), thread.get("threadKey")
    if not all(isinstance(value, str) for value in (name or "", key or "")):
        raise ValueError("the field thread is not an object with a threadKey or a name")
    if name:
        return Thread.named(name)
    return Thread(key=key) if key else None


def _in_words(card: object) -> str | None:
    """Return a card's header and first paragraph as text, for notifications; None if it has neither."""
    header = part(part(card, "card", dict), "header", dict)
    texts = [part(each, kind, dict).get("text") for each in widgets_of(card) for kind in _WITH_TEXT]
    words = (header.get("title"), header.get("subtitle"), next(filter(None, texts), None))
    plain = (unescape(re.sub("<[^>]*>", "", word)).strip() for word in words if isinstance(word, str))
    return ": ".join(filter(None, plain))[:500] or None


def _cleaned(value: Any, where: str = "", depth: int = 0) -> Any:
    """Return a JSON value in the form that Chat's API documents, each string as a terminal would show it.

    Raises `ValueError` if it cannot be posted.
    """
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        named = {_camel_case(_cleaned(name, where, depth)): item for name, item in value.items() if item is not None}
        return {name: _cleaned(item, f"{where}.{name}" if where else name, depth + 1) for name, item in named.items()}
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


def _camel_case(name: str) -> str:
    return re.sub("_([a-z0-9])", lambda letter: letter[1].upper(), name)
