"""Composing messages from text, card and style: fitting, splitting and truncating."""

from __future__ import annotations

import pytest

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import CardMessage, CardOptions, QuickCard
from chatpost.content.compose import Overflow, compose
from chatpost.content.markup import Style
from chatpost.content.source import Content, Text
from chatpost.errors import DataError

CARD = CardMessage(({"cardId": "one", "card": {"header": {"title": "T"}}},), "the file's", "in words", is_markdown=True)
LONG = "\n".join(f"line {number}" for number in range(8000))


PLAIN, SPLIT = Style(), Overflow()


def made(
    text: Text, style: Style = PLAIN, overflow: Overflow = SPLIT, quick: QuickCard | None = None
) -> tuple[Message, ...]:
    return compose(Content(text), style, overflow, quick)


@pytest.mark.parametrize(
    ("text", "style", "message"),
    [
        ("hello", Style(), Message("hello")),
        ("hello", Style(markdown=True), Message("hello", is_markdown=True)),
        ("x = 1", Style(code=True), Message("```\nx = 1\n```")),
        ("x = 1", Style(language="python"), Message("```python\nx = 1\n```", is_markdown=True)),
        ("x", Style(code=True, markdown=True), Message("```\nx\n```", is_markdown=True)),
        ("hi", Style(mention=("all", "12")), Message("<users/all> <users/12> hi")),
        ("* hi", Style(mention=("all",)), Message("<users/all>\n* hi")),
        ("# Hi", Style(mention=("all",)), Message("<users/all> # Hi")),
        ("# Hi", Style(mention=("all",), markdown=True), Message("<users/all>\n\n# Hi", is_markdown=True)),
        ("<users/all>", Style(), Message("<\u200busers/all>")),
        ("<users/all>", Style(allow_mentions=True), Message("<users/all>")),
    ],
)
def test_a_text_in_each_style(text: str, style: Style, message: Message) -> None:
    """A style can add a fence, Markdown and mentions to a text. Mentions in piped text do not notify users."""
    assert made(Text.whole(text), style) == (message,)


def test_typed_text_mentions_people() -> None:
    """Mentions in a text on the command line notify users."""
    assert made(Text.whole("<users/all>", typed=True)) == (Message("<users/all>"),)


@pytest.mark.parametrize(
    "text", ["- a", "+ a", "1. a", "> a", "| a |", "```", "~~~", "    a", "a\n===", "a | b\n--|--"]
)
def test_a_mention_breaks_no_block(text: str) -> None:
    """Mentions before a Markdown block are a separate paragraph."""
    (message,) = made(Text.whole(text), Style(markdown=True, mention=("all",)))
    assert message.text == f"<users/all>\n\n{text}"


def test_a_card_file() -> None:
    """A card file can have a text and its syntax. A text on the command line replaces both."""
    alone = compose(Content(Text.whole(""), CARD), Style(), Overflow(), None)
    beside = compose(Content(Text.whole("ours", typed=True), CARD), Style(), Overflow(), None)
    assert alone == (Message("the file's", is_markdown=True, cards=CARD.cards, fallback_text="in words"),)
    assert beside == (Message("ours", cards=CARD.cards, fallback_text="in words"),)


def test_a_quick_card_has_the_text() -> None:
    """The text becomes a paragraph of the quick card and part of its fallback text.

    Mentions go into the message text.
    """
    (message,) = made(
        Text.whole("done", typed=True), Style(mention=("all",)), quick=QuickCard(CardOptions(title="Backup"))
    )
    assert message.text == "<users/all> Backup: done"
    assert message.fallback_text == "Backup: done"
    assert message.cards[0]["card"]["sections"] == [{"widgets": [{"textParagraph": {"text": "done"}}]}]


def test_split() -> None:
    """A long text is split into messages that fit the limit and together contain all of it, in order."""
    messages = made(Text.whole(LONG))
    assert len(messages) == 3
    assert all(message.size <= SIZE_LIMIT for message in messages)
    assert "\n".join(message.text for message in messages) == LONG


def test_split_beside_a_card() -> None:
    """A card goes with the first part, whose text is shorter for it."""
    first, *others = compose(Content(Text.whole(LONG, typed=True), CARD), Style(), Overflow(), None)
    assert first.cards == CARD.cards
    assert first.size <= SIZE_LIMIT
    assert not any(message.cards for message in others)


@pytest.mark.parametrize("end", ["head", "tail"])
def test_one_end(end: str) -> None:
    """`head` and `tail` give one message of complete lines, with a line that gives the number of bytes omitted."""
    (message,) = made(Text(LONG, LONG, 1000, 1000), overflow=Overflow(end))
    lines = message.text.split("\n")
    note = lines.pop(0 if end == "tail" else -1)
    kept = "\n".join(lines)
    gone = f"{len(LONG) - len(kept) + 1000:,} bytes"
    assert note == (f"[{gone} omitted before this]" if end == "tail" else f"[{gone} omitted after this]")
    assert LONG.endswith(f"\n{kept}") if end == "tail" else LONG.startswith(f"{kept}\n")
    assert SIZE_LIMIT - 100 < message.size <= SIZE_LIMIT


@pytest.mark.parametrize(
    ("overflow", "said"),
    [
        (Overflow("fail"), "has 78,889 bytes, over the limit of 32,000"),
        (Overflow("split", 2), "needs 3 messages, more than the maximum of 2"),
    ],
)
def test_too_long(overflow: Overflow, said: str) -> None:
    """A text that must not be split, or not into as many parts, raises an error that names the limit."""
    with pytest.raises(DataError, match=said):
        made(Text.whole(LONG), overflow=overflow)


def card_texts(message: Message) -> list[str]:
    """Return the texts of a card's paragraphs."""
    (section,) = message.cards[0]["card"]["sections"]
    return [widget["textParagraph"]["text"] for widget in section["widgets"] if "textParagraph" in widget]


TITLE = QuickCard(CardOptions(title="T"))


def test_a_long_text_on_a_quick_card() -> None:
    """A long text starts on the card and continues in replies. All of it is posted, in order, and each message fits."""
    first, *others = made(Text.whole(LONG), quick=TITLE)
    assert all(message.size <= SIZE_LIMIT for message in (first, *others))
    assert not any(message.cards for message in others)
    assert "\n".join([*card_texts(first), *(message.text for message in others)]) == LONG


@pytest.mark.parametrize("end", ["head", "tail"])
@pytest.mark.parametrize("text", ["<" * 100_000, '"' * 100_000, "\N{PARTY POPPER}" * 50_000, "*b* <&> " * 10_000])
def test_one_end_on_a_quick_card(end: str, text: str) -> None:
    """With `head` or `tail`, a text fits a card even if escaping makes it longer, and uses most of the space."""
    (message,) = made(Text.whole(text), overflow=Overflow(end), quick=TITLE)
    assert SIZE_LIMIT * 0.8 < message.size <= SIZE_LIMIT


def test_markup_on_a_quick_card() -> None:
    """Chat's markup becomes HTML on a card. Markdown and code stay, in a paragraph marked as Markdown."""
    text = "*b* _i_ ~s~ `c` <https://x.example/?a=1&b|label> a<b & c"
    (message,) = made(Text.whole(text, typed=True), quick=TITLE)
    assert card_texts(message) == [
        '<b>b</b> <i>i</i> <s>s</s> <code>c</code> <a href="https://x.example/?a=1&amp;b">label</a> a&lt;b &amp; c'
    ]
    for style, shown in ((Style(markdown=True), text), (Style(code=True), f"```\n{text}\n```")):
        (message,) = made(Text.whole(text, typed=True), style, quick=TITLE)
        (section,) = message.cards[0]["card"]["sections"]
        assert section["widgets"] == [{"textParagraph": {"text": shown, "textSyntax": "MARKDOWN"}}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *((f"https://x.example/log{end}", end) for end in ".,;:!?\u2026)]}\"'\u3002\uff0c\uff09\u201d"),
        ("(see https://x.example/log).", None),
        ('{"url":"https://x.example/log","a":1}', None),
        ("https://x.example/log\u3002\u7136\u540e", None),
        ("https://x.example/log)]}\"'...", None),
    ],
)
def test_links_end_before_punctuation(text: str, shown: str | None) -> None:
    """On a card, a link ends before trailing punctuation, quotes and unbalanced brackets, in fields, too."""
    link = '<a href="https://x.example/log">https://x.example/log</a>'
    (message,) = made(Text.whole(text, typed=True), quick=TITLE.with_parts(field=(("F", text),)))
    (section,) = message.cards[0]["card"]["sections"]
    paragraph, field = section["widgets"]
    assert paragraph["textParagraph"]["text"] == text.replace("https://x.example/log", link)
    assert field["decoratedText"]["text"] == paragraph["textParagraph"]["text"]
    if shown is not None:
        assert paragraph["textParagraph"]["text"].endswith(f"</a>{shown}")


@pytest.mark.parametrize(
    "link", ["https://x.example/a_(b)", "https://x.example/?q=[1]&b={c}", "https://x.example/a.b!c"]
)
def test_a_whole_link(link: str) -> None:
    """Balanced brackets, and punctuation inside a link, belong to it."""
    (message,) = made(Text.whole(f"({link})", typed=True), quick=TITLE)
    shown = link.replace("&", "&amp;")
    assert card_texts(message) == [f'(<a href="{shown}">{shown}</a>)']


@pytest.mark.parametrize(
    "text",
    ["__init__.py", "**b**", "~~s~~", "``x``", "snake_case_name", "2*3*4", "*open", "open_", "a_b_", "* x *", "_ x_"],
)
def test_markers_that_are_no_markup(text: str) -> None:
    """A doubled or unbalanced marker, or one inside a word, stays as it is on a card, as in Chat."""
    (message,) = made(Text.whole(f"a {text}", typed=True), quick=TITLE)
    assert card_texts(message) == [f"a {text}"]


def test_a_long_text_for_a_notification() -> None:
    """The fallback text is short, regardless of the text, and counts toward the size."""
    (message,) = made(Text.whole("word " * 2000), quick=TITLE)
    assert len(message.fallback_text or "") < 600
    assert message.size == len(message.fallback_text or "") + message._replace(fallback_text=None).size


def test_a_piped_card_mentions_nobody() -> None:
    """A piped card file does not notify users unless mentions are allowed. A card file on disk does."""
    card = CARD._replace(text="<users/all>")
    content = Content(Text.whole(""), card._replace(is_piped=True))
    assert compose(content, PLAIN, SPLIT, None)[0].text == "<\u200busers/all>"
    assert compose(content, Style(allow_mentions=True), SPLIT, None)[0].text == "<users/all>"
    assert compose(Content(Text.whole(""), card), PLAIN, SPLIT, None)[0].text == "<users/all>"
