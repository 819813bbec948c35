"""What a command was given to post: text, a card file or a quick card; and the message that it makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import CardMessage, read_cards
from chatpost.content.markup import fenced, mentioning, without_mentions
from chatpost.content.source import STDIN_LIMIT, Keep, Text, message_text
from chatpost.content.split import head, split, tail
from chatpost.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.cli.options import PostOptions


_KEEPS: dict[str, Keep] = {"head": "head", "tail": "tail"}
# Bytes that cards have to leave for a text's first part.
_LEAST_ROOM = 1000


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
    keep = _KEEPS.get(options.overflow, "all")
    # With a card there need not be a text, so stdin is left alone unless it is asked for.
    has_card = card is not None or options.quick_card.is_asked_for
    return Content(Text("") if has_card and not words else message_text(words, keep), card)


def compose(content: Content, options: PostOptions) -> tuple[Message, ...]:
    """Make the message under one profile's options, or the parts that a long text makes.

    Raises `DataError` where it is too large, or makes too many parts.
    """
    text, overflow = content.text, options.overflow
    whole = _message(content, options, text.text)
    if whole.size <= SIZE_LIMIT and not text.left_out:
        return (whole,)
    if overflow in {"head", "tail"}:
        return (_shortened(content, options, overflow),)
    room = SIZE_LIMIT - whole.cards_size
    if overflow == "fail" or options.quick_card.is_asked_for or room < _LEAST_ROOM:
        whole.check_size()
    texts = list(split(whole.text, SIZE_LIMIT, room))
    if len(texts) > options.max_parts:
        msg = (
            f"the text makes {len(texts)} messages, and at most {options.max_parts} are allowed: --max-parts N allows"
            " more, --overflow tail keeps the end (nothing was posted)"
        )
        raise DataError(msg)
    first, *others = texts
    return whole._replace(text=first), *(Message(other, whole.is_markdown) for other in others)


def _message(content: Content, options: PostOptions, words: str) -> Message:
    """Make the message of words that may be all or an end of the text."""
    text, card, is_markdown = content.text, content.card, options.markdown
    if text.is_blank:
        words = card.text or "" if card is not None else ""
    else:
        if not text.typed and not options.allow_mentions:
            words = without_mentions(words)
        if options.code is not None:
            words = fenced(words, options.code or ("" if is_markdown else None))
            is_markdown = is_markdown or bool(options.code)
    if options.quick_card.is_asked_for:
        card, words = options.quick_card.message(words), ""
    words = mentioning(options.mention, words)
    if card is None:
        return Message(words, is_markdown)
    return Message(words, is_markdown or card.is_markdown, card.cards, card.fallback_text)


def _shortened(content: Content, options: PostOptions, end: str) -> Message:
    """Make a message of the text's beginning or end, with a line that says how much of it is left out."""
    words, size = content.text.text, len(content.text.text.encode())
    room = SIZE_LIMIT
    while room > 0:
        kept = tail(words, room) if end == "tail" else head(words, room)
        gone = f"{content.text.left_out + size - len(kept.encode()):,} bytes"
        noted = f"[{gone} before this are left out]\n{kept}" if end == "tail" else f"{kept}\n[{gone} more are left out]"
        message = _message(content, options, noted)
        if message.size <= SIZE_LIMIT:
            return message
        room -= message.size - SIZE_LIMIT  # what stands around the text, and in it more than once, takes room too
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
