"""Builds messages from a text, a card file, or a quick card."""

from __future__ import annotations

from typing import NamedTuple

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import CardMessage, QuickCard
from chatpost.content.markup import Style, escape_mentions, literal, mentioning, take_mentions
from chatpost.content.source import Content
from chatpost.content.split import Taken, head, tail, take
from chatpost.errors import DataError

_LONGEST_LINE = 200  # characters beside the mentions, for notifications
_LEAST_ROOM = 100  # bytes for the text, beside the mentions and the card


class Overflow(NamedTuple):
    """How to post a text that is too long: ``split`` (into at most ``max_parts``), ``head``, ``tail`` or ``fail``."""

    overflow: str = "split"
    max_parts: int = 10


def compose(content: Content, style: Style, overflow: Overflow, quick: QuickCard | None) -> tuple[Message, ...]:
    """Return the message, or the parts of a long text; raises `DataError` if it is too large, or has too many parts."""
    text, card, how = content.text, content.card, overflow.overflow
    words, left_out, is_piped = "", 0, False
    if not text.is_blank:
        words, left_out = (text.end, text.before) if how == "tail" else (text.beginning, text.after)
        is_piped = not text.typed
    elif card is not None:
        words, is_piped = card.text or "", card.is_piped
        style = style._replace(code=False, language=None, markdown=card.is_markdown)
    composer = _Composer(card, style, quick, is_piped and not style.allow_mentions, text.prefix)
    if how == "fail" or len(words) <= SIZE_LIMIT:  # composing a longer text can take long, and it never fits
        whole = composer.first(words)
        if how == "fail" or not words:
            whole.check_size()
        if whole.size <= SIZE_LIMIT and not left_out:
            return (whole,)
    if how in {"head", "tail"}:
        return (composer.end(words, left_out, how),)
    messages = composer.parts(words)
    if len(messages) > overflow.max_parts:
        raise DataError(
            f"the text needs {len(messages)} messages, more than the maximum of {overflow.max_parts}, so nothing was"
            " posted: raise --max-parts, or use --overflow tail to post the end"
        )
    return messages


def one_message(words: str, style: Style, quick: QuickCard | None) -> Message:
    """Return one message of the words, whose mentions are trusted, whatever its size."""
    return _Composer(None, style, quick, escapes=False).first(words)


def _line(fallback: str, *, is_plain: bool) -> str:
    """Return the beginning of a fallback text on one line, up to a block of code."""
    line = " ".join(fallback.partition("```")[0].split() or fallback.split())
    line = f"{line[:_LONGEST_LINE]}..." if len(line) > _LONGEST_LINE else line
    return literal(line) if is_plain else line


def with_note(message: Message, note: str) -> Message:
    """Return the message with a note appended to its text, or without a text, to the card's fallback text."""
    text = message.text or _line(message.fallback_text or "", is_plain=False)
    # In Markdown, only a blank line ends a paragraph.
    is_block = "\n" in text or text.endswith("```")
    separator = ("\n\n" if message.is_markdown else "\n") if is_block else " "
    return message._replace(text=f"{text}{separator}{note}".strip())


def less_room(room: int, message: Message) -> int:
    """Return the room for the words, in bytes, to try after ``message`` was too large; raises `DataError` if none."""
    room = min(room * SIZE_LIMIT // message.size, room - 1)  # a fence, a card and escapes also take room
    if room < _LEAST_ROOM:
        message.check_size()
    return room


class _Composer(NamedTuple):
    """Builds messages from all words of a text, or from a part of them.

    ``escapes``: without their mentions, except those in ``prefix``, the beginning of the words.
    """

    card: CardMessage | None
    style: Style
    quick: QuickCard | None
    escapes: bool
    prefix: str = ""

    def first(self, words: str) -> Message:
        """Build the first message, with the mentions and the card."""
        style, card, mention = self.style, self.card, self.style.mention
        if self.escapes:
            typed = self.prefix.rstrip() if words.startswith(self.prefix.rstrip()) else ""  # the end can be cut
            words = typed + escape_mentions(words[len(typed) :])
        text, is_markdown = style.shown(words), style.is_markdown
        if self.quick is not None and self.quick.parts.form == "text":
            text = self.quick.text(text, is_markdown=is_markdown)
        elif self.quick is not None:
            # On a card, a mention notifies no user, and only Markdown has code.
            users, words = ([], words) if style.is_code else take_mentions(words)
            markdown = style._replace(markdown=True).shown(words) if style.is_code or is_markdown else None
            card, text, mention = self.quick.message(words, markdown), "", tuple(dict.fromkeys((*mention, *users)))
        fallback = (card.fallback_text or "") if card is not None else ""
        if card is not None and card.is_piped and not style.allow_mentions:
            fallback = escape_mentions(fallback)
        if mention:
            # Many phones show only the text in notifications.
            line = text or _line(fallback, is_plain=style.is_code)
            text = mentioning(mention, line, is_markdown=is_markdown)
        if card is None:
            return Message(text, is_markdown)
        return Message(text, is_markdown and bool(text), card.cards, fallback or None, card.accessory_widgets)

    def parts(self, words: str) -> tuple[Message, ...]:
        """Split the words into messages. Later ones have text alone; blank ones are dropped."""
        messages: list[Message] = []
        left, later = (
            Taken("", words),
            self._replace(card=None, quick=None, style=self.style._replace(mention=()), prefix=""),
        )
        while left.rest:
            room = SIZE_LIMIT
            while True:
                taken = take(left.rest, room, left.fence, syntax=self.style.syntax)
                message = (later if messages else self).first(taken.part)
                if message.size <= SIZE_LIMIT:
                    break
                room = less_room(room, message)
            if taken.part.strip() or (message.cards and not messages):
                messages.append(message)
            left = taken
        return tuple(messages)

    def end(self, words: str, left_out: int, how: str) -> Message:
        """Build one message of the words' beginning or end, with a line that gives the number of missing bytes."""
        room, size = SIZE_LIMIT, len(words.encode()) + left_out
        first = ""
        if how == "tail" and self.prefix:  # the words from the command line stay
            first, words = f"{self.prefix.rstrip()}\n", words.removeprefix(self.prefix)
            size -= len(self.prefix.encode())
        while True:
            kept = (tail if how == "tail" else head)(words, room, syntax=self.style.syntax)
            gone = f"{size - len(kept.encode()):,} bytes"
            message = self.first(
                f"{first}[{gone} omitted before this]\n{kept}"
                if how == "tail"
                else f"{kept}\n[{gone} omitted after this]"
            )
            if message.size <= SIZE_LIMIT:
                return message
            room = less_room(room, message)
