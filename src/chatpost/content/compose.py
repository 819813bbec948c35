"""Makes messages of a text, a card from a file, or a quick card."""

from __future__ import annotations

from typing import NamedTuple

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import CardOptions
from chatpost.content.markup import Style, escape_mentions, mentioning
from chatpost.content.source import Content
from chatpost.content.split import Taken, head, tail, take
from chatpost.errors import DataError

# Mentions or a card that leave less room than this have no room for a text.
_LEAST_ROOM = 100


class Overflow(NamedTuple):
    """The rule for a text that is too long: ``split``, ``head``, ``tail`` or ``fail``, and the most parts."""

    overflow: str = "split"
    max_parts: int = 10


def compose(content: Content, style: Style, overflow: Overflow, quick: CardOptions | None) -> tuple[Message, ...]:
    """Return the message, or the several messages that a long text makes.

    Raises `DataError` if it is too large, or makes too many messages.
    """
    if content.card is not None and content.text.is_blank:  # the file says how its text is shown
        style = style._replace(code=False, language=None, markdown=content.card.is_markdown)
    composer = _Composer(content, style, quick)
    how = overflow.overflow
    words, left_out = composer.words(how)
    if how == "fail" or len(words) <= SIZE_LIMIT:  # a longer text is never made into one message, which may cost much
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
            f"the text makes {len(messages)} messages, and at most {overflow.max_parts} are allowed, so nothing was"
            " posted: use --max-parts N to allow more, or --overflow tail to post the end"
        )
    return messages


def one_message(content: Content, style: Style, quick: CardOptions | None) -> Message:
    """Return the one message that the content makes, however large it is."""
    composer = _Composer(content, style, quick)
    return composer.first(composer.words("fail")[0])


def less_room(room: int, message: Message) -> int:
    """Return the room for the words of a message that is too large: a fence, a card and escapes take room, too.

    Raises `DataError` if there is none left.
    """
    room = min(room * SIZE_LIMIT // message.size, room - 1)
    if room < _LEAST_ROOM:
        message.check_size()
    return room


class _Composer(NamedTuple):
    """Makes messages of words that are all of a text, or a part of it."""

    content: Content
    style: Style
    quick: CardOptions | None

    def words(self, how: str) -> tuple[str, int]:
        """Return the words to post, and how many bytes of stdin are missing from them."""
        text, card = self.content.text, self.content.card
        if text.is_blank:
            return (card.text or "", 0) if card is not None else ("", 0)
        return (text.end, text.before) if how == "tail" else (text.beginning, text.after)

    def _harmless(self, words: str) -> str:
        """Return the words so that what came from a pipe mentions nobody."""
        text, card = self.content.text, self.content.card
        is_piped = (card is not None and card.is_piped) if text.is_blank else not text.typed
        return escape_mentions(words) if is_piped and not self.style.allow_mentions else words

    def first(self, words: str) -> Message:
        """Make the first message: with the mentions and the card."""
        style, card, words = self.style, self.content.card, self._harmless(words)
        if self.quick is not None:
            # A card has code only in Markdown.
            has_markdown = style.is_code or style.is_markdown
            card = self.quick.message(words, style._replace(markdown=True).shown(words) if has_markdown else None)
        is_markdown = self.quick is None and style.is_markdown
        text = style.shown(words) if self.quick is None else ""
        if style.mention:
            text = mentioning(style.mention, text, is_markdown=is_markdown)
        if card is None:
            return Message(text, is_markdown)
        fallback = card.fallback_text or ""
        if card.is_piped and not style.allow_mentions:
            fallback = escape_mentions(fallback)
        return Message(text, is_markdown, card.cards, fallback or None)

    def other(self, words: str) -> Message:
        """Make a message of a later part: text alone."""
        return Message(self.style.shown(self._harmless(words)), self.style.is_markdown)

    def parts(self, words: str) -> tuple[Message, ...]:
        """Make as many messages as all the words take. Blank ones are dropped."""
        messages: list[Message] = []
        left = Taken("", words)
        while left.rest:
            room = SIZE_LIMIT
            while True:
                taken = take(left.rest, room, left.fence, syntax=self.style.syntax)
                message = self.other(taken.part) if messages else self.first(taken.part)
                if message.size <= SIZE_LIMIT:
                    break
                room = less_room(room, message)
            if taken.part.strip() or (message.cards and not messages):
                messages.append(message)
            left = taken
        return tuple(messages)

    def end(self, words: str, left_out: int, how: str) -> Message:
        """Make one message of the words' beginning or end, with a line that says how much is left out."""
        room, size = SIZE_LIMIT, len(words.encode()) + left_out
        while True:
            kept = (tail if how == "tail" else head)(words, room, syntax=self.style.syntax)
            gone = f"{size - len(kept.encode()):,} bytes"
            message = self.first(
                f"[{gone} before this are left out]\n{kept}" if how == "tail" else f"{kept}\n[{gone} more are left out]"
            )
            if message.size <= SIZE_LIMIT:
                return message
            room = less_room(room, message)
