"""What a command was given to post: text, a card file or a quick card; and the message that it makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatpost.cards import CardMessage, read_cards
from chatpost.errors import DataError, InputError, UsageError
from chatpost.markup import fenced, mentioning
from chatpost.message import Message
from chatpost.text import STDIN_LIMIT, Text, message_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.cli.options import PostOptions


class Content(NamedTuple):
    """The text, empty where a card stands for itself, and what the card file holds."""

    text: Text
    card: CardMessage | None = None

    @property
    def is_blank(self) -> bool:
        """Whether there is no text to be seen; a card may still be."""
        return self.text.is_blank


def read_content(words: Sequence[str], options: PostOptions) -> Content:
    """Read what there is to post.

    Raises `UsageError` for options that do not go together, and what `message_text` and `read_cards` raise.
    """
    _check_combination(words, options)
    card = None if options.card is None else read_cards(_read_card_file(options.card), _source(options.card))
    # With a card there need not be a text, so stdin is left alone unless it is asked for.
    has_card = card is not None or options.quick_card.is_asked_for
    return Content(Text("") if has_card and not words else message_text(words), card)


def compose(content: Content, options: PostOptions) -> Message:
    """Make the message under one profile's options; raises `DataError` where it is too large."""
    text, card, is_markdown = content.text, content.card, options.markdown
    words = text.text if text.typed or options.allow_mentions else text.without_mentions()
    if text.is_blank:
        words = card.text or "" if card is not None else ""
    elif options.code is not None:
        words = fenced(words, options.code or ("" if is_markdown else None))
        is_markdown = is_markdown or bool(options.code)
    if options.quick_card.is_asked_for:
        card, words = options.quick_card.message(words), ""
    words = mentioning(options.mention, words)
    if card is None:
        message = Message(words, is_markdown)
    else:
        message = Message(words, is_markdown or card.is_markdown, card.cards, card.fallback_text)
    message.check_size()
    return message


def _check_combination(words: Sequence[str], options: PostOptions) -> None:
    msg = None
    if options.card is not None and options.quick_card.is_asked_for:
        msg = "--card brings cards of its own: leave out --title, --field, --button, --status and what goes with them"
    elif options.card == "-" and tuple(words) == ("-",):
        msg = "stdin can be the card (--card -) or the text (-), not both"
    elif (options.subtitle or options.icon) and not options.title:
        msg = "--subtitle and --icon stand beside a title: give --title too"
    elif options.code is not None and options.quick_card.is_asked_for:
        msg = "--code is for text that stands by itself, not for a card's paragraph: leave it out"
    if msg:
        raise UsageError(msg)


def _source(path: str) -> str:
    return "the card on stdin" if path == "-" else path


def _read_card_file(path: str) -> bytes:
    try:
        if path != "-":
            with Path(path).open("rb") as file:
                read = file.read(STDIN_LIMIT + 1)
        else:
            read = sys.stdin.buffer.read(STDIN_LIMIT + 1) if sys.stdin is not None else b""
    except OSError as failure:
        msg = f"{_source(path)} cannot be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    if len(read) > STDIN_LIMIT:
        msg = f"{_source(path)} is larger than {STDIN_LIMIT:,} bytes, far more than a message takes"
        raise DataError(msg)
    return read
