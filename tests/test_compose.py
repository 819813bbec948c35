"""Text, card and style become messages: what fits, what is split, and what is cut."""

from __future__ import annotations

import pytest

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import CardMessage, QuickCard
from chatpost.content.compose import Content, Overflow, Style, compose
from chatpost.content.source import Text
from chatpost.errors import DataError

CARD = CardMessage(({"cardId": "one", "card": {"header": {"title": "T"}}},), "the file's", "in words", is_markdown=True)
LONG = "\n".join(f"line {number}" for number in range(8000))


PLAIN, SPLIT, NO_CARD = Style(), Overflow(), QuickCard()


def made(
    text: Text, style: Style = PLAIN, overflow: Overflow = SPLIT, quick: QuickCard = NO_CARD
) -> tuple[Message, ...]:
    return compose(Content(text), style, overflow, quick)


@pytest.mark.parametrize(
    ("text", "style", "message"),
    [
        (Text("hello"), Style(), Message("hello")),
        (Text("hello"), Style(markdown=True), Message("hello", is_markdown=True)),
        (Text("x = 1"), Style(code=""), Message("```\nx = 1\n```")),
        (Text("x = 1"), Style(code="python"), Message("```python\nx = 1\n```", is_markdown=True)),
        (Text("x"), Style(code="", markdown=True), Message("```\nx\n```", is_markdown=True)),
        (Text("hi"), Style(mention=("all", "12")), Message("<users/all> <users/12> hi")),
        (Text("<users/all>"), Style(), Message("<\u200busers/all>")),
        (Text("<users/all>"), Style(allow_mentions=True), Message("<users/all>")),
        (Text("<users/all>", typed=True), Style(), Message("<users/all>")),
    ],
)
def test_a_text_in_each_style(text: Text, style: Style, message: Message) -> None:
    """A text is fenced, marked as Markdown and given mentions as its style says; a piped text mentions nobody."""
    assert made(text, style) == (message,)


def test_a_card_file() -> None:
    """A card brings its own text and syntax; a text of the command's replaces that text."""
    alone = compose(Content(Text(""), CARD), Style(), Overflow(), QuickCard())
    beside = compose(Content(Text("ours", typed=True), CARD), Style(), Overflow(), QuickCard())
    assert alone == (Message("the file's", is_markdown=True, cards=CARD.cards, fallback_text="in words"),)
    assert beside == (Message("ours", is_markdown=True, cards=CARD.cards, fallback_text="in words"),)


def test_a_quick_card_has_the_text() -> None:
    """The text is a paragraph of a quick card, and part of the words for a notification; mentions stand beside it."""
    (message,) = made(Text("done", typed=True), Style(mention=("all",)), quick=QuickCard(title="Backup"))
    assert message.text == "<users/all>"
    assert message.fallback_text == "Backup: done"
    assert message.cards[0]["card"]["sections"] == [{"widgets": [{"textParagraph": {"text": "done"}}]}]


def test_split() -> None:
    """A long text is several messages, none too large, which hold all of it in order."""
    messages = made(Text(LONG))
    assert len(messages) == 3
    assert all(message.size <= SIZE_LIMIT for message in messages)
    assert "\n".join(message.text for message in messages) == LONG


def test_split_beside_a_card() -> None:
    """A card goes with the first part, which leaves room for it."""
    first, *others = compose(Content(Text(LONG, typed=True), CARD), Style(), Overflow(), QuickCard())
    assert first.cards == CARD.cards
    assert first.size <= SIZE_LIMIT
    assert not any(message.cards for message in others)


@pytest.mark.parametrize("end", ["head", "tail"])
def test_one_end(end: str) -> None:
    """Head and tail are one message of whole lines, with a line that says how many bytes are left out."""
    (message,) = made(Text(LONG, left_out=1000), overflow=Overflow(end))
    lines = message.text.split("\n")
    note = lines.pop(0 if end == "tail" else -1)
    kept = "\n".join(lines)
    gone = f"{len(LONG) - len(kept) + 1000:,} bytes"
    assert note == (f"[{gone} before this are left out]" if end == "tail" else f"[{gone} more are left out]")
    assert LONG.endswith(f"\n{kept}") if end == "tail" else LONG.startswith(f"{kept}\n")
    assert SIZE_LIMIT - 100 < message.size <= SIZE_LIMIT


@pytest.mark.parametrize(
    ("overflow", "said"),
    [
        (Overflow("fail"), "has 78,889 bytes, and Chat takes at most 32,000"),
        (Overflow("split", 2), "makes 3 messages, and at most 2 are allowed"),
    ],
)
def test_too_long(overflow: Overflow, said: str) -> None:
    """A text that may not be split, or not so often, is an error that says what to do."""
    with pytest.raises(DataError, match=said):
        made(Text(LONG), overflow=overflow)
