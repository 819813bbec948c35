"""Reads the content to post: words of the command line, stdin, a card file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatpost.cli.sections import CARD, LENIENCY, OVERFLOW, STYLE
from chatpost.content.cards import read_cards
from chatpost.content.compose import Content
from chatpost.content.source import Keep, Text, card_file, card_file_name, message_text
from chatpost.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.cli.option import Settings
    from chatpost.cli.values import Card

_KEEPS: dict[str, Keep] = {"head": "head", "tail": "tail"}


def read_content(words: Sequence[str], settings: Settings, warn: Callable[[str], None]) -> Content | None:
    """Return the content; None if there is none and that is no error.

    Raises `UsageError` for options that do not go together, `DataError` for an empty text, and what `message_text`,
    `card_file` and `read_cards` raise.
    """
    card = settings[CARD]
    _check_combination(words, settings, card)
    file = None if card.file is None else read_cards(card_file(card.file), card_file_name(card.file))
    # A card needs no text, so with one, stdin is read only if it is asked for.
    if not words and (file is not None or card.quick.is_asked_for):
        return Content(Text(""), file)
    text = message_text(words, _KEEPS.get(settings[OVERFLOW].overflow, "all"))
    if text.is_blank and file is None and not card.quick.is_asked_for:
        if settings[LENIENCY].skip_empty:
            return None
        msg = "the text is empty, so nothing was posted (with --skip-empty this is no error)"
        raise DataError(msg)
    if text.had_bad_bytes:
        warn("the text holds bytes that are not UTF-8; each is posted as U+FFFD")
    return Content(text, file)


def _check_combination(words: Sequence[str], settings: Settings, card: Card) -> None:
    msg = None
    if card.file is not None and card.quick.is_asked_for:
        msg = "--card cannot be combined with the options that make a card, such as --title: leave out one or the other"
    elif card.file == "-" and tuple(words) == ("-",):
        msg = "stdin can be the card (--card -) or the text (-), not both"
    elif (card.quick.subtitle or card.quick.icon) and not card.quick.title:
        msg = "--subtitle and --icon need a title: add --title"
    elif settings[STYLE].code is not None and card.quick.is_asked_for:
        msg = "--code does not work on a card: leave it out"
    if msg:
        raise UsageError(msg)
