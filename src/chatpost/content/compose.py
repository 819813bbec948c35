"""Makes messages of a text, a card from a file, or a quick card."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.markup import fenced, mentioning, without_mentions
from chatpost.content.split import head, split, tail
from chatpost.errors import DataError

if TYPE_CHECKING:
    from chatpost.content.cards import CardMessage, QuickCard
    from chatpost.content.source import Text

# A card must leave this many bytes for a long text's first part.
_LEAST_ROOM = 1000


class Content(NamedTuple):
    """The content of a message: a text, blank if a card stands alone, and the content of the card file."""

    text: Text
    card: CardMessage | None = None


class Style(NamedTuple):
    """How a text is shown. ``code`` is its language, empty for none, None if the text is no code.

    ``mention`` holds user ids, or ``all``. ``allow_mentions``: mentions in piped text mention people.
    """

    code: str | None = None
    markdown: bool = False
    mention: tuple[str, ...] = ()
    allow_mentions: bool = False


class Overflow(NamedTuple):
    """The rule for a text that is too long: ``split``, ``head``, ``tail`` or ``fail``, and the most parts."""

    overflow: str = "split"
    max_parts: int = 10


def compose(content: Content, style: Style, overflow: Overflow, quick: QuickCard) -> tuple[Message, ...]:
    """Return the message, or the several messages that a long text makes.

    Raises `DataError` if it is too large, or makes too many messages.
    """
    text = content.text
    whole = _message(content, style, quick, text.text)
    if whole.size <= SIZE_LIMIT and not text.left_out:
        return (whole,)
    if overflow.overflow in {"head", "tail"}:
        return (_shortened(content, style, quick, overflow.overflow),)
    room = SIZE_LIMIT - whole.cards_size
    if overflow.overflow == "fail" or quick.is_asked_for or room < _LEAST_ROOM:
        whole.check_size()
    texts = list(split(whole.text, SIZE_LIMIT, room))
    if len(texts) > overflow.max_parts:
        msg = (
            f"the text makes {len(texts)} messages, and at most {overflow.max_parts} are allowed, so nothing was"
            " posted: use --max-parts N to allow more, or --overflow tail to post the end"
        )
        raise DataError(msg)
    first, *others = texts
    return whole._replace(text=first), *(Message(other, whole.is_markdown) for other in others)


def _message(content: Content, style: Style, quick: QuickCard, words: str) -> Message:
    """Make the message of words that may be all of the text or one end of it."""
    text, card, is_markdown = content.text, content.card, style.markdown
    if text.is_blank:
        words = card.text or "" if card is not None else ""
    else:
        if not text.typed and not style.allow_mentions:
            words = without_mentions(words)
        if style.code is not None:
            words = fenced(words, style.code or ("" if is_markdown else None))
            is_markdown = is_markdown or bool(style.code)
    if quick.is_asked_for:
        card, words = quick.message(words), ""
    words = mentioning(style.mention, words)
    if card is None:
        return Message(words, is_markdown)
    return Message(words, is_markdown or card.is_markdown, card.cards, card.fallback_text)


def _shortened(content: Content, style: Style, quick: QuickCard, end: str) -> Message:
    """Make a message of the text's beginning or end, with a line that says how much is left out."""
    words, size = content.text.text, len(content.text.text.encode())
    room = SIZE_LIMIT
    while room > 0:
        kept = tail(words, room) if end == "tail" else head(words, room)
        gone = f"{content.text.left_out + size - len(kept.encode()):,} bytes"
        noted = f"[{gone} before this are left out]\n{kept}" if end == "tail" else f"{kept}\n[{gone} more are left out]"
        message = _message(content, style, quick, noted)
        if message.size <= SIZE_LIMIT:
            return message
        room -= message.size - SIZE_LIMIT  # a fence, a card and escapes take room too
    message.check_size()
    return message
