"""The formatting of messages in the space: code, Markdown, mentions and cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, strategies as st

from chatpost.content.card_file import read_cards
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


Shown: TypeAlias = "tuple[str | None, str]"  # the text of a message, and the paragraph of its card
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
    assert "stdin: header.title contains half of a surrogate pair" in done.err


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
        *("--image", "https://example.com/p.png", "--status", "ok", "All <done> & dusted"),
    )
    assert done.status == 0
    ok = '<b><font color="#188038">OK</font></b>'
    icon = {"materialIcon": {"name": "check_circle", "fill": True}}
    link = {"openLink": {"url": "https://example.com/log?a=b"}}
    header = {"title": "Backup", "subtitle": "tonight", "imageUrl": "https://example.com/i.png", "imageType": "CIRCLE"}
    picture = "https://example.com/p.png"
    widgets = [
        {"decoratedText": {"startIcon": icon, "text": ok}},
        {"textParagraph": {"text": "All &lt;done&gt; &amp; dusted"}},
        {"image": {"imageUrl": picture, "onClick": {"openLink": {"url": picture}}}},
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
        (["--image", "https://x/y.png"], "Image"),
        (["--title", "T", "--mention", "all"], "T"),
    ],
)
def test_a_card_needs_no_text(chatpost: InProcess, chat: Emulator, argv: list[str], fallback: str) -> None:
    """One card option is enough for a card: chatpost needs no text and builds the fallback text."""
    assert chatpost("send", *argv).status == 0
    assert body_of(chat)["fallbackText"] == fallback
    assert body_of(chat).get("text") == ("<users/all> T" if "all" in argv else None)


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
    assert body.get("fallbackText") == (file.get("fallbackText", "T: hi") if isinstance(file, dict) else "T: hi")
    assert "text" not in body


@pytest.mark.parametrize(
    ("file", "body"),
    [
        ({"cards_v2": {"card_id": "a", "card": CARD}}, {"cardsV2": [{"cardId": "a", "card": CARD}]}),
        ({"cardsV2": [{"card": {**CARD, "name": None}}], "text": None}, {"cardsV2": [{"card": CARD}]}),
        (
            {"header": {"title": "T", "image_url": "https://x.example/i.png"}},
            {"cardsV2": [{"card": {"header": {"title": "T", "imageUrl": "https://x.example/i.png"}}}]},
        ),
        ({"text": "alone"}, {"text": "alone"}),
        ({"text": "*t*", "thread": {"thread_key": "k"}}, {"text": "*t*", "thread": {"threadKey": "k"}}),
        (
            {"text": "t", "accessory_widgets": [{"button_list": {"buttons": []}}]},
            {"text": "t", "accessoryWidgets": [{"buttonList": {"buttons": []}}]},
        ),
        ({"text": "t", "fallbackText": "f", "cardsV2": []}, {"text": "t", "fallbackText": "f"}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_a_whole_message(shell: Shell, chat: Emulator, file: Any, body: dict[str, Any], encoding: str) -> None:
    """A card file can be a whole message, in each form that Chat accepts: snake case, null, a single object."""
    assert shell("send", "--card", "-", stdin=json.dumps(file).encode(encoding)).status == 0
    posted = body_of(chat)
    if "cardsV2" in body:
        assert posted.pop("fallbackText").startswith("T")
    assert posted == body


def test_options_win_over_the_file(shell: Shell, chat: Emulator) -> None:
    """A thread in a card file is used unless an option names one; it must be in the webhook's space."""
    file = json.dumps({"text": "t", "thread": {"name": "spaces/AAAA/threads/T1"}})
    assert shell("send", "--card", "-", stdin=file).status == 0
    assert body_of(chat)["thread"] == {"name": "spaces/AAAA/threads/T1"}
    assert shell("send", "-k", "mine", "--card", "-", "typed", stdin=file).status == 0
    assert (body_of(chat)["thread"], body_of(chat)["text"]) == ({"threadKey": "mine"}, "typed")
    done = shell("send", "--card", "-", stdin=file.replace("AAAA", "BBBB"))
    assert (done.status, len(chat.received)) == (2, 2)
    assert "the card file's thread spaces/BBBB/threads/T1 is in a different space than the webhook" in done.err


@pytest.mark.parametrize(
    ("card", "fallback"),
    [
        ({"header": {"title": "T", "subtitle": "S"}}, "T: S"),
        ({"sections": [{"widgets": [{"divider": {}}, {"textParagraph": {"text": "<b>a</b> &amp; b"}}]}]}, "a & b"),
        ({"header": {"title": "T"}, "sections": [{"widgets": [{"decoratedText": {"text": "d"}}]}]}, "T: d"),
        ({"sections": [{"widgets": [{"divider": {}}]}]}, None),
    ],
)
def test_a_fallback_of_a_card_file(shell: Shell, chat: Emulator, card: Any, fallback: str | None) -> None:
    """A card file without a fallback text gets one from its header and its first paragraph, for notifications."""
    assert shell("send", "--card", "-", stdin=json.dumps(card)).status == 0
    assert body_of(chat).get("fallbackText") == fallback
    assert shell("send", "--mention", "12", "--card", "-", stdin=json.dumps(card)).status == 0
    assert body_of(chat)["text"] == " ".join(filter(None, ("<users/12>", fallback)))


@pytest.mark.parametrize(
    ("argv", "stdin", "shown"),
    [
        (["--mention", "all", "disk is full"], "", ("<users/all> Failed: Backup: disk is full", "disk is full")),
        (["<users/all> the shop is down"], "", ("<users/all> Failed: Backup: the shop is down", "the shop is down")),
        (["ask <users/1> now", "--mention", "2"], "", ("<users/2> <users/1> Failed: Backup: ask @1 now", "ask @1 now")),
        (["the `<users/1>` form"], "", (None, "the <code>&lt;users/1&gt;</code> form")),
        (["-"], "<users/all> down", (None, "&lt;\u200busers/all&gt; down")),
        (["--allow-mentions", "-"], "<users/all> down", ("<users/all> Failed: Backup: down", "down")),
        (["--code", "<users/all>"], "", (None, "```\n<users/all>\n```")),
        (
            ["--code", "--mention", "1", "<users/all>"],
            "",
            ("<users/1> Failed: Backup: <\u200busers/all>", "```\n<users/all>\n```"),
        ),
        (["--mention", "1", "a\nb ```\nc\n```"], "", ("<users/1> Failed: Backup: a b", "a\nb <pre>c</pre>")),
        (
            ["--mention", "1", "word " * 100],
            "",
            (f"<users/1> {('Failed: Backup: ' + 'word ' * 100)[:200]}...", "word " * 100),
        ),
    ],
)
def test_a_card_that_mentions(shell: Shell, chat: Emulator, argv: list[str], stdin: str, shown: Shown) -> None:
    """A mention stands in the text, where it notifies, with the beginning of the card, which phones show."""
    assert shell("send", "--title", "Backup", "--status", "fail", *argv, stdin=stdin).status == 0
    body = body_of(chat)
    paragraph = body["cardsV2"][0]["card"]["sections"][0]["widgets"][1]["textParagraph"]["text"]
    assert (body.get("text"), paragraph) == shown
    assert "<users/" not in body["fallbackText"]


@pytest.mark.parametrize("option", ["--title", "--subtitle", "--field"])
def test_a_mention_without_an_effect(shell: Shell, option: str) -> None:
    """A mention in another part of a card notifies nobody, and a warning says so."""
    done = shell("send", "--title", "T", option, "A=<users/1>", "hi")
    done.expect(0, "<users/...> in --title, --subtitle or --field notifies no one: use --mention")


def test_as_text(shell: Shell, chat: Emulator) -> None:
    """`--as text` posts the parts of a card as text, in Chat's markup or in Markdown."""
    options = ["--as", "text", "--title", "Back_up", "--subtitle", "to *night*", "--status", "fail"]
    options += ["--field", "Size=12 GB", "--button", "Log|s=https://x.example/log?a=(b)|c", "--mention", "1"]
    assert shell("send", *options, "disk is *full*").status == 0
    assert body_of(chat) == {
        "text": "<users/1> *Failed: Back_up*\nto *\u200bnight*\ndisk is *full*\n*Size*: 12 GB\n"
        "<https://x.example/log?a=(b)%7Cc|Log s>"
    }
    assert shell("send", *options, "--markdown", "disk is **full**").status == 0
    assert body_of(chat)["text"] == (
        "<users/1> **Failed: Back_up**\n\nto *\u200bnight*\n\ndisk is **full**\n\n**Size**: 12 GB\n\n"
        "[Log|s](https://x.example/log?a=(b%29|c)"
    )
    assert (
        shell("send", "--as", "text", "--image", "https://x.example/i.png", "--button", "L=https://x.example/").status
        == 0
    )
    assert body_of(chat) == {"text": "<https://x.example/i.png|Image> | <https://x.example/|L>"}
    assert shell("send", "--as", "text", "--status", "ok").status == 0
    assert body_of(chat) == {"text": "*OK*"}
    assert shell("send", "--as", "text", "plain").status == 0
    assert body_of(chat) == {"text": "plain"}
    shell("send", "--as", "text", "--card", "c.json").expect(2, "--card and --as cannot be used together")


def test_as_text_in_a_profile(shell: Shell, chat: Emulator) -> None:
    """A profile can ask for text instead of cards, for `--ci` and `run`, too; values of strangers stay plain."""
    url = shell.env.pop("CHATPOST_URL")
    shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\nas = "text"\nci = true\n')
    shell.env |= {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_SERVER_URL": "https://g.example"}
    shell.env |= {"GITHUB_HEAD_REF": "<users/all>", "GITHUB_RUN_ID": "1", "GITHUB_WORKFLOW": "CI"}
    assert shell("send", "done").status == 0
    link = "<https://g.example/o/r/actions/runs/1|Open run>"
    fields = f"*Repository*: o/r\n*Branch*: <\u200busers/all>\n*Workflow*: CI\n{link}"
    assert body_of(chat) == {"text": f"*CI*\ndone\n{fields}"}
    assert shell("run", "--", "true").status == 0
    assert body_of(chat)["text"].startswith("*OK: CI*\n\u2705 *true* succeeded on ")
    assert body_of(chat)["text"].endswith(fields)
    assert "cardsV2" not in body_of(chat)


@pytest.mark.parametrize("count", [100, 101, 300])
def test_too_many_widgets(shell: Shell, count: int) -> None:
    """A warning says how many widgets a card has if Chat does not show them all."""
    done = shell("send", *(word for number in range(count) for word in ("--field", f"F{number}=1")))
    assert done.status == 0
    assert (f"the card has {count} widgets, but Chat shows only the first 100" in done.err) is (count > 100)
    card = json.dumps({"sections": [{"widgets": [WIDGET] * (count - 1)}, {"widgets": [WIDGET]}]})
    done = shell("send", "--card", "-", stdin=card)
    assert (f"the card has {count} widgets" in done.err) is (count > 100)


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
        ("", "stdin is empty, so nothing was posted"),
        (" \n", "stdin is empty"),
        ("{]", "is not JSON: expecting property name enclosed in double quotes (line 1, column 2)"),
        ("{", "is not JSON"),
        (b"\xff", "is neither UTF-8 nor UTF-16"),
        ('{"cards": [{"sections": []}]}', "the field 'cards' is the old card format: export the card again as cardsV2"),
        ('{"text": " "}', "it has neither text nor a card"),
        ('{"text": "t", "thread": {"name": 1}}', "the field thread is not an object with a threadKey or a name"),
        ('{"text": "t", "thread": {"name": "t"}}', "'t' is not a thread name"),
        ('{"text": "t", "accessoryWidgets": {}}', "accessoryWidgets is not a list"),
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
        said = "card.json" if message.cards or message.text else ""
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
        (["--image", "http://x/y.png", "x"], 2, "only over https"),
        (["--image", "https://x/y z.png", "x"], 2, "no spaces"),
        (["--card", "c.json", "--image", "https://x/y.png"], 2, "--card and --image cannot be used together"),
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
