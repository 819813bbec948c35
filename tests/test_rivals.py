"""What the tests of other tools for Google Chat check, written anew as a table, and where chatpost differs.

Sources, as of November 2026: apprise, `tests/test_plugin_google_chat.py`; shoutrrr,
`pkg/services/googlechat/googlechat_test.go`; Google's action `send-google-chat-webhook`, `src/main_test.go`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import answering, body_of
from tests.servers import raw_server, url_on
from tests.test_ci import GITHUB

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess

FALLBACK = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"


@pytest.mark.parametrize(
    ("argv", "body", "option"),
    [
        pytest.param(["test body"], {"text": "test body"}, None, id="apprise, shoutrrr: a text"),
        pytest.param(
            ["-k", "threadkey", "test body"],
            {"text": "test body", "thread": {"threadKey": "threadkey"}},
            FALLBACK,
            id="apprise: a thread key",
        ),
        # apprise puts the title above the text; here, a title makes a card, or bold text.
        pytest.param(
            ["--as", "text", "--title", "title", "test body"],
            {"text": "*title*\ntest body"},
            None,
            id="apprise: a title",
        ),
        pytest.param(
            ["*already* chat-bound"], {"text": "*already* chat-bound"}, None, id="apprise: Chat's markup stays"
        ),
        # apprise converts Markdown into Chat's markup; chatpost tells Chat that it is Markdown.
        pytest.param(
            ["--markdown", "**bold** [a](https://x.example)"],
            {"text": "**bold** [a](https://x.example)", "markupSyntax": "MARKUP_SYNTAX_MARKDOWN"},
            None,
            id="apprise: Markdown",
        ),
        # apprise escapes these; Chat shows them as they are.
        pytest.param(["2 < 3 & 4"], {"text": "2 < 3 & 4"}, None, id="apprise: <, > and &"),
        pytest.param(
            ["--as", "text", "--button", "click=https://e/x|evil"],
            {"text": "<https://e/x%7Cevil|click>"},
            None,
            id="apprise: a separator in a link",
        ),
        pytest.param(["text ``unterminated"], {"text": "text ``unterminated"}, None, id="apprise: unmatched backticks"),
    ],
)
def test_requests(
    chatpost: InProcess, chat: Emulator, argv: list[str], body: dict[str, Any], option: str | None
) -> None:
    """A command makes the request that another tool's test expects, or the one named in the comment."""
    assert chatpost("send", *argv).status == 0
    (received,) = chat.received
    assert (body_of(chat), received.query.get("messageReplyOption")) == (body, option)
    assert {"key", "token", "requestId"} <= received.query.keys()  # only chatpost has a request ID


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("", "is set but empty", id="apprise: no URL"),
        pytest.param("https://chat.googleapis.com/v1/spaces/ws/messages", "has no key", id="apprise: no key and token"),
        pytest.param(
            "https://chat.googleapis.com/v1/spaces/ws/messages?key=k", "has no token", id="shoutrrr: no token"
        ),
        pytest.param("https://chat.googleapis.com/v1/spaces/ws/messages?token=t", "has no key", id="shoutrrr: no key"),
        # apprise takes the thread key from the URL; chatpost names its option.
        pytest.param(
            "https://chat.googleapis.com/v1/spaces/ws/messages?key=k&token=t&threadKey=a",
            "--thread-key",
            id="apprise: a key",
        ),
        pytest.param("gchat://ws/key/token", "does not begin with https://", id="apprise: its own URL"),
    ],
)
def test_urls(chatpost: InProcess, url: str, said: str) -> None:
    """A URL that other tools refuse is refused, with a reason."""
    chatpost.env["CHATPOST_URL"] = url
    chatpost("send", "hi").expect(78, said)


@pytest.mark.parametrize(("code", "status"), [(500, 75), (403, 77), (404, 69), (400, 65)])
def test_codes(chatpost: InProcess, chat: Emulator, code: int, status: int) -> None:
    """An error of Chat fails: apprise and shoutrrr test 500; each kind has its own status here."""
    chat.faults += [answering(code)] * 9
    assert chatpost("send", "--deadline", "1s", "hi").status == status


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
)
def test_odd_answers(chatpost: InProcess, answer: bytes) -> None:
    """Apprise fails at the code 999. shoutrrr takes an empty 200 for a success; here it is "probably posted"."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(answer)

    with raw_server(serve) as (port, _):
        chatpost.env["CHATPOST_URL"] = url_on(port)
        done = chatpost("send", "--retries", "0", "hi")
    assert done.expect(*((76, "was probably posted") if b"200" in answer else (75, "returned 999")))


@pytest.mark.parametrize(("status", "word"), [("ok", "OK"), ("fail", "Failed")])
def test_a_workflow(chatpost: InProcess, chat: Emulator, status: str, word: str) -> None:
    """Google's action shows workflow, repository, ref, actor and a button to the run; so does `--ci`."""
    chatpost.env |= GITHUB
    assert chatpost("send", "--ci", "--status", status).status == 0
    (card,) = (its["card"] for its in body_of(chat)["cardsV2"])  # a list, as Chat's reference says; theirs is an object
    shown = json.dumps(card)
    for text in (GITHUB["GITHUB_WORKFLOW"], GITHUB["GITHUB_REPOSITORY"], GITHUB["GITHUB_REF_NAME"], "hubot", word):
        assert text in shown
    (buttons,) = (its["buttonList"]["buttons"] for its in card["sections"][0]["widgets"] if "buttonList" in its)
    url = f"https://github.com/{GITHUB['GITHUB_REPOSITORY']}/actions/runs/{GITHUB['GITHUB_RUN_ID']}"
    assert buttons[0]["onClick"]["openLink"]["url"].startswith(url)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("issues", {"action": "opened", "issue": {"title": "test-title", "html_url": "https://foo.com"}}),
        ("release", {"action": "released", "release": {"name": "test-title", "html_url": "https://foo.com"}}),
    ],
)
def test_other_events(chatpost: InProcess, chat: Emulator, tmp_path: Path, name: str, event: dict[str, Any]) -> None:
    """For an issue or a release, Google's action links to it. chatpost shows the run, and an option adds the link."""
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    chatpost.env |= GITHUB | {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path)}
    assert chatpost("send", "--ci", "--title", "test-title", "--button", "Open=https://foo.com").status == 0
    shown = json.dumps(body_of(chat)["cardsV2"])
    assert '"test-title"' in shown
    assert "https://foo.com" in shown
