"""The formatting of messages in the space: code, Markdown, mentions and cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from chatpost.content.cards import read_cards
from chatpost.content.markup import fenced
from chatpost.errors import DataError
from tests.conftest import body_of

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell


@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


WIDGET = {"textParagraph": {"text": "hi"}}
CARD = {"header": {"title": "T"}, "sections": [{"widgets": [WIDGET]}]}
WITH_ID = {"cardId": "one", "card": CARD}


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (["--code", "x = 1"], {"text": "```\nx = 1\n```"}),
        (["--code", "done"], {"text": "```\ndone\n```"}),
        (["--code", "a ``` `` b"], {"text": "```\na ``\u200b` `` b\n```"}),
        (["--language", "python", "x"], {"text": "```python\nx\n```", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"}),
        (
            ["--language", "c++", "a ``` b"],
            {"text": "````c++\na ``` b\n````", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"},
        ),
        (["--code", "--markdown", "x"], {"text": "```\nx\n```", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"}),
        (["--markdown", "**b**"], {"text": "**b**", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"}),
        (["--mention", "all", "Look"], {"text": "<users/all> Look"}),
        (["--mention", "12", "--mention", "users/34", "Look"], {"text": "<users/12> <users/34> Look"}),
        (["--mention", "all", "--code", "x"], {"text": "<users/all>\n```\nx\n```"}),
    ],
)
def test_markup(chatpost: InProcess, chat: Emulator, argv: list[str], body: dict[str, Any]) -> None:
    """Code cannot break out of its fence, and a language makes it Markdown. Mentions precede the text."""
    assert chatpost("send", *argv).status == 0
    assert body_of(chat) == body


def test_options_are_cleaned(chatpost: InProcess, chat: Emulator) -> None:
    """Escape sequences in card options are removed. Field values keep their line breaks."""
    red = "\x1b[31mred\x1b[0m"
    done = chatpost("send", "--title", red, "--field", f"{red}={red}\n two", "--button", f"{red}=https://x.example")
    assert done.status == 0
    card = body_of(chat)["cardsV2"][0]["card"]
    field, buttons = card["sections"][0]["widgets"]
    assert card["header"] == {"title": "red"}
    assert field["decoratedText"] == {"topLabel": "red", "text": "red\n two", "wrapText": True}
    assert buttons["buttonList"]["buttons"][0]["text"] == "red"


def test_a_card_file_is_cleaned(shell: Shell, chat: Emulator) -> None:
    """In a card file, chatpost removes escape sequences and escapes mentions. A lone surrogate exits with 65."""
    card = {"cardsV2": [{"card": {"header": {"title": "\x1b[31mred"}}}], "text": "<users/all>"}
    assert shell("send", "--card", "-", stdin=json.dumps(card)).status == 0
    assert body_of(chat)["cardsV2"][0]["card"] == {"header": {"title": "red"}}
    assert body_of(chat)["text"] == "<\u200busers/all>"
    done = shell("send", "--card", "-", stdin='{"header": {"title": "a\\ud83d"}}')
    assert (done.status, len(chat.received)) == (65, 1)
    assert "cardsV2[0].card.header.title contains half of a surrogate pair" in done.err


@given(st.text("`ab\n"))
def test_no_text_leaves_its_fence(text: str) -> None:
    """The fence of any text closes at its end and not before."""
    chats = fenced(text)
    assert chats.count("```") == 2
    assert chats.replace("\u200b", "") == f"```\n{text}\n```"
    fence, _, rest = fenced(text, "sh", is_markdown=True).partition("sh\n")
    assert rest == f"{text}\n{fence}"
    assert fence not in text


def test_a_quick_card(chatpost: InProcess, chat: Emulator) -> None:
    """Card options build a card with the text as a paragraph, and a fallback text for notifications."""
    done = chatpost(
        *("send", "--title", "Backup", "--subtitle", "tonight", "--icon", "https://example.com/i.png"),
        *("--field", "Size=12 GB", "--field", "Query=a=b", "--button", "Log=https://example.com/log?a=b"),
        *("--status", "ok", "All <done> & dusted"),
    )
    assert done.status == 0
    ok = '<b><font color="#188038">OK</font></b>'
    icon = {"materialIcon": {"name": "check_circle", "fill": True}}
    link = {"openLink": {"url": "https://example.com/log?a=b"}}
    header = {"title": "Backup", "subtitle": "tonight", "imageUrl": "https://example.com/i.png", "imageType": "CIRCLE"}
    widgets = [
        {"decoratedText": {"startIcon": icon, "text": ok}},
        {"textParagraph": {"text": "All &lt;done&gt; &amp; dusted"}},
        {"decoratedText": {"topLabel": "Size", "text": "12 GB", "wrapText": True}},
        {"decoratedText": {"topLabel": "Query", "text": "a=b", "wrapText": True}},
        {"buttonList": {"buttons": [{"text": "Log", "onClick": link}]}},
    ]
    assert body_of(chat) == {
        "cardsV2": [{"cardId": "chatpost", "card": {"header": header, "sections": [{"widgets": widgets}]}}],
        "fallbackText": "OK: Backup: tonight: All <done> & dusted",
    }


@pytest.mark.parametrize(
    ("argv", "fallback"),
    [
        (["--title", "Only a title"], "Only a title"),
        (["--status", "fail"], "Failed"),
        (["--field", "A=1", "--field", "B=2"], "A: 1, B: 2"),
        (["--button", "Log=http://x/y"], "Log"),
        (["--title", "T", "--mention", "all"], "T"),
    ],
)
def test_a_card_needs_no_text(chatpost: InProcess, chat: Emulator, argv: list[str], fallback: str) -> None:
    """One card option is enough for a card: chatpost needs no text and builds the fallback text."""
    assert chatpost("send", *argv).status == 0
    assert body_of(chat)["fallbackText"] == fallback
    assert body_of(chat).get("text") == ("<users/all>" if "all" in argv else None)


def test_a_quick_card_with_a_piped_text(shell: Shell, chat: Emulator) -> None:
    """With `-`, chatpost reads the paragraph from stdin."""
    assert shell("send", "--title", "T", "-", stdin="from a pipe\n").status == 0
    (section,) = body_of(chat)["cardsV2"][0]["card"]["sections"]
    assert section["widgets"] == [{"textParagraph": {"text": "from a pipe"}}]


@pytest.mark.parametrize(
    "file", [CARD, WITH_ID, [CARD], [WITH_ID], {"cardsV2": [WITH_ID]}, {"cardsV2": [WITH_ID], "fallbackText": "f"}]
)
def test_a_card_file(shell: Shell, chat: Emulator, file: Any) -> None:
    """`--card` accepts every form that the Card Builder exports: a card, a card with its ID, a list, or a message."""
    path = shell.home / "card.json"
    path.write_text(json.dumps(file))
    assert shell("send", "--card", str(path)).status == 0
    body = body_of(chat)
    assert [entry["card"] for entry in body["cardsV2"]] == [CARD]
    assert body.get("fallbackText") == (file.get("fallbackText") if isinstance(file, dict) else None)
    assert "text" not in body


def test_a_card_from_stdin_beside_a_text(shell: Shell, chat: Emulator) -> None:
    """`--card -` reads a card from stdin. A text on the command line replaces the text in the file."""
    whole = json.dumps({"cardsV2": [WITH_ID], "text": "the file's", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"})
    assert shell("send", "--card", "-", stdin=whole).status == 0
    assert body_of(chat)["text"] == "the file's"
    assert body_of(chat)["markupSyntax"] == "MARKUP_SYNTAX_MARKDOWN"
    assert shell("send", "--card", "-", "typed", stdin=whole).status == 0
    assert body_of(chat)["text"] == "typed"


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("", "is not JSON: expecting value (line 1, column 1)"),
        ("{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        ("[" * 100_000, "is not valid JSON"),
        ("9" * 5000, "is not valid JSON"),
        ('{"a":' * 200 + "1" + "}" * 200, "it is nested too deeply"),
        ("1", "it is not an object"),
        ("[]", "cardsV2 has no card"),
        ('{"cardsV2": 1}', "cardsV2 is not a list"),
        ('{"cardsV2": [{"card": {}}], "text": 1}', "text is not a string"),
        ('{"cardsV2": [], "space": {}}', "it has the unknown field 'space'"),
    ],
)
def test_a_file_that_is_no_card(shell: Shell, chat: Emulator, file: str | bytes, complaint: str) -> None:
    """If a card file is not valid, chatpost exits with 65 and gives the reason."""
    done = shell("send", "--card", "-", stdin=file)
    assert (done.status, chat.received) == (65, [])
    assert complaint in done.err
    assert done.err.count("\n") == 1


def sections(*widgets: Any) -> dict[str, Any]:
    return {"sections": [{"widgets": [WIDGET]}, {"widgets": list(widgets)}]}


WRONG_CARDS = [
    ({}, "message.cards_v2[0].card"),
    (1, "message.cards_v2"),
    ({"header": {"title": 1}}, "message.cards_v2.card.header.title"),
    ({"sections": {}}, "message.cards_v2.card.sections"),
    ({"sections": [{"widget": []}]}, "\"widget\" at 'message.cards_v2[0].card.sections[0]'"),
    (sections({"text": "x"}), "\"text\" at 'message.cards_v2[0].card.sections[1].widgets[0]'"),
    (sections({**WIDGET, "divider": {}}), "message.cards_v2.card.sections.widgets"),
    (sections({"grid": {"tiles": 3}}), "\"tiles\" at 'message.cards_v2[0].card.sections[1].widgets[0].grid'"),
]


@pytest.mark.parametrize(("card", "field"), WRONG_CARDS)
def test_a_wrong_card(shell: Shell, chat: Emulator, card: Any, field: str) -> None:
    """Chat validates a card. If it rejects the card, chatpost exits with 65 and one line that names the wrong field."""
    done = shell("send", "--card", "-", stdin=json.dumps([card]))
    assert (done.status, len(chat.received)) == (65, 1)
    assert "Chat returned 400 INVALID_ARGUMENT" in done.err
    assert field in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(("card", "field"), WRONG_CARDS)
def test_a_dry_run_of_a_wrong_card(chatpost: InProcess, chat: Emulator, tmp_path: Path, card: Any, field: str) -> None:
    """`--dry-run` prints the request and validates a card by Google's types.

    A wrong card exits with 65 and names the field.
    """
    (tmp_path / "card.json").write_text(json.dumps([card]))
    done = chatpost("send", "--dry-run", "--card", str(tmp_path / "card.json"))
    assert (done.status, chat.received) == (65, [])
    assert json.loads(done.out)["body"]["cardsV2"] == [{"card": card} if isinstance(card, dict) else card]
    assert done.err.startswith("chatpost: error: Chat would reject this message: ")
    assert field in done.err
    assert done.err.count("\n") == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: (
            st.lists(c)
            | st.dictionaries(
                st.sampled_from(["cardsV2", "card", "header", "title", "sections", "widgets", "textParagraph", "text"]),
                c,
            )
        ),
    )
)
def test_any_json_is_a_card_or_is_rejected(value: Any) -> None:
    """Any JSON is either a card or an error of one line."""
    try:
        message = read_cards(json.dumps(value).encode(), "card.json")
    except DataError as error:
        said = str(error)
    else:
        said = "card.json" if message.cards else ""
    assert said.startswith("card.json")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["--language", "two words", "x"], 2, "is not the name of a language"),
        (["--mention", "two words", "x"], 2, "is not a user ID (a number, not an email address)"),
        (["--field", "no sign", "x"], 2, "is not LABEL=VALUE"),
        (["--field", "=value", "x"], 2, "--field"),
        (["--button", "Log=javascript:alert(1)", "x"], 2, "https://"),
        (["--icon", "file:///x", "--title", "T"], 2, "https://"),
        (["--status", "great", "x"], 2, "'ok', 'warn', 'fail', 'info'"),
        (["--title", " ", "x"], 2, "--title"),
        (["--subtitle", "S", "x"], 2, "need a title: add --title"),
        (["--card", "c.json", "--title", "T"], 2, "--card and --title cannot be used together"),
        (["--card", "-", "-"], 2, "stdin can be the card"),
        (["--card", "/nowhere.json"], 66, "/nowhere.json cannot be read: no such file or directory"),
    ],
)
def test_bad_options(chatpost: InProcess, chat: Emulator, argv: list[str], status: int, said: str) -> None:
    """On an invalid value or conflicting options, chatpost prints one line and posts nothing."""
    done = chatpost("send", *argv)
    assert (done.status, chat.received) == (status, [])
    assert said in done.err
    assert done.err.count("\n") == 1


def test_text_and_cards_share_the_limit(shell: Shell, chat: Emulator) -> None:
    """The size limit applies to the text and the cards together."""
    done = shell("send", "--overflow", "fail", "--title", "T", "-", stdin="x" * 32_000)
    assert (done.status, chat.received) == (65, [])
    assert "the text and the cards have 32,6" in done.err


def test_defaults_of_a_profile(shell: Shell, chat: Emulator) -> None:
    """A profile can set formatting options. Repeatable options are lists."""
    url = shell.env.pop("CHATPOST_URL")
    shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\ncode = true\nmention = ["all", "12"]\n')
    assert shell("send", "hello").status == 0
    assert body_of(chat) == {"text": "<users/all> <users/12>\n```\nhello\n```"}
    for wrong, said in (
        ('mention = "all"', "not a list of strings"),
        ("mention = [1]", "not a list of strings"),
        ("card = 'c'", "profiles.ops.card cannot be set in a profile"),
    ):
        shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\n{wrong}\n')
        done = shell("send", "hello")
        assert done.status == 78
        assert said in done.err
