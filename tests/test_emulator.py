"""The emulator follows the API of Chat's webhooks, as defined by Google's types and documentation."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind, parse_faults
from tests.conftest import Shell, texts
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

FALLBACK = {"messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"}
OR_FAIL = {"messageReplyOption": "REPLY_MESSAGE_OR_FAIL"}


class Poster:
    """Posts to an emulator, like any HTTP client."""

    def __init__(self, chat: Emulator) -> None:
        self.chat = chat
        self._session = requests.Session()
        self._session.trust_env = False

    def __call__(self, body: Any, space: str = "AAAA", token: str = "any", **query: str) -> tuple[int, dict[str, Any]]:  # noqa: S107 - any token will do
        parameters = {name.replace("_", "."): value for name, value in query.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(self.chat.url(space, token=token), parameters, data, {})

    def send(self, url: str, parameters: dict[str, str], data: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", **headers}
        answer = self._session.post(url, params=parameters, data=data, headers=headers, timeout=30)
        return answer.status_code, answer.json()


@pytest.fixture
def post(chat: Emulator) -> Poster:
    return Poster(chat)


def keyed(key: str, text: str = "x") -> dict[str, Any]:
    return {"text": text, "thread": {"threadKey": key}}


def test_echoes_the_request_with_names(post: Poster) -> None:
    """The response contains the request's fields, the message name and the thread name, and nothing else."""
    status, answer = post(keyed("k", "é"), **FALLBACK)
    thread = answer["thread"]["name"]
    assert (status, sorted(answer)) == (200, ["name", "text", "thread"])
    assert answer["thread"] == {"threadKey": "k", "name": thread}
    assert thread.startswith("spaces/AAAA/threads/")
    own = thread.rpartition("/")[2]
    assert answer["name"] == f"spaces/AAAA/messages/{own}.{own}"


def test_a_plain_create_ignores_its_thread(post: Poster) -> None:
    """Without a reply option, the emulator ignores the thread and does not register the thread key."""
    assert post(keyed("k"))[0] == 200
    assert post(keyed("k"), **OR_FAIL)[0] == 404
    assert post(keyed("k"))[0] == 200
    assert len(post.chat.space().threads()) == 2


def test_a_key_opens_and_finds_a_thread(post: Poster) -> None:
    """With the fallback option, an unknown thread key opens a thread, and a known one finds it."""
    first, second = (post(keyed("k"), **FALLBACK)[1] for _ in range(2))
    assert first["thread"]["name"] == second["thread"]["name"]
    assert first["name"] != second["name"]
    assert post(keyed("k"), **OR_FAIL)[0] == 200


def test_keys_belong_to_their_webhook(post: Poster) -> None:
    """The same thread key in two webhooks gives two threads. A thread name works with both webhooks."""
    first = post(keyed("k"), token="one", **FALLBACK)[1]
    second = post(keyed("k"), token="two", **FALLBACK)[1]
    assert first["thread"]["name"] != second["thread"]["name"]
    reply = {"text": "x", "thread": {"name": first["thread"]["name"]}}
    assert post(reply, token="two", **OR_FAIL)[0] == 200


@pytest.mark.parametrize("thread", [{"threadKey": "unknown"}, {"name": "spaces/AAAA/threads/unknown"}])
def test_or_fail(post: Poster, thread: dict[str, str]) -> None:
    """With OR_FAIL, a reply to a missing thread returns NOT_FOUND and stores nothing."""
    status, answer = post({"text": "x", "thread": thread}, **OR_FAIL)
    assert (status, answer["error"]["status"], post.chat.space().messages) == (404, "NOT_FOUND", [])
    assert post({"text": "x", "thread": thread}, **FALLBACK)[0] == 200


def test_request_id(post: Poster) -> None:
    """A request ID makes a create idempotent, even with another text.

    With another webhook of the space, it is an error.
    """
    first = post({"text": "a"}, requestId="r")[1]
    second = post({"text": "b"}, requestId="r")[1]
    assert first["name"] == second["name"]
    assert texts(post.chat) == ["a"]
    assert post({"text": "a"}, token="other", requestId="r")[0] == 409
    assert post({"text": "a"}, space="BBBB", requestId="r")[0] == 200


def test_message_id(post: Poster) -> None:
    """A message ID must be unique in its space, and match the required format."""
    assert post({"text": "a"}, messageId="client-a")[0] == 200
    status, answer = post({"text": "a"}, messageId="client-a")
    assert (status, answer["error"]["status"]) == (409, "ALREADY_EXISTS")
    assert post({"text": "a"}, messageId="a")[0] == 400
    assert post({"text": "a"}, messageId="client-" + "a" * 57)[0] == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Invalid JSON payload received"),
        (b"[1]", "Root element must be a message"),
        (b"null", "Root element must be a message"),
        (b"[" * 100_000, "Invalid JSON payload received"),
        ({}, "empty"),
        ({"text": "  "}, "empty"),
        ({"text": "x", "foo": 1}, "Unknown name \"foo\" at 'message': Cannot find field."),
        ({"cardsV2": [{"card": {"sectons": []}}]}, "Unknown name \"sectons\" at 'message.cards_v2[0].card'"),
        ({"text": 1}, "Invalid value at 'message.text'"),
        ({"text": "x", "thread": "y"}, "at 'message.thread'"),
        ({"text": "x", "thread": {"name": "spaces/BBBB/threads/T"}}, "Invalid thread resource name"),
        (keyed("k" * 4001), "4000 characters"),
        ({"text": "x" * 32_001}, "too long"),
        ({"text": "x" * 31_000, "cardsV2": [{"card": {"header": {"title": "y" * 1000}}}]}, "too long"),
    ],
)
def test_rejects_what_is_no_message(post: Poster, body: Any, says: str) -> None:
    """An invalid, empty or oversized message returns INVALID_ARGUMENT, with Chat's error message."""
    status, answer = post(body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert says in answer["error"]["message"]


def test_takes_what_is_as_long_as_can_be(post: Poster) -> None:
    """A message may have 32,000 bytes."""
    assert post({"text": "é" * 16_000})[0] == 200


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"foo": "1"}, 'Unknown name "foo"'),
        ({"messageReplyOption": "MAYBE"}, "Invalid value at 'message_reply_option'"),
        ({"createMessageNotificationOptions_notificationType": "LOUD"}, "Invalid value"),
    ],
)
def test_rejects_unknown_parameters(post: Poster, query: dict[str, str], says: str) -> None:
    """An unknown or invalid query parameter returns INVALID_ARGUMENT."""
    status, answer = post({"text": "x"}, **query)
    assert status == 400
    assert says in answer["error"]["message"]


def test_takes_every_parameter_of_the_api(post: Poster) -> None:
    """The emulator accepts all parameters of the API. The deprecated threadKey parameter works like the field."""
    silent = {"createMessageNotificationOptions_notificationType": "NOTIFICATION_TYPE_SILENT"}
    assert post({"text": "x"}, prettyPrint="true", **silent)[0] == 200
    first, second = (post({"text": "x"}, threadKey="k", **FALLBACK)[1] for _ in range(2))
    assert first["thread"]["name"] == second["thread"]["name"]


def test_needs_key_and_token(chat: Emulator) -> None:
    """The emulator accepts any key and token, but requires both. Other paths return NOT_FOUND."""
    base = chat.url().partition("?")[0]
    session = requests.Session()
    session.trust_env = False
    assert session.post(base, json={"text": "x"}, timeout=30).status_code == 403
    assert session.post(f"{base}?key=k", json={"text": "x"}, timeout=30).status_code == 401
    assert session.post(f"{base}/more?key=k&token=t", json={"text": "x"}, timeout=30).status_code == 404
    assert session.get(f"{base}?key=k&token=t", timeout=30).status_code == 404


def test_quota() -> None:
    """A space accepts one request a second from all its webhooks. Above that, it returns 429 and stores nothing."""
    now = [0.0]
    with Emulator(clock=lambda: now[0]) as chat:
        post = Poster(chat)
        assert post({"text": "a"})[0] == 200
        assert post({"text": "b"}, space="BBBB")[0] == 200
        now[0] = 0.99
        status, answer = post({"text": "c"}, token="other")
        assert (status, answer["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        now[0] = 1.0
        assert post({"text": "d"})[0] == 200
        assert texts(chat) == ["a", "d"]


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        ("503", [Fault(Kind.STATUS, 503)]),
        ("429,retry-after=2", [Fault(Kind.STATUS, 429, headers={"Retry-After": "2"})]),
        (
            "503,retry-after=Fri, 15 Jan 2027 08:00:30 GMT*2",
            [Fault(Kind.STATUS, 503, headers={"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"})] * 2,
        ),
        ("delay=1.5*2", [Fault(Kind.DELAY, seconds=1.5)] * 2),
        ("delay=1m30s*2", [Fault(Kind.DELAY, seconds=90)] * 2),
        ("drop-before", [Fault(Kind.DROP_BEFORE)]),
        ("drop-after", [Fault(Kind.DROP_AFTER)]),
        ("truncate", [Fault(Kind.TRUNCATE)]),
        ("drip", [Fault(Kind.DRIP)]),
        ("ok*3", [Fault(Kind.NONE)] * 3),
    ],
)
def test_reads_faults(spec: str, faults: list[Fault]) -> None:
    """A fault has a kind, an optional value and an optional count."""
    assert parse_faults(spec) == faults


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "200",
        "600",
        "delay",
        "drip=1",
        "status",
        "drop",
        "503*",
        "503*x",
        "ok,retry-after=1",
    ],
)
def test_rejects_faults(spec: str) -> None:
    """An invalid fault raises an error that lists the valid faults."""
    with pytest.raises(ValueError, match="a fault is one of"):
        parse_faults(spec)


@pytest.mark.parametrize("delay", ["x", "1.2.3"])
def test_rejects_delays(delay: str) -> None:
    """An invalid delay raises an error that shows how to write durations."""
    with pytest.raises(ValueError, match=f"^'{re.escape(delay)}' is not a duration: use 90s, 5m, 2h or 3d$"):
        parse_faults(f"delay={delay}")


@pytest.mark.parametrize(
    ("fault", "stored"),
    [(Kind.DROP_BEFORE, 0), (Kind.DROP_AFTER, 1), (Kind.TRUNCATE, 1)],
)
def test_faults_of_the_connection(post: Poster, fault: Kind, stored: int) -> None:
    """A dropped or truncated response is a client error. The fault determines whether the message is stored."""
    post.chat.faults.append(Fault(fault))
    with pytest.raises(requests.RequestException):
        post({"text": "x"})
    assert len(post.chat.space().messages) == stored
    assert post({"text": "y"})[0] == 200


def test_drip_never_ends(chat: Emulator) -> None:
    """A dripping response continues until the client disconnects, and the message is stored."""
    chat.faults.append(Fault(Kind.DRIP))
    session = requests.Session()
    session.trust_env = False
    with session.post(chat.url(), json={"text": "x"}, stream=True, timeout=30) as answer:
        chunks: Iterator[bytes] = answer.iter_content(1)
        assert [next(chunks) for _ in range(3)] == [b" "] * 3
    assert len(chat.space().messages) == 1


def test_runs_a_command(shell: Shell) -> None:
    """`emulator -- COMMAND` gives the command a webhook, shows the space on stderr, and exits with its status."""
    script = 'chatpost thread -k k "[red]one" >/dev/null && chatpost reply -k k two; exit 7'
    done = shell("emulator", "--no-quota", "--", "sh", "-c", script)
    assert done.status == 7
    assert done.out.startswith("spaces/AAAA/messages/")
    lines = done.err.splitlines()
    assert lines[:2] == ["The emulator holds 2 messages.", "spaces/AAAA"]
    assert lines[2].startswith("└── [red]one  (")
    assert lines[3].startswith("    └── two  (")


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["--", "no-such-command-of-the-tests"], 66, "cannot be run: no such file"),
        (["--", "sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM, "holds 0 messages"),
        (["--fault", "what", "--", "true"], 2, "'what': a fault is one of"),
        (["--port", "70000"], 2, "is not a whole number from"),
    ],
)
def test_runs_no_command(shell: Shell, argv: list[str], status: int, said: str) -> None:
    """On a failed command or an invalid option, the emulator prints a line and exits with the matching status."""
    shell("emulator", *argv).expect(status, said)


def test_faults_of_the_command_line(shell: Shell) -> None:
    """The next requests get the faults of `--fault`, in order."""
    done = shell("emulator", "--no-quota", "--fault", "drop-after", "--fault", "503*2", "--", "chatpost", "send", "x")
    assert done.status == 0
    assert done.err.count("retrying in") == 3
    assert "was lost" in done.err.splitlines()[0]
    assert "holds 1 message." in done.err


def test_port_is_taken(shell: Shell, chat: Emulator) -> None:
    """If the port is taken, the emulator prints one line and exits with 78."""
    done = shell("emulator", "--port", str(chat.port))
    reason = f"cannot serve on port {chat.port}: address already in use"
    assert (done.status, done.err) == (
        78,
        f"chatpost: error: {reason}; use another --port, or omit the option\n",
    )


def test_serves_until_interrupted(shell: Shell) -> None:
    """Without a command, the emulator prints a webhook URL, logs each request, and serves until it is interrupted."""
    running = shell.start("emulator")
    shell.env["CHATPOST_URL"] = running.line().strip()
    assert shell("send", "hello").status == 0
    running.signal(signal.SIGINT)
    running.end().expect(0, "POST /v1/spaces/AAAA/messages: 200", "hello")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_passes_termination_on(shell: Shell, tmp_path: Path, number: signal.Signals) -> None:
    """A signal to the emulator ends its command, and the emulator exits with the command's status."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    script = f"trap 'exit 9' TERM; echo > {ready}; while :; do sleep 0.1; done"
    running = shell.start("emulator", "--", "sh", "-c", script)
    ready.read_text()
    running.signal(number)
    running.end().expect(9)


def test_no_thread_takes_signals_from_the_main_thread(shell: Shell) -> None:
    """The emulator's threads, those of requests included, have the signals blocked that end it."""
    emulator = shell.start("emulator")
    url = shell.env["CHATPOST_URL"] = emulator.line().strip()
    with socket.create_connection(("127.0.0.1", int(url.split(":")[2].partition("/")[0]))) as stream:
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")  # which stays open
        assert stream.recv(12) == b"HTTP/1.1 200"
        assert shell.run("chatpost", "send", "hi").status == 0
        main, others = unblocked(emulator.process.pid)
    assert (main, len(others) >= 2, any(others)) == (True, True, False)
    emulator.signal(signal.SIGTERM)
    emulator.end()


def unblocked(pid: int) -> tuple[bool, list[bool]]:
    """Return whether the main thread, and each other thread, of a process can receive SIGINT, SIGTERM or SIGHUP."""
    numbers = sum(1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        blocked = int(re.findall(r"SigBlk:\s*(\w+)", (task / "status").read_text())[0], 16)
        found[int(task.name)] = blocked & numbers != numbers
    return found.pop(pid), list(found.values())


def test_an_early_signal(shell: Shell) -> None:
    """A signal right after the command starts ends both, and leaves no command behind."""
    script = "trap 'exit 9' TERM; kill -TERM $PPID; while :; do sleep 0.1; done"
    for _ in range(5):
        assert shell("emulator", "--", "sh", "-c", script).status == 9
    interrupted = shell("emulator", "--", "sh", "-c", "kill -INT $PPID; exit 7")
    assert interrupted.status == 7


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "application/x+json"}, 400),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ({"Host": "localhost:1"}, 200),
        ({"Content-Type": "application/json; charset=UTF-8"}, 200),
    ],
)
def test_strangers_are_rejected(post: Poster, headers: dict[str, str], status: int) -> None:
    """A web page cannot post through a user's browser.

    The emulator rejects foreign hosts, origins and content types.
    """
    got, answer = post.send(post.chat.url(), {}, b'{"text": "x"}', headers)
    assert got == status
    assert ("error" in answer) == (status != 200)
    assert len(post.chat.space().messages) == (status == 200)


@pytest.mark.parametrize(
    "body", [[], {"cardsV2": [{"card": None}]}, {"cardsV2": [None]}, {"cardsV2": [[]]}, "x", 1, None]
)
def test_what_is_no_message(post: Poster, body: Any) -> None:
    """Any JSON that is not a message returns INVALID_ARGUMENT."""
    status, answer = post(body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_names_in_snake_case(post: Poster) -> None:
    """The emulator accepts snake_case names in the body and the query, like Google."""
    body = {"text": "a", "thread": {"thread_key": "k"}, "fallback_text": "f"}
    parameters = {"message_reply_option": FALLBACK["messageReplyOption"], "request_id": "mine"}
    for _ in range(2):
        assert post.send(post.chat.url(token="any"), parameters, json.dumps(body).encode(), {})[0] == 200
    (message,) = post.chat.space().messages
    assert message.body == {"text": "a", "thread": {"threadKey": "k"}, "fallbackText": "f"}
    assert post(keyed("k", "b"), **OR_FAIL)[0] == 200


def test_an_export_line_at_a_terminal(shell: Shell) -> None:
    """At a terminal, the emulator prints the URL as a quoted `export` line."""
    terminal = Terminal()
    running = shell.start("emulator", stdout=terminal.theirs, start_new_session=True)
    running.wait_to_say("\n")
    running.signal(signal.SIGINT)
    running.end()
    line = terminal.close().strip()
    assert line.startswith("export CHATPOST_URL='http://127.0.0.1:")
    assert line.endswith("'")


def test_without_the_extra(shell: Shell, tmp_path: Path) -> None:
    """Without the emulator extra, chatpost prints one line with the installation command and exits with 78."""
    for missing in ("flask", "google"):
        (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError(name={missing!r})")
    shell.env["PYTHONPATH"] = str(tmp_path)
    for argv in (["--", "true"], ["--fault", "503", "--", "true"]):
        done = shell("emulator", *argv)
        assert (done.status, done.err.count("\n")) == (78, 1)
        assert "in a checkout, run pipx install --force '.[emulator]'" in done.err
