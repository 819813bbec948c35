from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from unittest import mock
from uuid import uuid4

import pytest

from chatpost.chat.message import CreateMessageRequest, Message
from chatpost.chat.webhook import Webhook
from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from chatpost.formatting import format_time
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status
from chatpost.outbox.redis import RedisOutbox
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import SqliteOutbox
from chatpost.outbox.store import CoolDown
from chatpost.redis_client import RedisClient
from tests.conftest import KEY, PIECES, TOKEN, InProcess, Shell, answering, texts, wait_for
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from chatpost.outbox.store import Outbox

FLUSH = ("outbox", "flush")


def box_of(shell: Shell) -> Path:
    return shell.home / "state" / "chatpost" / "outbox.sqlite3"


@contextmanager
def stored_by(shell: Shell) -> Iterator[Outbox]:
    """Open the outbox that the commands use: the file or Redis."""
    if "CHATPOST_REDIS_URL" not in shell.env:
        yield SqliteOutbox(box_of(shell), time.time)
        return
    yield RedisOutbox(RedisClient(shell.env["CHATPOST_REDIS_URL"], 30))


def edit(shell: Shell, new: Callable[[OutboxMessage], OutboxMessage], ids: Iterable[int] = range(1, 10)) -> None:
    """Change messages in the outbox directly, to simulate the passage of time."""
    with stored_by(shell) as outbox:
        for space in {message.webhook.space for message in outbox.index()}:
            outbox.change(space, list(ids), lambda found: [new(message) for message in found])


def age(shell: Shell, seconds: float, ids: Iterable[int] = range(1, 10)) -> None:
    """Make messages appear older by this many seconds."""
    edit(shell, lambda message: message._replace(origin=Origin("here", message.origin.written - seconds)), ids)


def let_expire(shell: Shell, ids: Iterable[int] = range(1, 10)) -> None:
    """Set the expiry time of messages to one second ago."""
    edit(shell, lambda message: message._replace(rules=message.rules._replace(expires_at=time.time() - 1)), ids)


def end_leases(shell: Shell) -> None:
    """Delete the leases of killed processes, which would otherwise expire after some seconds."""
    if "CHATPOST_REDIS_URL" in shell.env:
        server = RedisClient(shell.env["CHATPOST_REDIS_URL"], 30)
        for key in server.call("KEYS", "chatpost:{outbox}:lock:*"):
            server.call("DEL", key.decode())


@pytest.fixture(params=["a file", "Redis"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, chat: Emulator) -> Shell:
    """Return the command in this process, with its outbox on the machine's disk or in the fleet's Redis."""
    shell = InProcess(tmp_path)
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    if request.param == "Redis":
        shell.env |= {"CHATPOST_REDIS_URL": request.getfixturevalue("redis").url, "CHATPOST_OUTBOX": "redis"}
    return shell


on_disk = pytest.mark.parametrize("shell", ["a file"], indirect=True)


def listed(shell: Shell) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shell("outbox", "-o", "json").out.splitlines()]


def states(shell: Shell) -> list[tuple[str, str]]:
    return [(entry["body"]["text"], entry["state"]) for entry in listed(shell)]


def spool(shell: Shell, *messages: str) -> None:
    """Spool messages, like `send --spool-only`."""
    reference = reference_to(Webhook.parse(shell.env["CHATPOST_URL"]), None, None)
    requests = [CreateMessageRequest(Message(text), str(uuid4())) for text in messages]
    with stored_by(shell) as outbox:
        for text, request in zip(messages, requests, strict=True):
            origin, rules = Origin(socket.gethostname(), time.time()), Rules(None, 0.0)
            outbox.add([OutboxMessage(0, origin, reference, "", rules, Status(), text, len(text), request)], 3600)


# Spooling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        answering(503),
        Fault(Kind.STATUS, status=429, headers={"Retry-After": "600"}),
        answering(500),
        Fault(Kind.DROP_BEFORE),
        Fault(Kind.DROP_AFTER),
        Fault(Kind.TRUNCATE),
    ],
    ids=lambda fault: f"{fault.kind.name}-{fault.status}-{len(fault.headers)}",
)
def test_what_cannot_be_posted_now_is_spooled(shell: Shell, chat: Emulator, fault: Fault) -> None:
    """On a temporary failure, `--spool` stores the message and exits with 0.

    A flush posts it once, under its request ID.
    """
    chat.faults.extend([fault])
    done = shell("send", "--spool", "--retries", "0", "hello")
    assert (done.status, done.out) == (0, "")
    assert done.err.endswith(
        f"; stored in the outbox as message 1: run `chatpost outbox flush` to post it{UNATTENDED}\n"
    )
    assert shell(*FLUSH).status == 0
    assert texts(chat) == ["hello"]
    assert len({received.query["requestId"] for received in chat.received}) == 1
    assert listed(shell) == []


def test_no_network(shell: Shell, chat: Emulator) -> None:
    """Without a network, `--spool` stores the message. `outbox retry -p` posts it through another profile."""
    url = shell.env["CHATPOST_URL"]
    with Emulator(quota=0) as away:
        shell.env["CHATPOST_URL"] = away.url(key=KEY, token=TOKEN)
    done = shell("send", "--spool", "--retries", "0", "hello")
    done.expect(0, "stored in the outbox as message 1")
    shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\n')
    assert shell("outbox", "retry", "1", "-p", "ops").status == 0
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])


def test_a_place_too_far_back(tmp_path: Path) -> None:
    """If a message's turn is after its deadline, `--spool` stores the message."""
    with Emulator() as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
        assert shell("send", "one", "--interval", "30").status == 0
        done = shell("send", "--spool", "--deadline", "2", "--interval", "30", "two")
        done.expect(0, "the space is busy", "stored in the outbox as message 1")
        third = shell("send", "--spool", "--deadline", "2", "--interval", "30", "three")
        assert "the space is busy" in third.err  # a busy space is not a failure of Chat, so it starts no cool-down


@pytest.mark.parametrize(
    ("fault", "status"),
    [(answering(400), 65), (answering(404), 69), (answering(401), 77), (answering(403), 77), (answering(302), 76)],
    ids=lambda value: str(value if isinstance(value, int) else value.status),
)
def test_what_trying_again_would_not_mend(shell: Shell, chat: Emulator, fault: Fault, status: int) -> None:
    """A permanent error fails as without `--spool`, and the message is not spooled."""
    chat.faults.append(fault)
    done = shell("send", "--spool", "hello")
    done.expect(status)
    assert "outbox" not in done.err
    assert listed(shell) == []


@pytest.mark.parametrize("where", ["option", "variable", "profile"])
def test_the_sources_of_the_option(shell: Shell, chat: Emulator, where: str) -> None:
    """`--spool` can be set by an option, a variable or a profile."""
    chat.faults.append(answering(503))
    argv = ["send", "--retries", "0", "x"]
    if where == "option":
        argv.append("--spool")
    elif where == "variable":
        shell.env["CHATPOST_SPOOL"] = "1"
    else:
        shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\nspool = true\nexpire_after = 60\ndigest = true\n')
        argv += ["-p", "ops"]
    assert (shell(*argv).status, [text for text, _ in states(shell)]) == (0, ["x"])


def test_at_once(shell: Shell, chat: Emulator) -> None:
    """`--spool-only` stores a message without an attempt. `-o json` prints its ID, and `-q` suppresses the notice."""
    done = shell("send", "--spool-only", "-o", "json", "-q", "hello")
    record = json.loads(done.out)
    done.expect(0)
    assert done.err == ""
    assert record["outbox"] == 1
    assert record["name"] is None
    assert record["error"] is None
    assert chat.received == []
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])
    assert chat.received[0].query["requestId"] == record["requestId"]


def test_a_long_text(shell: Shell, chat: Emulator) -> None:
    """A flush posts the parts of a long text in one thread, in order, each under its own request ID."""
    text = "\n".join(f"line {number}" for number in range(6000))
    assert shell("send", "--spool-only", stdin=text).status == 0
    assert shell("send", "--spool-only", "other").status == 0
    assert shell(*FLUSH).status == 0
    threads = [[message.text for message in thread] for thread in chat.space().threads().values()]
    assert ["other"] in threads
    (parts,) = [thread for thread in threads if thread != ["other"]]
    assert "\n".join(parts) == text
    assert len({received.query["requestId"] for received in chat.received}) == len(parts) + 1


def test_a_long_text_that_breaks_off(shell: Shell, chat: Emulator) -> None:
    """If a later part cannot be posted, chatpost spools the rest of the text, and a flush posts it in order."""
    text = "\n".join(f"line {number}" for number in range(6000))
    chat.faults.extend([Fault(Kind.NONE), answering(503)])
    done = shell("send", "--spool", "--retries", "0", stdin=text)
    done.expect(0, "stored in the outbox as message 2")
    assert shell(*FLUSH).status == 0
    assert "\n".join(texts(chat)) == text


def test_a_long_text_that_fails_in_the_middle(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects the webhook after the first part, chatpost reports how many parts are posted, and spools none."""
    text = "\n".join(f"line {number}" for number in range(8000))
    chat.faults.extend([Fault(Kind.NONE), answering(401)])
    done = shell("send", "--spool", "-o", "json", stdin=text)
    record = json.loads(done.out)
    done.expect(77)
    assert record["parts"] == {"posted": 1, "of": 3}
    assert record["error"]["exit"] == 77
    assert ("1 of 3 parts" in done.err, listed(shell)) == (True, [])


def test_several_profiles(shell: Shell, chat: Emulator) -> None:
    """With several profiles, chatpost spools the message only for the profiles that cannot post it."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "ab"))
    chat.faults.append(answering(503))
    done = shell("send", "--spool", "--retries", "0", "-p", "a", "-p", "b", "hello")
    assert (done.status, len(listed(shell))) == (0, 1)
    assert shell(*FLUSH).status == 0
    assert texts(chat, "a") == texts(chat, "b") == ["hello"]


def test_a_job(shell: Shell, chat: Emulator) -> None:
    """With `--spool`, chatpost spools the outcome of a job and counts it as reported."""
    chat.faults.append(answering(503))
    run = ("run", "--spool", "--retries", "0", "--on", "change", "--", "sh", "-c", "exit 3")
    done = shell(*run)
    done.expect(3, "stored in the outbox as message 1")
    assert shell(*run).status == 3
    assert shell(*FLUSH).status == 0
    assert len(texts(chat)) == 1


# Flushing ------------------------------------------------------------------------------------------------------


def test_order(shell: Shell, chat: Emulator) -> None:
    """If messages are pending, a later `send --spool` posts them first, then its own message."""
    for number in range(3):
        shell("send", "--spool-only", f"message {number}")
    done = shell("send", "--spool", "message 3")
    assert (done.status, done.out.strip()) == (0, chat.space().messages[3].name)
    assert texts(chat) == [f"message {number}" for number in range(4)]


def test_sends_leave_a_failing_webhook_alone(shell: Shell, chat: Emulator) -> None:
    """After a failure, sends spool their messages without an attempt during the cool-down.

    A flush ignores the cool-down.
    """
    chat.faults.append(answering(503))
    shell("send", "--spool", "--retries", "0", "one")
    done = shell("send", "--spool", "two")
    done.expect(0, "not tried, because a recent attempt failed (sends resume in")
    assert len(chat.received) == 1
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["one", "two"])
    assert shell("send", "--spool", "three").out.strip() == chat.space().messages[2].name


def test_threads(shell: Shell, chat: Emulator) -> None:
    """A flush posts a thread's messages in order, and a thread that fails does not block other threads."""
    for thread in "ab":
        for number in range(2):
            shell("send", "--spool-only", "-k", thread, f"{thread}{number}")
    chat.faults.extend([answering(503)])
    assert shell(*FLUSH).status == 0
    assert texts(chat).index("a0") < texts(chat).index("a1")
    assert texts(chat).index("b0") < texts(chat).index("b1")
    assert texts(chat)[0] == "b0"


def test_a_message_that_chat_finds_wrong(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects a message, a flush posts the others, and does not retry it until `outbox retry`."""
    for number in range(3):
        shell("send", "--spool-only", f"message {number}")
    chat.faults.extend([Fault(Kind.NONE), answering(400)])
    done = shell(*FLUSH)
    done.expect(0, "2 posted, 0 pending, 1 rejected or expired (see `chatpost outbox list`)")
    assert (texts(chat), states(shell)) == (["message 0", "message 2"], [("message 1", "rejected")])
    shell(*FLUSH)
    assert len(chat.received) == 3
    assert shell("outbox", "retry", "2").status == 0
    assert (shell(*FLUSH).status, texts(chat)[2]) == (0, "message 1")


@pytest.mark.parametrize("code", [401, 403, 404, 503])
def test_a_webhook_that_is_gone(shell: Shell, chat: Emulator, code: int) -> None:
    """If a webhook fails, its messages stay pending in order, and do not block other spaces."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("other")}"\n')
    for number in range(2):
        shell("send", "--spool-only", f"message {number}")
    chat.faults.extend([answering(code)])
    assert shell(*FLUSH, "--retries", "0").status == 75
    shell("send", "--spool-only", "-p", "other", "for another")
    assert [text for text, _ in states(shell)] == ["message 0", "message 1", "for another"]
    assert shell(*FLUSH).status == 0
    assert (texts(chat), texts(chat, "other")) == (["message 0", "message 1"], ["for another"])


UNATTENDED = (
    ". The outbox was not flushed in the last hour: run `chatpost outbox flush --quiet` every minute, from cron or a"
    " systemd timer (see docs/outbox.md#flush-the-outbox)"
)


def test_an_outbox_that_nothing_flushes(shell: Shell, chat: Emulator) -> None:
    """If no flush has succeeded for an hour, the line about a spooled message says so, with what to do."""
    assert UNATTENDED in shell("send", "--spool-only", "one").err
    chat.faults.extend([answering(503)])
    assert shell(*FLUSH, "--retries", "0").status == 75
    assert UNATTENDED in shell("send", "--spool-only", "two").err
    assert shell(*FLUSH).status == 0
    assert UNATTENDED not in shell("send", "--spool-only", "three").err
    with stored_by(shell) as outbox, mock.patch.object(outbox, "now", return_value=time.time() - 3700):
        outbox.mark_flushed()
    assert UNATTENDED in shell("send", "--spool-only", "four").err
    assert shell(*FLUSH).status == 0
    assert shell("send", "-q", "--spool-only", "five").err == ""


def test_a_flush_at_a_terminal(shell: Shell) -> None:
    """At a terminal, a flush draws a progress bar for each space, and removes it at the end."""
    for number in range(3):
        shell("send", "-q", "--spool-only", f"message {number}")
    shell.env["TERM"] = "xterm"
    terminal = Terminal()
    flushing = shell.start(*FLUSH, stderr=terminal.theirs)
    terminal.wait_for("spaces/AAAA")
    terminal.wait_for("3/3")
    assert flushing.end().status == 0
    assert terminal.close().strip().endswith("chatpost: 3 posted, 0 pending")


def test_a_watch_at_a_terminal(shell: Shell) -> None:
    """At a terminal, a watch prints a line for each message that it posts."""
    terminal = Terminal()
    watching = shell.start(*FLUSH, "--watch", stderr=terminal.theirs)
    terminal.wait_for("watching the outbox")
    shell("send", "-q", "--spool-only", "hello")
    terminal.wait_for("chatpost: posted message 1\r\n")
    watching.signal(signal.SIGTERM)
    assert watching.end().status == -signal.SIGTERM


def test_nothing_is_pending(shell: Shell) -> None:
    """With an empty outbox, a flush prints nothing and exits with 0."""
    done = shell(*FLUSH)
    done.expect(0)
    assert done.out == ""
    assert done.err == ""


def test_a_message_that_is_late(shell: Shell, chat: Emulator) -> None:
    """A message that is posted more than 5 minutes after it was written says so in its first line."""
    shell("send", "--spool-only", "hello")
    shell("send", "--spool-only", "soon")
    age(shell, 4 * 3600, [1])
    assert shell(*FLUSH).status == 0
    late, soon = texts(chat)
    assert re.fullmatch(r"\(written (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC, 4 h late\)\nhello", late)
    assert soon == "soon"


def test_what_may_have_been_posted_stays_as_it_was(shell: Shell, chat: Emulator) -> None:
    """A message that may have been posted is retried unchanged.

    One that was surely not posted gets the line about its delay.
    """
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(429)])
    shell("send", "--spool", "--retries", "0", "may be posted")
    shell("send", "--spool", "--retries", "0", "-k", "other", "surely not")
    age(shell, 3600)
    assert shell(*FLUSH).status == 0
    assert (len(texts(chat)), texts(chat)[0]) == (2, "may be posted")
    assert "late)" in texts(chat)[1]


def test_messages_expire(shell: Shell, chat: Emulator) -> None:
    """After `--expire-after`, a message expires and stays in the list.

    The next flush posts one notice with the count.
    """
    for number in range(3):
        shell("send", "--spool-only", f"message {number}")
    let_expire(shell, [1, 2])
    assert shell(*FLUSH).status == 0
    assert texts(chat)[0] == "message 2"
    assert re.match(r"⚠️ 2 messages have expired and will not be posted; the first was written", texts(chat)[1])
    assert states(shell) == [("message 0", "expired"), ("message 1", "expired")]
    shell(*FLUSH)
    assert len(texts(chat)) == 2
    assert shell("outbox", "retry", "1").status == 0
    assert (shell(*FLUSH).status, texts(chat)[2]) == (0, "message 0")


# The webhook ---------------------------------------------------------------------------------------------------


@on_disk
def test_no_secret_is_stored(shell: Shell, chat: Emulator) -> None:
    """The outbox contains no part of a webhook's key or token, and only its user can read it."""
    url = shell.env["CHATPOST_URL"]
    assert shell("send", "--spool-only", f"look at {url}").status == 0
    (shell.home / "state" / "chatpost").chmod(0o700)
    raw = box_of(shell).read_bytes().decode("latin-1")
    assert not [piece for piece in PIECES if piece in raw]
    assert box_of(shell).stat().st_mode & 0o777 == 0o600
    assert shell(*FLUSH).status == 0
    assert "token=***" in texts(chat)[0]


@pytest.mark.parametrize("how", ["unset", "another"])
def test_the_variable_names_no_webhook_any_more(shell: Shell, chat: Emulator, how: str) -> None:
    """A message for CHATPOST_URL stays pending until CHATPOST_URL names the same webhook again."""
    shell("send", "--spool-only", "hello")
    url = shell.env.pop("CHATPOST_URL")
    if how == "another":
        shell.env["CHATPOST_URL"] = chat.url("BBBB")
    done = shell(*FLUSH)
    done.expect(75, "CHATPOST_URL")
    assert chat.received == []
    shell.env["CHATPOST_URL"] = url
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_profile_that_is_gone(shell: Shell, chat: Emulator, how: str) -> None:
    """If a message's profile is deleted or changed, the message stays pending until `outbox retry --profile`."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url("AAAA")}"\n')
    shell("send", "--spool-only", "-p", "ops", "hello")
    name = "new" if how == "gone" else "ops"
    shell.write_profiles(f'[profiles.{name}]\nurl = "{chat.url("BBBB")}"\n')
    done = shell(*FLUSH)
    done.expect(75, "profile ops")
    assert chat.received == []
    assert shell("outbox", "retry", "1", "--profile", name).status == 0
    assert (shell(*FLUSH).status, texts(chat, "BBBB")) == (0, ["hello"])


def test_a_named_profile_file(shell: Shell, chat: Emulator) -> None:
    """A flush finds the profile of a message in the file that `--config` named.

    A Redis does not store its path, because others can write there: each machine uses the file that it names itself.
    """
    path = shell.home / "mine.toml"
    path.write_text(f'[profiles.x]\nurl = "{chat.url()}"\n')
    path.chmod(0o600)
    assert shell("send", "--spool-only", "--config", "mine.toml", "-p", "x", "hello").status == 0
    if "CHATPOST_REDIS_URL" in shell.env:
        shell(*FLUSH).expect(75, "there is no profile x")
        assert shell(*FLUSH, "--config", "mine.toml").status == 0
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])


def test_a_directory_that_is_gone(shell: Shell, chat: Emulator) -> None:
    """A message sent from a deleted working directory is posted or spooled, although its profile file is missing."""
    shell.env["CHATPOST_CONFIG"] = "mine.toml"
    for option in ("--spool", "--spool-only"):
        script = f"mkdir gone; cd gone; rmdir ../gone; chatpost send {option} hello"
        assert shell.run("sh", "-c", script).status == 0
    del shell.env["CHATPOST_CONFIG"]
    assert shell("outbox", "flush").status == 0
    assert [texts(chat)] == [["hello", "hello"]]


# The list ------------------------------------------------------------------------------------------------------


def test_the_list(shell: Shell, chat: Emulator) -> None:
    """`outbox list` prints one tab-separated line per message, and `outbox show` prints a message as JSON."""
    chat.faults.append(answering(503))
    shell("send", "--spool", "--retries", "0", "-k", "deploy", f"first {'word ' * 30}")
    shell("send", "--spool-only", "second")
    first, second = (line.split("\t") for line in shell("outbox").out.splitlines())
    assert (first[0], *first[2:6], first[6][:19]) == (
        "1",
        "in flight",
        "CHATPOST_URL",
        "deploy",
        "1",
        "Chat returned 503 U",
    )
    assert (len(first[7]), second[2:]) == (60, ["pending", "CHATPOST_URL", "-", "0", "-", "second"])
    assert json.loads(shell("outbox", "show", "2").out)["body"] == {"text": "second"}


def test_delete(shell: Shell, chat: Emulator) -> None:
    """`outbox delete` deletes messages. Without a terminal, `--all` needs `--yes`."""
    for number in range(4):
        shell("send", "--spool-only", f"message {number}")
    assert shell("outbox", "delete", "1", "3").status == 0
    assert [text for text, _ in states(shell)] == ["message 1", "message 3"]
    done = shell("outbox", "delete", "--all")
    done.expect(2, "add --yes")
    assert len(listed(shell)) == 2
    assert shell("outbox", "delete", "--all", "--yes").status == 0
    assert (listed(shell), chat.received) == ([], [])
    for command in ("list", "delete --all", "retry --all"):
        assert shell("outbox", *command.split()).err == "chatpost: the outbox is empty\n"


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["show", "7"], 66, "there is no message 7"),
        (["retry", "x"], 2, "'x' is not a message ID: list the IDs with `chatpost outbox list`"),
        (["delete", "7"], 66, "there is no message 7"),
        (["retry"], 2, "specify message IDs, or --all"),
        (["delete", "1", "--all"], 2, "specify message IDs, or --all"),
        (["flush", "--deadline", "soon"], 2, "'soon' is not a duration: use 90s, 5m, 2h or 3d"),
    ],
)
def test_mistakes_in_outbox_commands(shell: Shell, argv: list[str], status: int, said: str) -> None:
    """A usage error is one line that says what to do."""
    done = shell("outbox", *argv)
    done.expect(status, said)
    assert done.err.count("\n") == 1


# Limits and faults of the disk ----------------------------------------------------------------------------------


def test_a_full_outbox(shell: Shell, chat: Emulator) -> None:
    """The outbox holds 10,000 messages. When it is full, `--spool-only` exits with 75, and `--spool` still posts."""
    shell("send", "--spool-only", "first")
    with stored_by(shell) as outbox:
        (first,) = outbox.index()
        (first,) = outbox.read(first.webhook.space, [1])
        outbox.add([first] * 9999, 60)
    done = shell("send", "--spool-only", "one more")
    done.expect(75, "the message was not stored in the outbox: the outbox is full (10,000 messages)")
    done = shell("send", "--spool", "-k", "k", "one more")
    done.expect(0, "posting without the outbox")
    assert texts(chat) == ["one more"]


@on_disk
def test_a_full_disk(shell: Shell, chat: Emulator) -> None:
    """If the disk is full, chatpost exits with 75 and says that the message is not in the outbox."""
    script = "export PYTHONDONTWRITEBYTECODE=1; ulimit -f 8; chatpost send --spool-only -- $(seq 1 6000)"
    done = shell.run("bash", "-c", script)
    done.expect(75, "the message was not stored in the outbox")
    assert chat.received == []


@on_disk
@pytest.mark.parametrize("damage", ["garbage", "directory", "a file for the directory", "no home"])
def test_an_outbox_that_cannot_be_used(shell: Shell, chat: Emulator, damage: str) -> None:
    """If the outbox cannot be used, `--spool` posts with a warning, and `--spool-only` exits with 75."""
    path = box_of(shell)
    path.parent.mkdir(parents=True)
    if damage == "garbage":
        path.write_text("garbage " * 1000)
    elif damage == "directory":
        path.mkdir()
    elif damage == "no home":
        del shell.env["XDG_STATE_HOME"]
        shell.env["HOME"] = "relative"
    else:
        path.parent.rmdir()
        path.parent.write_text("")
    done = shell("send", "--spool", "hello")
    done.expect(0, "warning")
    assert texts(chat) == ["hello"]
    assert shell("send", "--spool-only", "hello").status == 75
    assert shell(*FLUSH).status == 75
    if damage == "garbage":
        assert path.read_text().startswith("garbage")


# Exactly once --------------------------------------------------------------------------------------------------

# Runs chatpost, and kills it before or after the named step changes the outbox.
KILLED = """
import os, signal, sys
from chatpost.outbox.redis import RedisOutbox
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import SqliteOutbox
when, name = sys.argv.pop(1), sys.argv.pop(1)
def killing(method):
    def change(*args):
        step = next((arg.func for arg in args if hasattr(arg, "func")), method).__name__
        if (step, when) == (name, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*args)
        if (step, when) == (name, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return change
for outbox in (RedisOutbox, SqliteOutbox):
    outbox.add, outbox.change = killing(outbox.add), killing(outbox.change)
from chatpost.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("argv", "kill"),
    [
        (["send", "--spool", "two"], "after add"),
        (["send", "--spool", "two"], "after start_attempt"),
        (["send", "--spool", "two"], "before release"),
        (["outbox", "flush"], "after posted"),
        (["outbox", "flush", "--digest"], "after start_attempt"),
        (["outbox", "flush", "--digest"], "before posted"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_killed_at_a_write(shell: Shell, chat: Emulator, argv: list[str], kill: str) -> None:
    """If chatpost is killed before or after it changes the outbox, no message is lost or duplicated."""
    spool(shell, "zero", "one")
    command = [sys.executable, "-c", KILLED, *kill.split(), *argv]
    assert subprocess.run(command, env=shell.env, check=False).returncode == -signal.SIGKILL
    end_leases(shell)
    assert shell(*FLUSH).status == 0
    posted = re.sub(r"\[.*\]", "", " ".join(texts(chat))).split()
    assert posted == ["zero", "one", *argv[2:]] if argv[0] == "send" else posted == ["zero", "one"]
    assert [each for each in listed(shell) if each["state"] != "posted"] == []


def test_many_at_once(shell: Shell, chat: Emulator) -> None:
    """With concurrent sends, killed flushes and faults, each message is posted once, and each thread is in order."""
    chat.faults.extend([answering(503), Fault(Kind.DROP_AFTER), Fault(Kind.NONE), answering(429)] * 10)

    def post(key: str) -> None:
        for number in range(1, 5):
            shell("send", "--spool", "-q", "--retries", "0", "-k", key, f"{key}{number}").expect(0)

    with ThreadPoolExecutor(3) as senders:
        posting = senders.map(post, "abc")
        killed = [shell.start(*FLUSH) for _ in range(3)]
        for running in killed:
            running.signal(signal.SIGKILL)
        list(posting)
    for running in killed:
        running.end()
    chat.faults.clear()
    assert shell(*FLUSH).status == 0
    assert Counter(texts(chat)) == Counter(f"{key}{number}" for key in "abc" for number in range(1, 5))
    for key in "abc":
        assert [text for text in texts(chat) if text[0] == key] == [f"{key}{number}" for number in range(1, 5)]


def test_a_send_behind_a_long_flush(shell: Shell, chat: Emulator) -> None:
    """If another flush would post a message only after its deadline, the sender spools it and exits early."""
    spool(shell, *(f"message {number}" for number in range(300)))
    edit(shell, lambda message: message._replace(rules=message.rules._replace(interval=0.5)), range(1, 301))
    shell.env["CHATPOST_PACING"] = "1"
    flush = shell.start(*FLUSH, "-q")
    try:
        wait_for("the first message of the flush", lambda: texts(chat))
        done = shell("send", "--spool", "--interval", "0.5", "mine")
        done.expect(0, "another process is posting to this space; stored in the outbox as message 301")
        assert len(texts(chat)) < 60  # waiting until the deadline would post more than these
    finally:
        flush.signal(signal.SIGTERM)
        flush.end()


# Digests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "shown", "before"),
    [("Asia/Kathmandu", "05:30 +0545", "2026-01-01 05:15 +0545"), ("CET-1CEST", "00:45 CET", "00:30 CET")],
)
def test_times_are_local(monkeypatch: pytest.MonkeyPatch, zone: str, shown: str, before: str) -> None:
    """Times in digests and late messages are local, with their zone; the date is left out on the same local day."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        now = 1767311100.0  # 23:45 UTC on 1 January 2026
        assert format_time(now, now) == shown
        assert format_time(now - 900 if "CET" in zone else now - 87_300, now) == before
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_digest(shell: Shell, chat: Emulator) -> None:
    """`--digest` combines the pending messages of a thread, with times, and merges repeats.

    Some messages stay separate.
    """
    for text in ("one", "same", "same", "same", "<users/1>", "two", "```open", "three"):
        shell("send", "--spool-only", "--", text)
    shell("send", "--spool-only", "--request-id", "mine", "own id")
    shell("send", "--spool-only", "-k", "thread", "alone in its thread")
    assert shell(*FLUSH, "--digest").status == 0
    time_of_day = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC"
    plain = [re.sub(time_of_day, "T", text) for text in texts(chat)]
    assert plain == [
        "[T]\none\n[T to T, ×3]\nsame",  # noqa: RUF001 - the multiplication sign is intended
        "<users/1>",
        "[T]\ntwo\n[T]\n```open\n```\n[T]\nthree",
        "own id",
        "alone in its thread",
    ]


def test_a_digest_that_may_have_been_posted(shell: Shell, chat: Emulator) -> None:
    """A digest that may have been posted is retried unchanged, without messages that were spooled later."""
    for number in range(3):
        shell("send", "--spool-only", f"message {number}")
    chat.faults.append(Fault(Kind.DROP_AFTER))
    assert shell(*FLUSH, "--digest", "--retries", "0").status == 75
    shell("send", "--spool-only", "message 3")
    assert shell(*FLUSH, "--digest").status == 0
    first, second = texts(chat)
    assert (first.count("message"), second) == (3, "message 3")
    assert chat.received[0].body == chat.received[1].body


def test_digests_fit_into_messages(shell: Shell, chat: Emulator) -> None:
    """A digest has at most 32,000 bytes. The remaining messages go into the next digest, in order."""
    for number in range(7):
        shell("send", "--spool-only", "--", f"{number} " + "é" * 5000)
    assert shell(*FLUSH, "--digest").status == 0
    assert len(texts(chat)) == 3
    assert all(len(text.encode()) <= 32_000 for text in texts(chat))
    assert re.findall(r"^\d", re.sub(r"\[.*\]", "", "\n".join(texts(chat))), re.MULTILINE) == list("0123456")


def test_a_digest_that_chat_finds_wrong(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects a digest, the flush posts its messages one by one."""
    for number in range(3):
        shell("send", "--spool-only", f"message {number}")
    chat.faults.extend([answering(400), Fault(Kind.NONE), answering(400)])
    shell(*FLUSH, "--digest")
    assert (texts(chat), states(shell)) == (["message 0", "message 2"], [("message 1", "rejected")])


def test_a_profile_that_wants_digests(shell: Shell, chat: Emulator) -> None:
    """With `digest = true` in a profile, every flush combines the profile's messages."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\ndigest = true\n')
    for number in range(3):
        shell("send", "--spool-only", "-p", "ops", f"message {number}")
    assert shell(*FLUSH).status == 0
    assert len(texts(chat)) == 1


def test_a_digest_of_several_hosts(shell: Shell, chat: Emulator) -> None:
    """If the messages of a digest are from several hosts, the digest names the host of each."""
    for number in range(2):
        shell("send", "--spool-only", f"message {number}")
    edit(shell, lambda message: message._replace(origin=Origin(f"db-{message.id}", message.origin.written)))
    assert shell(*FLUSH, "--digest").status == 0
    assert re.findall(r", (db-\d)\]", texts(chat)[0]) == ["db-1", "db-2"]


def test_a_digest_has_an_id_of_its_own(shell: Shell, chat: Emulator) -> None:
    """A digest has a new request ID, so Chat does not return an earlier message of one of its members instead."""
    chat.faults.append(Fault(Kind.DROP_AFTER))
    shell("send", "--spool", "--retries", "0", "zero")
    let_expire(shell)
    shell(*FLUSH)
    spool(shell, "one", "two")
    assert shell("outbox", "retry", "1").status == 0
    assert shell(*FLUSH, "--digest").status == 0
    assert "".join(texts(chat)).count("zero") == 1
    assert {"one", "two"} <= set("\n".join(texts(chat)).split("\n"))


@pytest.mark.parametrize("what", ["move", "delete"])
def test_a_digest_stays_together(shell: Shell, chat: Emulator, what: str) -> None:
    """A digest that may have been posted is moved or deleted as a whole, by the ID of any of its messages."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("BBBB")}"\n')
    spool(shell, "zero", "one", "two")
    chat.faults.append(answering(503))
    assert shell(*FLUSH, "--digest", "--retries", "0").status == 75
    if what == "delete":
        assert shell("outbox", "delete", "2").err == "chatpost: 3 messages deleted\n"
        assert (listed(shell), shell(*FLUSH).status, texts(chat)) == ([], 0, [])
    else:
        assert shell("outbox", "retry", "2", "-p", "other").status == 0
        assert (shell(*FLUSH).status, texts(chat), len(texts(chat, "BBBB"))) == (0, [], 1)


def test_a_digest_that_may_be_posted_and_is_wrong(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects a digest that may have been posted, all of its messages are rejected."""
    spool(shell, "zero", "one")
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(400)])
    assert shell(*FLUSH, "--digest").status == 0
    assert len(texts(chat)) == 1
    assert [entry["state"] for entry in listed(shell)] == ["rejected", "rejected"]


def test_a_digest_that_expires(shell: Shell, chat: Emulator) -> None:
    """If a digest expires, all of its messages expire and are counted."""
    spool(shell, "zero", "one", "two")
    chat.faults.append(answering(503))
    shell(*FLUSH, "--digest", "--retries", "0")
    let_expire(shell)
    assert shell(*FLUSH).status == 0
    assert texts(chat)[0].startswith("⚠️ 3 messages have expired and will not be posted")
    assert [entry["state"] for entry in listed(shell)] == ["expired"] * 3


def test_another_reply_option(shell: Shell, chat: Emulator) -> None:
    """A digest does not combine a reply with `--or-fail` and one that may open a new thread."""
    shell("send", "--spool-only", "-k", "t", "zero")
    shell("send", "--spool-only", "-k", "t", "--or-fail", "one")
    assert shell(*FLUSH, "--digest").status == 0
    assert texts(chat) == ["zero", "one"]


def test_one_late_line(shell: Shell, chat: Emulator) -> None:
    """A message that may have been posted with the line about its delay gets no second line from `outbox retry`."""
    spool(shell, "hello")
    age(shell, 3600)
    chat.faults.append(answering(503))
    shell(*FLUSH, "--retries", "0")
    let_expire(shell)
    shell(*FLUSH)
    assert shell("outbox", "retry", "1").status == 0
    assert shell(*FLUSH).status == 0
    assert "".join(texts(chat)).count("late)") == 1


def test_what_may_be_posted_and_fails_for_good(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects the webhook after an attempt that may have posted, stderr says that it may have been posted."""
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(401)])
    done = shell("send", "--spool", "hello")
    done.expect(77, "may have been posted")
    assert listed(shell) == []


def test_a_webhook_that_is_not_allowed(shell: Shell, chat: Emulator) -> None:
    """A rejected webhook fails on every send, and starts no cool-down."""
    chat.faults.extend([answering(401)] * 3)
    assert [shell("send", "--spool", "hello").status for _ in range(3)] == [77] * 3


def test_two_profiles_of_one_webhook(shell: Shell, chat: Emulator) -> None:
    """If one of two profiles of a webhook is deleted, a flush still posts the messages of the other."""
    profiles = [f'[profiles.{name}]\nurl = "{chat.url()}"\n' for name in "ab"]
    shell.write_profiles("".join(profiles))
    for name in "ab":
        shell("send", "--spool-only", "-p", name, "-k", name, f"of {name}")
    shell.write_profiles(profiles[1])
    assert (shell(*FLUSH).status, texts(chat)) == (75, ["of b"])


def test_a_quiet_flush(shell: Shell, chat: Emulator) -> None:
    """With `-q`, a flush is silent about temporary failures.

    Without it, the flush reports retries and pending messages.
    """
    spool(shell, "hello")
    chat.faults.extend([answering(503)] * 3)
    quiet = shell(*FLUSH, "-q", "--retries", "0")
    quiet.expect(75)
    assert quiet.err == ""
    verbose = shell(*FLUSH, "--retries", "1")
    verbose.expect(75, "retrying in", "0 posted, 1 pending")
    done = shell(*FLUSH, "-q")
    done.expect(0)
    assert done.err == ""
    assert texts(chat) == ["hello"]


@pytest.mark.parametrize("part", ["the message", "its content"])
def test_a_damaged_message(shell: Shell, chat: Emulator, part: str) -> None:
    """A damaged message does not block others. `outbox list` shows it, and `outbox delete` deletes it."""
    spool(shell, "zero", "one")
    if part == "the message":
        edit(shell, lambda message: message._replace(size=cast("int", "")), [1])
    else:
        edit(shell, lambda message: message._replace(request=cast("Any", ("garbage",))), [1])
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["one"])
    done = shell("outbox")
    assert (done.status, "chatpost outbox delete 1" in done.out) == (0, True)
    if part == "the message":
        shell("outbox", "retry", "1").expect(66, "message 1 is damaged: delete it with `chatpost outbox delete 1`")
    assert shell("outbox", "delete", "1").status == 0
    assert listed(shell) == []


def test_a_thread_in_another_space(shell: Shell, chat: Emulator) -> None:
    """`outbox retry -p` does not move a message with a thread name to another space."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("BBBB")}"\n')
    shell("send", "--spool-only", "--thread", "spaces/AAAA/threads/T", "hello")
    done = shell("outbox", "retry", "1", "-p", "other")
    done.expect(2, "is for a thread in spaces/AAAA")


@on_disk
def test_an_outbox_that_others_could_read(shell: Shell) -> None:
    """At the next spool, chatpost restricts the outbox file to its user again."""
    spool(shell, "zero")
    box_of(shell).chmod(0o666)
    spool(shell, "one")
    assert box_of(shell).stat().st_mode & 0o777 == 0o600


def test_a_clock_that_was_set(shell: Shell, chat: Emulator) -> None:
    """A send ignores a cool-down that ends too far in the future, for example after the clock was wrong."""
    spool(shell, "zero")
    with stored_by(shell) as outbox:
        outbox.set_cool_down(outbox.index()[0].webhook.fingerprint, CoolDown(1, time.time() + 30 * 86400))
    assert shell("send", "--spool", "one").status == 0
    assert texts(chat) == ["zero", "one"]


def kill_while_sending(shell: Shell, chat: Emulator, *argv: str) -> None:
    """Start a flush, and kill it after Chat has stored the message and before Chat has answered."""
    stored = threading.Event()
    chat.on_received = lambda _: stored.set()
    chat.faults.appendleft(Fault(Kind.DELAY, seconds=300))
    running = shell.start(*FLUSH, *argv)
    assert stored.wait(60)
    running.signal(signal.SIGKILL)
    running.end()
    end_leases(shell)


def test_killed_and_then_wrong(shell: Shell, chat: Emulator) -> None:
    """If a flush is killed during a digest and Chat then rejects the digest, all of its messages are rejected."""
    spool(shell, "one", "two")
    kill_while_sending(shell, chat, "--digest")
    chat.faults.append(answering(400))
    assert shell(*FLUSH).status == 0
    assert (len(texts(chat)), [entry["state"] for entry in listed(shell)]) == (1, ["rejected"] * 2)


def test_killed_and_then_expired(shell: Shell, chat: Emulator) -> None:
    """If a flush is killed during a message that later expires, `outbox retry` posts the message unchanged."""
    spool(shell, "one")
    kill_while_sending(shell, chat)
    let_expire(shell)
    shell(*FLUSH)
    spool(shell, "three")
    shell("outbox", "retry", "1")
    assert shell(*FLUSH, "--digest").status == 0
    assert "".join(texts(chat)).count("one") == 1
    assert "".join(texts(chat)).count("three") == 1


def test_killed_and_then_joined(shell: Shell, chat: Emulator) -> None:
    """If a flush is killed during a digest, no other digest includes its messages."""
    spool(shell, "one", "two", "three")
    edit(shell, lambda message: message.with_status(state="rejected"), [1])
    kill_while_sending(shell, chat, "--digest")
    shell("outbox", "retry", "1")
    assert shell(*FLUSH, "--digest").status == 0
    posted = "".join(texts(chat))
    assert [posted.count(text) for text in ("one", "two", "three")] == [1, 1, 1]
    assert listed(shell) == []


def test_a_rotated_token(shell: Shell, chat: Emulator) -> None:
    """A message for a profile's old webhook stays pending, with a warning, and messages for the new one are posted."""
    for token, text in (("old", "one"), ("new", "two")):
        shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url(token=token)}"\n')
        shell("send", "--spool-only", "-p", "ops", text)
    done = shell(*FLUSH)
    done.expect(75, "profile ops is a different webhook now")
    assert texts(chat) == ["two"]


def test_deleted_while_it_is_sent(shell: Shell, chat: Emulator) -> None:
    """If a pending message is deleted, its sender reports that and exits with 75."""
    come = threading.Event()
    chat.on_received = lambda _: come.set()
    chat.faults.append(answering(429, Retry_After="3"))
    running = shell.start("send", "--spool", "mine")
    assert come.wait(60)
    while shell("outbox", "delete", "1").status:
        pass
    running.end().expect(75, "the message is no longer in the outbox: it was deleted")
    assert texts(chat) == []
