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
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from chatpost.chat.message import CreateMessageRequest, Message
from chatpost.chat.webhook import Webhook
from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind, answering
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status
from chatpost.outbox.redis import RedisOutbox
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import SqliteOutbox
from chatpost.outbox.store import CoolDown
from chatpost.redis_client import RedisClient
from tests.conftest import KEY, PIECES, TOKEN, Shell, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from chatpost.outbox.store import Outbox

FLUSH = ("outbox", "flush")


def box_of(shell: Shell) -> Path:
    return shell.home / "state" / "chatpost" / "outbox.sqlite3"


@contextmanager
def stored_by(shell: Shell) -> Iterator[Outbox]:
    """Give the outbox of the commands: the file, or Redis."""
    if "CHATPOST_STORE" not in shell.env:
        yield SqliteOutbox(box_of(shell), time.time)
        return
    with closing(RedisClient(shell.env["CHATPOST_STORE"], 30)) as server:
        yield RedisOutbox(server)


def edit(shell: Shell, new: Callable[[OutboxMessage], OutboxMessage], ids: Iterable[int] = range(1, 10)) -> None:
    """Change messages in the outbox as time would."""
    with stored_by(shell) as outbox:
        for space in {message.webhook.space for message in outbox.index()}:
            outbox.change(space, list(ids), lambda found: [new(message) for message in found])


def age(shell: Shell, seconds: float, ids: Iterable[int] = range(1, 10)) -> None:
    """Let messages have been written long ago."""
    edit(shell, lambda message: message._replace(origin=Origin("here", message.origin.written - seconds)), ids)


def let_expire(shell: Shell, ids: Iterable[int] = range(1, 10)) -> None:
    """Let the time come at which messages expire."""
    edit(shell, lambda message: message._replace(rules=message.rules._replace(expires_at=time.time() - 1)), ids)


def end_leases(shell: Shell) -> None:
    """Let the leases end of processes that were killed, as some seconds would."""
    if "CHATPOST_STORE" in shell.env:
        with closing(RedisClient(shell.env["CHATPOST_STORE"], 30)) as server:
            for key in server.call("KEYS", "chatpost:{outbox}:lock:*"):
                server.call("DEL", key.decode())


@pytest.fixture(params=["a file", "Redis"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, chat: Emulator) -> Shell:
    """Give the installed command, whose outbox is on the machine's disk, or in the fleet's store."""
    shell = Shell(tmp_path)
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    if request.param == "Redis":
        shell.env |= {"CHATPOST_STORE": request.getfixturevalue("redis").url, "CHATPOST_OUTBOX": "store"}
    return shell


on_disk = pytest.mark.parametrize("shell", ["a file"], indirect=True)


def waiting(shell: Shell) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shell("outbox", "-o", "json").out.splitlines()]


def states(shell: Shell) -> list[tuple[str, str]]:
    return [(entry["body"]["text"], entry["state"]) for entry in waiting(shell)]


def keep(shell: Shell, *messages: str) -> None:
    """Spool messages as a `send --spool-first` does."""
    reference = reference_to(Webhook.parse(shell.env["CHATPOST_URL"]), None, None)
    requests = [CreateMessageRequest(Message(text), str(uuid4())) for text in messages]
    with stored_by(shell) as outbox:
        for text, request in zip(messages, requests, strict=True):
            origin, rules = Origin(socket.gethostname(), time.time()), Rules(None, 0.0)
            outbox.add([OutboxMessage(0, origin, reference, "", rules, Status(), text, len(text), request)], 3600)


# Keeping -------------------------------------------------------------------------------------------------------


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
def test_what_cannot_be_posted_now_is_kept(shell: Shell, chat: Emulator, fault: Fault) -> None:
    """It is kept, the exit status is 0, stderr says how to go on; a flush posts it once, under its request id."""
    chat.faults.extend([fault])
    done = shell("send", "--spool", "--retries", "0", "hello")
    assert (done.status, done.out) == (0, "")
    assert done.err.endswith("; kept in the outbox as 1: `chatpost outbox flush` posts it\n")
    assert shell(*FLUSH).status == 0
    assert texts(chat) == ["hello"]
    assert len({received.query["requestId"] for received in chat.received}) == 1
    assert waiting(shell) == []


def test_no_network(shell: Shell, chat: Emulator) -> None:
    """Without a network a message is kept, and posted once there is one."""
    url = shell.env["CHATPOST_URL"]
    with Emulator(quota=False) as away:
        shell.env["CHATPOST_URL"] = away.url(key=KEY, token=TOKEN)
    done = shell("send", "--spool", "--retries", "0", "hello")
    done.expect(0, "kept in the outbox as 1")
    shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\n')
    assert shell("outbox", "retry", "1", "-p", "ops").status == 0
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])


def test_a_place_too_far_back(tmp_path: Path) -> None:
    """A message whose turn comes after its deadline is kept."""
    with Emulator() as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
        assert shell("send", "one", "--interval", "30").status == 0
        done = shell("send", "--spool", "--deadline", "2", "--interval", "30", "two")
        done.expect(0, "the space is busy", "kept")
        third = shell("send", "--spool", "--deadline", "2", "--interval", "30", "three")
        assert "the space is busy" in third.err  # it is no failure of Chat's, so the next message is tried


@pytest.mark.parametrize(
    ("fault", "status"),
    [(answering(400), 65), (answering(404), 69), (answering(401), 77), (answering(403), 77), (answering(302), 76)],
    ids=lambda value: str(value if isinstance(value, int) else value.status),
)
def test_what_trying_again_would_not_mend(shell: Shell, chat: Emulator, fault: Fault, status: int) -> None:
    """It fails as without an outbox, and is not kept."""
    chat.faults.append(fault)
    done = shell("send", "--spool", "hello")
    done.expect(status)
    assert "kept" not in done.err
    assert waiting(shell) == []


@pytest.mark.parametrize("where", ["option", "variable", "profile"])
def test_the_sources_of_the_option(shell: Shell, chat: Emulator, where: str) -> None:
    """`--spool` can be an option, a variable, or in a profile."""
    chat.faults.append(answering(503))
    argv = ["send", "--retries", "0", "x"]
    if where == "option":
        argv.append("--spool")
    elif where == "variable":
        shell.env["CHATPOST_SPOOL"] = "1"
    else:
        shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\nspool = true\nkeep_for = 60\ndigest = true\n')
        argv += ["-p", "ops"]
    assert (shell(*argv).status, [text for text, _ in states(shell)]) == (0, ["x"])


def test_at_once(shell: Shell, chat: Emulator) -> None:
    """`--spool-first` keeps a message without trying; `-o json` tells its id, and `-q` hides the sentence."""
    done = shell("send", "--spool-first", "-o", "json", "-q", "hello")
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
    """The parts of a long text stay together in one thread, in their order, each under its own id."""
    text = "\n".join(f"line {number}" for number in range(6000))
    assert shell("send", "--spool-first", stdin=text).status == 0
    assert shell("send", "--spool-first", "other").status == 0
    assert shell(*FLUSH).status == 0
    threads = [[message.text for message in thread] for thread in chat.space().threads().values()]
    assert ["other"] in threads
    (parts,) = [thread for thread in threads if thread != ["other"]]
    assert "\n".join(parts) == text
    assert len({received.query["requestId"] for received in chat.received}) == len(parts) + 1


def test_a_long_text_that_breaks_off(shell: Shell, chat: Emulator) -> None:
    """If a later part cannot be posted, the rest of the text is kept, and posted behind the others."""
    text = "\n".join(f"line {number}" for number in range(6000))
    chat.faults.extend([Fault(Kind.NONE), answering(503)])
    done = shell("send", "--spool", "--retries", "0", stdin=text)
    done.expect(0, "kept in the outbox as 2")
    assert shell(*FLUSH).status == 0
    assert "\n".join(texts(chat)) == text


def test_a_long_text_that_fails_in_the_middle(shell: Shell, chat: Emulator) -> None:
    """If the webhook is refused after the first part, that is told, with the part that is posted; nothing is kept."""
    text = "\n".join(f"line {number}" for number in range(8000))
    chat.faults.extend([Fault(Kind.NONE), answering(401)])
    done = shell("send", "--spool", "-o", "json", stdin=text)
    record = json.loads(done.out)
    done.expect(77)
    assert record["parts"] == {"posted": 1, "of": 3}
    assert record["error"]["exit"] == 77
    assert ("1 of 3 parts" in done.err, waiting(shell)) == (True, [])


def test_several_profiles(shell: Shell, chat: Emulator) -> None:
    """Of several profiles, only those keep messages that cannot post them."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "ab"))
    chat.faults.append(answering(503))
    done = shell("send", "--spool", "--retries", "0", "-p", "a", "-p", "b", "hello")
    assert (done.status, len(waiting(shell))) == (0, 1)
    assert shell(*FLUSH).status == 0
    assert texts(chat, "a") == texts(chat, "b") == ["hello"]


def test_a_job(shell: Shell, chat: Emulator) -> None:
    """The outcome of a job is kept too, and counts as told."""
    chat.faults.append(answering(503))
    run = ("run", "--spool", "--retries", "0", "--on", "change", "--", "sh", "-c", "exit 3")
    done = shell(*run)
    done.expect(3, "kept in the outbox as 1")
    assert shell(*run).status == 3
    assert shell(*FLUSH).status == 0
    assert len(texts(chat)) == 1


# Flushing ------------------------------------------------------------------------------------------------------


def test_order(shell: Shell, chat: Emulator) -> None:
    """While messages wait, a later `send --spool` goes behind them and takes them along."""
    for number in range(3):
        shell("send", "--spool-first", f"message {number}")
    done = shell("send", "--spool", "message 3")
    assert (done.status, done.out.strip()) == (0, chat.space().messages[3].name)
    assert texts(chat) == [f"message {number}" for number in range(4)]


def test_sends_leave_a_failing_webhook_alone(shell: Shell, chat: Emulator) -> None:
    """After a failure sends keep their messages without trying for a minute; a flush tries at once."""
    chat.faults.append(answering(503))
    shell("send", "--spool", "--retries", "0", "one")
    done = shell("send", "--spool", "two")
    done.expect(0, "it is left alone for")
    assert len(chat.received) == 1
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["one", "two"])
    assert shell("send", "--spool", "three").out.strip() == chat.space().messages[2].name


def test_threads(shell: Shell, chat: Emulator) -> None:
    """A thread's replies never come before its first message, and a thread that is stuck holds up no other."""
    for thread in "ab":
        for number in range(2):
            shell("send", "--spool-first", "-k", thread, f"{thread}{number}")
    chat.faults.extend([answering(503)])
    assert shell(*FLUSH).status == 0
    assert texts(chat).index("a0") < texts(chat).index("a1")
    assert texts(chat).index("b0") < texts(chat).index("b1")
    assert texts(chat)[0] == "b0"


def test_a_message_that_chat_finds_wrong(shell: Shell, chat: Emulator) -> None:
    """It is set aside as refused, and the others are posted; it is not tried again until `outbox retry`."""
    for number in range(3):
        shell("send", "--spool-first", f"message {number}")
    chat.faults.extend([Fault(Kind.NONE), answering(400)])
    done = shell(*FLUSH)
    done.expect(0, "1 will not be posted")
    assert (texts(chat), states(shell)) == (["message 0", "message 2"], [("message 1", "refused")])
    shell(*FLUSH)
    assert len(chat.received) == 3
    assert shell("outbox", "retry", "2").status == 0
    assert (shell(*FLUSH).status, texts(chat)[2]) == (0, "message 1")


@pytest.mark.parametrize("code", [401, 403, 404, 503])
def test_a_webhook_that_is_gone(shell: Shell, chat: Emulator, code: int) -> None:
    """All of its messages stay, in their order, and other spaces get theirs."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("other")}"\n')
    for number in range(2):
        shell("send", "--spool-first", f"message {number}")
    chat.faults.extend([answering(code)])
    assert shell(*FLUSH, "--retries", "0").status == 75
    shell("send", "--spool-first", "-p", "other", "for another")
    assert [text for text, _ in states(shell)] == ["message 0", "message 1", "for another"]
    assert shell(*FLUSH).status == 0
    assert (texts(chat), texts(chat, "other")) == (["message 0", "message 1"], ["for another"])


def test_nothing_waits(shell: Shell) -> None:
    """Without anything to post, a flush says nothing and exits 0."""
    done = shell(*FLUSH)
    done.expect(0)
    assert done.out == ""
    assert done.err == ""


def test_a_message_that_is_late(shell: Shell, chat: Emulator) -> None:
    """A message that is posted more than 5 minutes after it was written says so in its first line."""
    shell("send", "--spool-first", "hello")
    shell("send", "--spool-first", "soon")
    age(shell, 4 * 3600, [1])
    assert shell(*FLUSH).status == 0
    late, soon = texts(chat)
    assert re.fullmatch(r"\(written (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC, 4 h late\)\nhello", late)
    assert soon == "soon"


def test_what_may_have_been_posted_stays_as_it_was(shell: Shell, chat: Emulator) -> None:
    """A message that may have been posted is sent again as it was, without a line; one that surely was not gets it."""
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(429)])
    shell("send", "--spool", "--retries", "0", "may be posted")
    shell("send", "--spool", "--retries", "0", "-k", "other", "surely not")
    age(shell, 3600)
    assert shell(*FLUSH).status == 0
    assert (len(texts(chat)), texts(chat)[0]) == (2, "may be posted")
    assert "late)" in texts(chat)[1]


def test_messages_expire(shell: Shell, chat: Emulator) -> None:
    """After `--keep-for` a message is not posted but still listed, and the next flush says once how many there are."""
    for number in range(3):
        shell("send", "--spool-first", f"message {number}")
    let_expire(shell, [1, 2])
    assert shell(*FLUSH).status == 0
    assert texts(chat)[0] == "message 2"
    assert re.match(r"⚠️ 2 messages have waited too long and will not be posted; the first was written", texts(chat)[1])
    assert states(shell) == [("message 0", "expired"), ("message 1", "expired")]
    shell(*FLUSH)
    assert len(texts(chat)) == 2
    assert shell("outbox", "retry", "1").status == 0
    assert (shell(*FLUSH).status, texts(chat)[2]) == (0, "message 0")


# The webhook ---------------------------------------------------------------------------------------------------


@on_disk
def test_no_secret_is_kept(shell: Shell, chat: Emulator) -> None:
    """The outbox has no part of a webhook's key or token, and is its user's alone."""
    url = shell.env["CHATPOST_URL"]
    assert shell("send", "--spool-first", f"look at {url}").status == 0
    (shell.home / "state" / "chatpost").chmod(0o700)
    raw = box_of(shell).read_bytes().decode("latin-1")
    assert not [piece for piece in PIECES if piece in raw]
    assert box_of(shell).stat().st_mode & 0o777 == 0o600
    assert shell(*FLUSH).status == 0
    assert "token=***" in texts(chat)[0]


@pytest.mark.parametrize("how", ["unset", "another"])
def test_the_variable_names_no_webhook_any_more(shell: Shell, chat: Emulator, how: str) -> None:
    """A message for CHATPOST_URL waits until that names the same webhook again."""
    shell("send", "--spool-first", "hello")
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
    """A message whose profile is gone, or is another webhook now, is kept; `outbox retry --profile` sends it there."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url("AAAA")}"\n')
    shell("send", "--spool-first", "-p", "ops", "hello")
    name = "new" if how == "gone" else "ops"
    shell.write_profiles(f'[profiles.{name}]\nurl = "{chat.url("BBBB")}"\n')
    done = shell(*FLUSH)
    done.expect(75, "profile ops")
    assert chat.received == []
    assert shell("outbox", "retry", "1", "--profile", name).status == 0
    assert (shell(*FLUSH).status, texts(chat, "BBBB")) == (0, ["hello"])


def test_a_named_profile_file(shell: Shell, chat: Emulator) -> None:
    """A message of a profile in a file of its own finds it again."""
    path = shell.home / "mine.toml"
    path.write_text(f'[profiles.x]\nurl = "{chat.url()}"\n')
    path.chmod(0o600)
    assert shell("send", "--spool-first", "--config", "mine.toml", "-p", "x", "hello").status == 0
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["hello"])


def test_a_directory_that_is_gone(shell: Shell, chat: Emulator) -> None:
    """A message from a working directory that is gone is posted or kept, although its profile file is not there."""
    shell.env["CHATPOST_CONFIG"] = "mine.toml"
    for option in ("--spool", "--spool-first"):
        script = f"mkdir gone; cd gone; rmdir ../gone; chatpost send {option} hello"
        assert shell.run("sh", "-c", script).status == 0
    del shell.env["CHATPOST_CONFIG"]
    assert shell("outbox", "flush").status == 0
    assert [texts(chat)] == [["hello", "hello"]]


# The list ------------------------------------------------------------------------------------------------------


def test_the_list(shell: Shell, chat: Emulator) -> None:
    """`list` has a line for each message, with tabs in a pipe; `show` shows one as JSON."""
    chat.faults.append(answering(503))
    shell("send", "--spool", "--retries", "0", "-k", "deploy", f"first {'word ' * 30}")
    shell("send", "--spool-first", "second")
    first, second = (line.split("\t") for line in shell("outbox").out.splitlines())
    assert (first[0], *first[2:6], first[6][:19]) == (
        "1",
        "sealed",
        "CHATPOST_URL",
        "deploy",
        "1",
        "Chat answered 503 U",
    )
    assert (len(first[7]), second[2:]) == (60, ["waiting", "CHATPOST_URL", "-", "0", "-", "second"])
    assert json.loads(shell("outbox", "show", "2").out)["body"] == {"text": "second"}


def test_drop(shell: Shell, chat: Emulator) -> None:
    """`drop` takes messages out; all of them only with `--yes` if nobody can be asked."""
    for number in range(4):
        shell("send", "--spool-first", f"message {number}")
    assert shell("outbox", "drop", "1", "3").status == 0
    assert [text for text, _ in states(shell)] == ["message 1", "message 3"]
    done = shell("outbox", "drop", "--all")
    done.expect(2, "add --yes")
    assert len(waiting(shell)) == 2
    assert shell("outbox", "drop", "--all", "--yes").status == 0
    assert (waiting(shell), chat.received) == ([], [])
    for command in ("list", "drop --all", "retry --all"):
        assert shell("outbox", *command.split()).err == "chatpost: the outbox is empty\n"


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["show", "7"], 66, "there is no message 7"),
        (["retry", "x"], 2, "'x' is no number of a message: `chatpost outbox list` shows them"),
        (["drop", "7"], 66, "there is no message 7"),
        (["retry"], 2, "name messages by their ids"),
        (["drop", "1", "--all"], 2, "name messages by their ids"),
        (["flush", "--deadline", "soon"], 2, "is not a number"),
    ],
)
def test_mistakes_in_outbox_commands(shell: Shell, argv: list[str], status: int, said: str) -> None:
    """A mistake is one line that says what to do."""
    done = shell("outbox", *argv)
    done.expect(status, said)
    assert done.err.count("\n") == 1


# Bounds and faults of the disk ----------------------------------------------------------------------------------


def test_a_full_outbox(shell: Shell, chat: Emulator) -> None:
    """With 10,000 messages the outbox is full: 75, and nothing old is dropped; what can be posted still is."""
    shell("send", "--spool-first", "first")
    with stored_by(shell) as outbox:
        (first,) = outbox.index()
        (first,) = outbox.read(first.webhook.space, [1])
        outbox.add([first] * 9999, 60)
    done = shell("send", "--spool-first", "one more")
    done.expect(75, "is not kept: the outbox is full (10,000 messages)")
    done = shell("send", "--spool", "-k", "k", "one more")
    done.expect(0, "is not kept")
    assert texts(chat) == ["one more"]


@on_disk
def test_a_full_disk(shell: Shell, chat: Emulator) -> None:
    """If the disk is full, it is 75, and stderr says that the message is not kept."""
    script = "ulimit -f 8; chatpost send --spool-first -- $(seq 1 6000)"
    done = shell.run("bash", "-c", script)
    done.expect(75, "the message is not kept")
    assert chat.received == []


@on_disk
@pytest.mark.parametrize("damage", ["garbage", "directory", "a file for the directory", "no home"])
def test_an_outbox_that_cannot_be_used(shell: Shell, chat: Emulator, damage: str) -> None:
    """Then `--spool` posts with a warning, and `--spool-first` is 75; what is there is not touched."""
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
    assert shell("send", "--spool-first", "hello").status == 75
    assert shell(*FLUSH).status == 75
    if damage == "garbage":
        assert path.read_text().startswith("garbage")


# Exactly once --------------------------------------------------------------------------------------------------

# Runs chatpost, and kills it before or after the outbox is changed by the step of that name.
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
    """Killed at any kind of change of the outbox, nothing is lost and nothing doubled."""
    keep(shell, "zero", "one")
    command = [sys.executable, "-c", KILLED, *kill.split(), *argv]
    assert subprocess.run(command, env=shell.env, check=False).returncode == -signal.SIGKILL
    end_leases(shell)
    assert shell(*FLUSH).status == 0
    posted = re.sub(r"\[.*\]", "", " ".join(texts(chat))).split()
    assert posted == ["zero", "one", *argv[2:]] if argv[0] == "send" else posted == ["zero", "one"]
    assert [each for each in waiting(shell) if each["state"] != "posted"] == []


def test_many_at_once(shell: Shell, chat: Emulator) -> None:
    """Sends and flushes at once, some of them killed, with faults: each message is there once, each thread in order."""
    chat.faults.extend([answering(503), Fault(Kind.DROP_AFTER), Fault(Kind.NONE), answering(429)] * 10)
    processes = [
        subprocess.Popen(
            ["sh", "-c", f"for i in 1 2 3 4; do chatpost send --spool -q --retries 0 -k {key} {key}$i; done"],
            env=shell.env,
            stdout=subprocess.DEVNULL,
        )
        for key in "abc"
    ]
    killed = [subprocess.Popen(["chatpost", *FLUSH], env=shell.env, stderr=subprocess.DEVNULL) for _ in range(3)]
    for process in killed:
        process.kill()
    assert [process.wait(120) for process in processes] == [0] * 3
    for process in killed:
        process.wait()
    chat.faults.clear()
    assert shell(*FLUSH).status == 0
    assert Counter(texts(chat)) == Counter(f"{key}{number}" for key in "abc" for number in range(1, 5))
    for key in "abc":
        assert [text for text in texts(chat) if text[0] == key] == [f"{key}{number}" for number in range(1, 5)]


def test_a_send_behind_a_long_flush(shell: Shell, chat: Emulator) -> None:
    """A message that another flush would post only after the deadline is kept; its sender does not wait until then."""
    keep(shell, *(f"message {number}" for number in range(300)))
    edit(shell, lambda message: message._replace(rules=message.rules._replace(interval=0.5)), range(1, 301))
    shell.env["CHATPOST_PACING"] = "1"
    flush = subprocess.Popen(["chatpost", *FLUSH, "-q"], env=shell.env)
    try:
        while not texts(chat):
            time.sleep(0.05)
        done = shell("send", "--spool", "--interval", "0.5", "mine")
        done.expect(0, "others post to the space now; kept")
        assert len(texts(chat)) < 60  # which takes half of the deadline
    finally:
        flush.terminate()
        flush.wait()


# Digests -------------------------------------------------------------------------------------------------------


def test_a_digest(shell: Shell, chat: Emulator) -> None:
    """`--digest` joins what waits for one thread, each under its time, repeats as one; what must go alone does."""
    for text in ("one", "same", "same", "same", "<users/1>", "two", "```open", "three"):
        shell("send", "--spool-first", "--", text)
    shell("send", "--spool-first", "--request-id", "mine", "own id")
    shell("send", "--spool-first", "-k", "thread", "alone in its thread")
    assert shell(*FLUSH, "--digest").status == 0
    time_of_day = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC"
    plain = [re.sub(time_of_day, "T", text) for text in texts(chat)]
    assert plain == [
        "[T]\none\n[T to T, ×3]\nsame",  # noqa: RUF001 - it means times
        "<users/1>",
        "[T]\ntwo\n[T]\n```open\n```\n[T]\nthree",
        "own id",
        "alone in its thread",
    ]


def test_a_digest_that_may_have_been_posted(shell: Shell, chat: Emulator) -> None:
    """It is sent again as it was, with the same members, whatever has come since."""
    for number in range(3):
        shell("send", "--spool-first", f"message {number}")
    chat.faults.append(Fault(Kind.DROP_AFTER))
    assert shell(*FLUSH, "--digest", "--retries", "0").status == 75
    shell("send", "--spool-first", "message 3")
    assert shell(*FLUSH, "--digest").status == 0
    first, second = texts(chat)
    assert (first.count("message"), second) == (3, "message 3")
    assert chat.received[0].body == chat.received[1].body


def test_digests_fit_into_messages(shell: Shell, chat: Emulator) -> None:
    """A digest has at most 32,000 bytes; the rest goes into the next one, in order."""
    for number in range(7):
        shell("send", "--spool-first", "--", f"{number} " + "é" * 5000)
    assert shell(*FLUSH, "--digest").status == 0
    assert len(texts(chat)) == 3
    assert all(len(text.encode()) <= 32_000 for text in texts(chat))
    assert re.findall(r"^\d", re.sub(r"\[.*\]", "", "\n".join(texts(chat))), re.MULTILINE) == list("0123456")


def test_a_digest_that_chat_finds_wrong(shell: Shell, chat: Emulator) -> None:
    """Its messages are tried one by one."""
    for number in range(3):
        shell("send", "--spool-first", f"message {number}")
    chat.faults.extend([answering(400), Fault(Kind.NONE), answering(400)])
    shell(*FLUSH, "--digest")
    assert (texts(chat), states(shell)) == (["message 0", "message 2"], [("message 1", "refused")])


def test_a_profile_that_wants_digests(shell: Shell, chat: Emulator) -> None:
    """`digest = true` in a profile joins its messages in every flush."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\ndigest = true\n')
    for number in range(3):
        shell("send", "--spool-first", "-p", "ops", f"message {number}")
    assert shell(*FLUSH).status == 0
    assert len(texts(chat)) == 1


def test_a_digest_of_several_hosts(shell: Shell, chat: Emulator) -> None:
    """If its messages come from several hosts, each says from which."""
    for number in range(2):
        shell("send", "--spool-first", f"message {number}")
    edit(shell, lambda message: message._replace(origin=Origin(f"db-{message.id}", message.origin.written)))
    assert shell(*FLUSH, "--digest").status == 0
    assert re.findall(r", (db-\d)\]", texts(chat)[0]) == ["db-1", "db-2"]


def test_a_digest_has_an_id_of_its_own(shell: Shell, chat: Emulator) -> None:
    """What was posted before under a message's id is not taken for a digest that the message begins."""
    chat.faults.append(Fault(Kind.DROP_AFTER))
    shell("send", "--spool", "--retries", "0", "zero")
    let_expire(shell)
    shell(*FLUSH)
    keep(shell, "one", "two")
    assert shell("outbox", "retry", "1").status == 0
    assert shell(*FLUSH, "--digest").status == 0
    assert "".join(texts(chat)).count("zero") == 1
    assert {"one", "two"} <= set("\n".join(texts(chat)).split("\n"))


@pytest.mark.parametrize("what", ["move", "drop"])
def test_a_digest_stays_together(shell: Shell, chat: Emulator, what: str) -> None:
    """A digest that may have been posted is moved and dropped as a whole, by the id of any of its messages."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("BBBB")}"\n')
    keep(shell, "zero", "one", "two")
    chat.faults.append(answering(503))
    assert shell(*FLUSH, "--digest", "--retries", "0").status == 75
    if what == "drop":
        assert shell("outbox", "drop", "2").err == "chatpost: 3 messages are dropped\n"
        assert (waiting(shell), shell(*FLUSH).status, texts(chat)) == ([], 0, [])
    else:
        assert shell("outbox", "retry", "2", "-p", "other").status == 0
        assert (shell(*FLUSH).status, texts(chat), len(texts(chat, "BBBB"))) == (0, [], 1)


def test_a_digest_that_may_be_posted_and_is_wrong(shell: Shell, chat: Emulator) -> None:
    """It is refused as a whole: its messages may be in the space already."""
    keep(shell, "zero", "one")
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(400)])
    assert shell(*FLUSH, "--digest").status == 0
    assert len(texts(chat)) == 1
    assert [entry["state"] for entry in waiting(shell)] == ["refused", "refused"]


def test_a_digest_that_expires(shell: Shell, chat: Emulator) -> None:
    """All of its messages expire and are counted."""
    keep(shell, "zero", "one", "two")
    chat.faults.append(answering(503))
    shell(*FLUSH, "--digest", "--retries", "0")
    let_expire(shell)
    assert shell(*FLUSH).status == 0
    assert texts(chat)[0].startswith("⚠️ 3 messages have waited too long")
    assert [entry["state"] for entry in waiting(shell)] == ["expired"] * 3


def test_another_reply_option(shell: Shell, chat: Emulator) -> None:
    """A message that must not open a thread is not joined with one that may."""
    shell("send", "--spool-first", "-k", "t", "zero")
    shell("send", "--spool-first", "-k", "t", "--or-fail", "one")
    assert shell(*FLUSH, "--digest").status == 0
    assert texts(chat) == ["zero", "one"]


def test_one_late_line(shell: Shell, chat: Emulator) -> None:
    """A message that may have been posted with its line does not get another, however it is retried."""
    keep(shell, "hello")
    age(shell, 3600)
    chat.faults.append(answering(503))
    shell(*FLUSH, "--retries", "0")
    let_expire(shell)
    shell(*FLUSH)
    assert shell("outbox", "retry", "1").status == 0
    assert shell(*FLUSH).status == 0
    assert "".join(texts(chat)).count("late)") == 1


def test_what_may_be_posted_and_fails_for_good(shell: Shell, chat: Emulator) -> None:
    """If the webhook is refused after an attempt that may have posted, that is said."""
    chat.faults.extend([Fault(Kind.DROP_AFTER), answering(401)])
    done = shell("send", "--spool", "hello")
    done.expect(77, "may have been posted")
    assert waiting(shell) == []


def test_a_webhook_that_is_not_allowed(shell: Shell, chat: Emulator) -> None:
    """It fails each time: it is no failure of Chat's that passes."""
    chat.faults.extend([answering(401)] * 3)
    assert [shell("send", "--spool", "hello").status for _ in range(3)] == [77] * 3


def test_two_profiles_of_one_webhook(shell: Shell, chat: Emulator) -> None:
    """If one of them is gone, the messages of the other are posted."""
    profiles = [f'[profiles.{name}]\nurl = "{chat.url()}"\n' for name in "ab"]
    shell.write_profiles("".join(profiles))
    for name in "ab":
        shell("send", "--spool-first", "-p", name, "-k", name, f"of {name}")
    shell.write_profiles(profiles[1])
    assert (shell(*FLUSH).status, texts(chat)) == (75, ["of b"])


def test_a_quiet_flush(shell: Shell, chat: Emulator) -> None:
    """With `-q`, cron mails nothing while Chat is away; without it, a retry and what is left are told."""
    keep(shell, "hello")
    chat.faults.extend([answering(503)] * 3)
    quiet = shell(*FLUSH, "-q", "--retries", "0")
    quiet.expect(75)
    assert quiet.err == ""
    told = shell(*FLUSH, "--retries", "1")
    told.expect(75, "trying again in", "0 posted, 1 still waiting")
    done = shell(*FLUSH, "-q")
    done.expect(0)
    assert done.err == ""
    assert texts(chat) == ["hello"]


@pytest.mark.parametrize("part", ["the message", "its content"])
def test_a_damaged_message(shell: Shell, chat: Emulator, part: str) -> None:
    """A message that cannot be read is named, holds up no other, and can be dropped."""
    keep(shell, "zero", "one")
    if part == "the message":
        edit(shell, lambda message: message._replace(size=cast("int", "")), [1])
    else:
        edit(shell, lambda message: message._replace(request=cast("Any", ("garbage",))), [1])
    assert (shell(*FLUSH).status, texts(chat)) == (0, ["one"])
    done = shell("outbox")
    assert (done.status, "chatpost outbox drop 1" in done.out) == (0, True)
    assert shell("outbox", "drop", "1").status == 0
    assert waiting(shell) == []


def test_a_thread_in_another_space(shell: Shell, chat: Emulator) -> None:
    """A message for a thread by name is not moved to another space."""
    shell.write_profiles(f'[profiles.other]\nurl = "{chat.url("BBBB")}"\n')
    shell("send", "--spool-first", "--thread", "spaces/AAAA/threads/T", "hello")
    done = shell("outbox", "retry", "1", "-p", "other")
    done.expect(2, "is for a thread in spaces/AAAA")


@on_disk
def test_an_outbox_that_others_could_read(shell: Shell) -> None:
    """The file becomes its user's alone."""
    keep(shell, "zero")
    box_of(shell).chmod(0o666)
    keep(shell, "one")
    assert box_of(shell).stat().st_mode & 0o777 == 0o600


def test_a_clock_that_was_set(shell: Shell, chat: Emulator) -> None:
    """A time to leave Chat alone that lies too far ahead, as after a wrong clock, does not count."""
    keep(shell, "zero")
    with stored_by(shell) as outbox:
        outbox.set_cool_down(outbox.index()[0].webhook.fingerprint, CoolDown(1, time.time() + 30 * 86400))
    assert shell("send", "--spool", "one").status == 0
    assert texts(chat) == ["zero", "one"]


def kill_while_sending(shell: Shell, chat: Emulator, *argv: str) -> None:
    """Flush, and kill it once Chat has stored the message and before it has answered."""
    stored = threading.Event()
    chat.on_received = lambda _: stored.set()
    chat.faults.appendleft(Fault(Kind.DELAY, seconds=300))
    process = subprocess.Popen(["chatpost", *FLUSH, *argv], env=shell.env)
    assert stored.wait(60)
    process.kill()
    process.wait()
    end_leases(shell)


def test_killed_and_then_wrong(shell: Shell, chat: Emulator) -> None:
    """A digest whose flush was killed may have been posted: if Chat then finds it wrong, it is refused as a whole."""
    keep(shell, "one", "two")
    kill_while_sending(shell, chat, "--digest")
    chat.faults.append(answering(400))
    assert shell(*FLUSH).status == 0
    assert (len(texts(chat)), [entry["state"] for entry in waiting(shell)]) == (1, ["refused"] * 2)


def test_killed_and_then_expired(shell: Shell, chat: Emulator) -> None:
    """A message whose flush was killed may have been posted: retried after it has expired, it goes as it was."""
    keep(shell, "one")
    kill_while_sending(shell, chat)
    let_expire(shell)
    shell(*FLUSH)
    keep(shell, "three")
    shell("outbox", "retry", "1")
    assert shell(*FLUSH, "--digest").status == 0
    assert "".join(texts(chat)).count("one") == 1
    assert "".join(texts(chat)).count("three") == 1


def test_killed_and_then_joined(shell: Shell, chat: Emulator) -> None:
    """A digest whose flush was killed goes into no other digest."""
    keep(shell, "one", "two", "three")
    edit(shell, lambda message: message.with_status(state="rejected"), [1])
    kill_while_sending(shell, chat, "--digest")
    shell("outbox", "retry", "1")
    assert shell(*FLUSH, "--digest").status == 0
    posted = "".join(texts(chat))
    assert [posted.count(text) for text in ("one", "two", "three")] == [1, 1, 1]
    assert waiting(shell) == []


def test_a_rotated_token(shell: Shell, chat: Emulator) -> None:
    """A message for a profile's old webhook is kept and told, and those for its new one are posted."""
    for token, text in (("old", "one"), ("new", "two")):
        shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url(token=token)}"\n')
        shell("send", "--spool-first", "-p", "ops", text)
    done = shell(*FLUSH)
    done.expect(75, "profile ops is another webhook now")
    assert texts(chat) == ["two"]


def test_dropped_while_it_is_sent(shell: Shell, chat: Emulator) -> None:
    """If a message is dropped while its sender waits, the sender says so, and that is 75."""
    come = threading.Event()
    chat.on_received = lambda _: come.set()
    chat.faults.append(answering(429, Retry_After="3"))
    process = subprocess.Popen(["chatpost", "send", "--spool", "mine"], env=shell.env, stderr=subprocess.PIPE)
    assert come.wait(60)
    while shell("outbox", "drop", "1").status:
        pass
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"not in the outbox any more: it was dropped" in err, texts(chat)) == (75, True, [])
