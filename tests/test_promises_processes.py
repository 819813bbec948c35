"""Promises for concurrent, killed and interrupted processes, and for an unusable state directory."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from chatpost.pacing.sqlite import SqlitePacer, boot_id
from tests.conftest import KEY, TOKEN, Finished, Running, Shell, answering, texts, wait_for_requests

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.pacing.queue import QueueTurn


# In production, Chat runs on another machine, and processes that start do not slow it down. Here they may, so the
# interval leaves them half a second.
QUOTA, INTERVAL = 0.2, "0.7s"


@pytest.fixture
def paced(shell: Shell) -> Shell:
    """Return the installed command with its defaults, including pacing."""
    del shell.env["CHATPOST_PACING"]
    return shell


def turn_of(shell: Shell, chat: Emulator, space: str = "AAAA") -> QueueTurn:
    """Return a turn in a space of the emulator, from the pacing file of the shell's commands."""
    path = shell.home / "state" / "chatpost" / "pacing.sqlite3"
    pacer = SqlitePacer(path, time.monotonic, boot_id, pytest.fail)
    return pacer.turn(f"http://127.0.0.1:{chat.port}/spaces/{space}", 1.1)


def test_many_processes_at_once(tmp_path: Path) -> None:
    """20 concurrent processes post 20 messages to a space with a quota, an interval apart, without a 429."""
    with Emulator(quota=QUOTA) as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env |= {"CHATPOST_URL": chat.url(key=KEY, token=TOKEN), "CHATPOST_INTERVAL": INTERVAL}
        crowd = [shell.start("send", "--deadline", "300", f"message {number}") for number in range(20)]
        ended = [running.end() for running in crowd]
    assert [done.status for done in ended] == [0] * 20
    assert [received.status for received in chat.received] == [200] * 20
    assert sorted(done.out.strip() for done in ended) == sorted(message.name for message in chat.space().messages)
    assert all(later.at - earlier.at >= QUOTA for earlier, later in pairwise(chat.received))


def test_a_waiting_process_is_killed(paced: Shell, chat: Emulator) -> None:
    """If a process is killed while it waits for its turn, the others continue, and its message is not posted."""
    turn_of(paced, chat).close_for(5)
    killed = paced.start("send", "-v", "of the killed one")
    killed.wait_to_say("for its turn in the space")
    killed.signal(signal.SIGKILL)
    assert killed.end().status == -signal.SIGKILL
    assert paced("send", "of another").status == 0
    assert texts(chat) == ["of another"]


def test_cancelled_processes_give_way(paced: Shell, chat: Emulator) -> None:
    """Processes that are cancelled while they wait give up their turns, so a new one does not wait for them."""
    turn_of(paced, chat).close_for(10)
    queued = [paced.start("send", "-v", f"cancelled {number}") for number in range(12)]
    for running in queued:
        running.wait_to_say("for its turn in the space")
    for running in queued:
        running.signal(signal.SIGTERM)
    assert {running.end().status for running in queued} == {-signal.SIGTERM}
    paced("send", "--deadline", "12", "another").expect(0)  # behind twelve others, the turn would be too late
    assert texts(chat) == ["another"]


def test_a_crowd_of_which_some_are_gone(tmp_path: Path) -> None:
    """Of 24 concurrent processes, 16 are killed or terminated, and the others post in order, without a 429."""
    with Emulator(quota=QUOTA) as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env |= {"CHATPOST_URL": chat.url(key=KEY, token=TOKEN), "CHATPOST_INTERVAL": INTERVAL}
        crowd = []
        for number in range(24):
            turn_of(shell, chat).close_for(8)  # no turn is due before the next process waits for one
            crowd.append(shell.start("send", "-v", str(number)))
            crowd[-1].wait_to_say("for its turn in the space")
        for number, running in enumerate(crowd):
            if number % 3:
                running.signal(signal.SIGKILL if number % 3 == 1 else signal.SIGTERM)
        ended = [running.end() for running in crowd]
    assert [done.status for done in ended] == [0, -signal.SIGKILL, -signal.SIGTERM] * 8
    assert {received.status for received in chat.received} == {200}
    assert texts(chat) == [str(number) for number in range(0, 24, 3)]


# Simulates a dead network home directory.
DEAD_DISK = """
import sqlite3, threading
sqlite3.connect = lambda *_, **__: threading.Event().wait()
"""


def test_a_disk_that_hangs(paced: Shell, chat: Emulator) -> None:
    """If the state directory hangs, pacing turns off with a warning, and the message is posted."""
    (paced.home / "sitecustomize.py").write_text(DEAD_DISK)
    paced.env["PYTHONPATH"] = str(paced.home)
    done = paced("send", "--deadline", "10", "hello")
    assert (done.status, len(chat.space().messages)) == (0, 1)
    assert done.err == (
        f"chatpost: warning: messages are not paced: {paced.home}/state/chatpost/pacing.sqlite3 cannot be used:"
        " it did not answer within 2.0 s\n"
    )
    done = paced("send", "--deadline", "3", "hello")  # pacing may use half of the deadline
    assert (done.status, len(chat.space().messages)) == (0, 2)
    assert re.search(r"did not answer within [01]\.", done.err)


# Simulates a user who is not in the list of users, as in a container.
NOT_IN_PASSWD = """
import pwd
def getpwuid(_): raise KeyError
pwd.getpwuid = getpwuid
"""


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_no_home(paced: Shell, chat: Emulator, home: str | None) -> None:
    """Without a home directory, chatpost posts unpaced with a warning, and reads no file in the working directory."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        del paced.env[variable]
    if home is not None:
        paced.env["HOME"] = home
    evil = f'[profiles.evil]\nurl = {{ command = ["touch", "{paced.home}/evil"] }}\n'
    for place in ("~", "relative", ".config", "."):
        directory = paced.home / place / ".config" / "chatpost"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "profiles.toml").write_text(evil)
    (paced.home / "sitecustomize.py").write_text(NOT_IN_PASSWD)
    paced.env["PYTHONPATH"] = str(paced.home)
    done = paced("send", "hello")
    assert (done.status, len(chat.space().messages)) == (0, 1)
    warning = "messages are not paced: there is no home directory; set HOME or XDG_STATE_HOME"
    assert done.err == f"chatpost: warning: {warning}\n"
    del paced.env["CHATPOST_URL"]
    assert paced("send", "hello").status == 78
    assert not (paced.home / "evil").exists()


@pytest.mark.parametrize("state", ["a file for the directory", "a full disk"])
def test_pacing_steps_aside(paced: Shell, chat: Emulator, state: str) -> None:
    """If the pacing file cannot be used, chatpost posts anyway, with a warning that `--quiet` suppresses."""
    if state == "a file for the directory":
        (paced.home / "state").write_text("")
    limit = "export PYTHONDONTWRITEBYTECODE=1; ulimit -f 0; " if state == "a full disk" else ""
    done = paced.run("sh", "-c", f"{limit}exec chatpost send hello")
    assert (done.status, len(chat.space().messages)) == (0, 1)
    assert done.err.startswith("chatpost: warning: messages are not paced: ")
    assert done.err.count("\n") == 1
    assert paced.run("sh", "-c", f"{limit}exec chatpost send --quiet hello").err == ""


def test_a_429_keeps_the_others_away(paced: Shell, chat: Emulator) -> None:
    """A 429 closes the space to every process. If the deadline is earlier, a process exits with 75 at once."""
    chat.faults.append(answering(429, Retry_After="300"))
    assert paced("send", "hello").status == 75
    other = paced("send", "hello")
    assert (other.status, len(chat.received)) == (75, 1)
    assert re.search(r"the space is busy for another (29\d\.\d|300\.0) s", other.err)
    assert "Nothing was posted" in other.err


@pytest.mark.parametrize("off", ["option", "variable", "profile"])
def test_no_pacing(paced: Shell, chat: Emulator, off: str) -> None:
    """An option, a variable or a profile can turn pacing off."""
    turn_of(paced, chat).close_for(3000)
    url = paced.env["CHATPOST_URL"]
    argv = ["send", "hello"]
    match off:
        case "option":
            argv.append("--no-pacing")
        case "variable":
            paced.env["CHATPOST_PACING"] = "0"
        case "profile":
            del paced.env["CHATPOST_URL"]
            paced.write_profiles(f'[profiles.ops]\nurl = "{url}"\npacing = false\n')
    assert paced(*argv).status == 0


def test_the_interval_is_the_profiles(paced: Shell, chat: Emulator) -> None:
    """A profile's interval determines when the space is free again."""
    url = paced.env.pop("CHATPOST_URL")
    paced.write_profiles(f'[profiles.ops]\nurl = "{url}"\ninterval = 500\n')
    assert paced("send", "hello").status == 0
    done = paced("send", "hello")
    assert (done.status, len(chat.received)) == (75, 1)
    assert "the space is busy for another 49" in done.err


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_while_sending(shell: Shell, chat: Emulator, number: signal.Signals) -> None:
    """On a signal during a request, chatpost says that the message may have been posted, and dies of the signal."""
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    running = shell.start("send", "hello")
    wait_for_requests(chat)
    running.signal(number)
    done = running.end()
    (received,) = chat.received
    assert (done.status, done.out) == (-number, "")
    again = f"add --request-id {received.query['requestId']}"
    assert done.err == (
        f"chatpost: interrupted. The message may have been posted; to retry without posting it twice, {again}\n"
    )


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("code", "truth"), [(429, "Nothing was posted."), (503, "may have been posted")])
def test_interrupted_between_attempts(
    shell: Shell, chat: Emulator, number: signal.Signals, code: int, truth: str
) -> None:
    """On a signal before a retry, chatpost reports the state after the last answer, and dies of the signal."""
    chat.faults.append(answering(code, Retry_After="50"))
    running = shell.start("send", "hello")
    running.wait_to_say("retrying in")
    running.signal(number)
    done = running.end()
    done.expect(-number, "interrupted. ")
    assert truth in done.err.splitlines()[-1]


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_while_waiting_for_a_turn(paced: Shell, chat: Emulator, number: signal.Signals) -> None:
    """On a signal during the wait for the turn, chatpost dies of the signal, and nothing was posted."""
    turn_of(paced, chat).close_for(50)
    running = paced.start("send", "-v", "hello")
    running.wait_to_say("for its turn in the space")
    running.signal(number)
    done = running.end()
    assert (done.status, chat.received) == (-number, [])
    assert done.err.endswith("chatpost: interrupted. Nothing was posted.\n")


def test_several_interrupted(shell: Shell, chat: Emulator) -> None:
    """On a signal during a send to several profiles, chatpost reports the state of each unfinished message."""
    urls = {name: chat.url(name, KEY, TOKEN) for name in ("done", "hangs", "waits")}
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{url}"\n' for name, url in urls.items()))
    assert shell("send", "-p", "done", "--request-id", "same-id", "hello").status == 0
    turn_of(shell, chat, "waits").close_for(50)
    shell.env["CHATPOST_PACING"] = "1"
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    running = shell.start("send", "-p", "hangs", "-p", "waits", "-v", "hello")
    running.wait_to_say("waits: waiting")
    wait_for_requests(chat, 2)
    running.signal(signal.SIGTERM)
    done = running.end()
    done.expect(
        -signal.SIGTERM,
        "hangs: interrupted. The message may have been posted",
        "waits: interrupted. Nothing was posted.",
    )


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted_while_reading_stdin(shell: Shell, chat: Emulator, number: signal.Signals) -> None:
    """On a signal while chatpost reads stdin, it dies of the signal, and nothing was posted."""
    running = shell.start("send")
    running.write(b"x" * 200_000)  # more than a pipe can hold: after this write, chatpost is reading
    running.signal(number)
    done = running.end()
    assert (done.status, chat.received) == (-number, [])
    assert done.err == "chatpost: interrupted. Nothing was posted.\n"


@pytest.mark.parametrize("attempt", range(8))
def test_interrupted_after_posting(shell: Shell, chat: Emulator, attempt: int) -> None:
    """On a signal after the message name is printed, chatpost exits with 0 or dies of it, with a true report."""
    running = shell.start("send", f"hello {attempt}")
    name = running.line()
    running.signal(signal.SIGTERM)
    done = running.end()
    assert name == f"{chat.space().messages[0].name}\n"
    assert done.status in {0, -signal.SIGTERM}
    assert done.err in {"", f"chatpost: interrupted. The message was posted: {name}"}


def test_a_signal_that_is_ignored(shell: Shell, chat: Emulator) -> None:
    """A signal that was ignored at chatpost's start, such as a background job's SIGINT, does not end it."""
    chat.faults.append(answering(503))
    running = Running(shell, "sh", "-c", 'trap "" INT; exec chatpost send hello')
    running.wait_to_say("retrying in")
    running.signal(signal.SIGINT)
    assert running.end().status == 0
    assert len(chat.space().messages) == 1


FAULTS = [
    answering(500),
    answering(502, b"<html>no"),
    answering(503, Retry_After="1"),
    answering(429, Retry_After="1"),
    answering(200, b"<html>yes"),
    Fault(Kind.DROP_BEFORE),
    Fault(Kind.DROP_AFTER),
    Fault(Kind.TRUNCATE),
    Fault(Kind.DRIP),
    Fault(Kind.DELAY, seconds=300),
]
MESSAGES = 6 * len(FAULTS)


def test_soak(shell: Shell, chat: Emulator) -> None:
    """60 messages face 60 faults, and a third of the processes are killed and rerun: Chat stores each message once."""
    chance = random.Random(3)  # noqa: S311 - a fixed seed, for the same sequence in each run
    chat.faults.extend(chance.sample(FAULTS * 6, MESSAGES))
    killed_after = [None if number % 3 else chance.uniform(0, 1.5) for number in range(MESSAGES)]

    def send(number: int) -> Finished:
        argv = ("send", "--request-id", f"soak-{number}", "--timeout", "3", "--deadline", "50", f"message {number}")
        seconds = killed_after[number]
        if seconds is not None:
            running = shell.start(*argv)
            try:
                running.process.wait(seconds)
            except subprocess.TimeoutExpired:
                running.signal(signal.SIGKILL)
            running.end()
        done = shell(*argv)
        while done.status in {75, 76}:
            done = shell(*argv)
        return done

    with ThreadPoolExecutor(24) as pool:  # mostly waiting
        ended = list(pool.map(send, range(MESSAGES)))
    assert {done.status for done in ended} == {0}
    stored = chat.space().messages
    assert sorted(message.text for message in stored) == sorted(f"message {number}" for number in range(MESSAGES))
    names = {message.text: message.name for message in stored}
    assert [done.out for done in ended] == [f"{names[f'message {number}']}\n" for number in range(MESSAGES)]
    assert not chat.faults
