"""`thread --follow`: a stream becomes replies, and no line of it is lost."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from chatpost.content.stream import BUFFER_LIMIT, REPLY_LIMIT, Lines, read_lines
from chatpost.delivery.sqlite_store import SqliteStore
from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind, answering
from tests.conftest import KEY, TOKEN, Shell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import InProcess


def replies(chat: Emulator) -> list[str]:
    """Return the texts of the only thread's replies, without their fences."""
    ((_, *others),) = chat.space().threads().values()
    texts = [message.text for message in others]
    assert all(re.fullmatch(r"```\n.*\n```", text, re.DOTALL) for text in texts), texts
    return [text[4:-4] for text in texts]


LINES = "".join(f"line {number}\n" for number in range(20_000))


def test_every_line_in_order(shell: Shell, chat: Emulator) -> None:
    """The stream is posted into the thread, each line once and in order, in replies that Chat takes."""
    done = shell("thread", "--follow", "Deploy 1.2", stdin=LINES)
    assert done.status == 0
    assert "\n".join(replies(chat)) == LINES.rstrip("\n")
    assert chat.space().messages[0].text == "Deploy 1.2"
    assert done.out.splitlines() == [message.name for message in chat.space().messages]
    assert all(len(message.text) <= 32_000 for message in chat.space().messages)


def test_a_card_may_open_it(shell: Shell, chat: Emulator) -> None:
    """The thread may be opened by a card."""
    assert shell("thread", "--follow", "--title", "Deploy", stdin="one\n").status == 0
    assert replies(chat) == ["one"]


def test_nothing_on_stdin(shell: Shell, chat: Emulator) -> None:
    """An empty stream makes no reply, and neither does a closed one."""
    assert shell("thread", "--follow", "Deploy", "--last", "Done").status == 0
    assert shell("thread", "--follow", "Deploy", redirect="<&-").status == 0
    assert [message.text for message in chat.space().messages] == ["Deploy", "Done", "Deploy"]


def test_the_last_word(shell: Shell, chat: Emulator) -> None:
    """--last closes the thread after all lines, and is not shown as code."""
    assert shell("thread", "--follow", "--last", "All *done*", "Deploy", stdin="no end of line").status == 0
    assert [message.text for message in chat.space().messages] == ["Deploy", "```\nno end of line\n```", "All *done*"]


def test_tee(shell: Shell, chat: Emulator) -> None:
    """--tee passes stdin on as it is; the names go to stderr."""
    raw = b"\x1b[31mred\x1b[0m\r\nnot text: \xff\n" + LINES.encode()
    (shell.home / "raw").write_bytes(raw)
    script = "chatpost thread --follow --tee Deploy <raw >out"
    done = shell.run("sh", "-c", script)
    assert done.status == 0
    assert (shell.home / "out").read_bytes() == raw
    assert done.err.splitlines() == [message.name for message in chat.space().messages]
    assert replies(chat)[0].startswith("red\nnot text: \ufffd\nline 0\n")


def test_tee_to_nobody(shell: Shell, chat: Emulator) -> None:
    """Closing the other end of --tee ends the copying, not the stream."""
    assert shell("thread", "--follow", "--tee", "Deploy", stdin=LINES, redirect="| head -c 1 >/dev/null").status == 0
    assert "\n".join(replies(chat)) == LINES.rstrip("\n")


def test_no_more_than_one_a_second(tmp_path: Path) -> None:
    """Lines are collected while the space is busy: however many come, no reply gets a 429."""
    with Emulator() as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
        done = shell.run("sh", "-c", "for i in $(seq 200); do echo $i; done | chatpost thread --follow Deploy")
        assert done.status == 0
        assert "\n".join(replies(chat)) == "\n".join(map(str, range(1, 201)))
        assert {received.status for received in chat.received} == {200}
        assert len(chat.received) <= 3


def test_a_reply_that_fails(shell: Shell, chat: Emulator) -> None:
    """A reply that fails for good is reported, the next are posted, and the exit status tells."""
    chat.faults.extend([Fault(Kind.NONE), *[answering(503)] * 2])
    done = shell("thread", "--follow", "--retries", "1", "-o", "json", "Deploy", stdin=LINES)
    assert done.status == 75
    assert "gave up after 2 attempts" in done.err
    errors = [json.loads(line)["error"] for line in done.out.splitlines()]
    assert [error is None for error in errors] == [True, False, *[True] * (len(errors) - 2)]
    assert LINES.rstrip("\n").endswith("\n".join(replies(chat)))


def test_a_reply_is_retried(shell: Shell, chat: Emulator) -> None:
    """A reply that fails for now is tried again under its id, and posted once."""
    chat.faults.extend([Fault(Kind.NONE), Fault(Kind.DROP_AFTER)])
    assert shell("thread", "--follow", "Deploy", stdin="one\ntwo\n").status == 0
    assert replies(chat) == ["one\ntwo"]


@pytest.mark.parametrize("posted", [0, 1])
def test_the_writer_lives_on(shell: Shell, chat: Emulator, posted: int) -> None:
    """If no message can be posted any more, the stream is still read to its end, so its writer does not die."""
    chat.faults.extend([*[Fault(Kind.NONE)] * posted, answering(403)])
    writer = "(seq 200000 && echo the writer has ended well >&2)"
    done = shell.run("bash", "-c", f"{writer} | chatpost thread --follow Deploy")
    assert (done.status, len(chat.received)) == (77, posted + 1)
    assert "the writer has ended well" in done.err
    assert done.err.count("403") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_flushes(shell: Shell, chat: Emulator, number: signal.Signals) -> None:
    """At a signal, everything that was read is posted, half a line too, and the command dies of the signal."""
    del shell.env["CHATPOST_PACING"]
    process = subprocess.Popen(
        ["chatpost", "thread", "--follow", "--tee", "--last", "Bye", "Deploy"],
        env=shell.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()  # the thread is open, and the space not free for a second
    process.stdin.write(b"one\ntwo, and no end")
    process.stdin.flush()
    assert process.stdout.read(len(b"one\ntwo, and no end")) == b"one\ntwo, and no end"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    texts = [message.text for message in chat.space().messages]
    assert texts[0] == "Deploy"
    assert texts[-1] == "Bye"
    assert "".join(texts[1:-1]).replace("```", "").split() == ["one", "two,", "and", "no", "end"]


def test_writers_are_slowed() -> None:
    """The lines that wait are limited: the writer is blocked until some are taken."""
    lines = Lines()
    line = "x" * 1000
    count = 2 * BUFFER_LIMIT // 1000

    def write() -> None:
        for _ in range(count):
            lines.put(line)
        lines.close()

    writer = threading.Thread(target=write)
    writer.start()
    taken = 0
    while lines.wait():
        assert lines.waiting.size <= BUFFER_LIMIT
        block = lines.take()
        assert len(block.encode()) <= REPLY_LIMIT
        taken += len(block.split("\n"))
    writer.join()
    assert taken == count


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        (b"", []),
        (b"a\nb", ["a", "b"]),
        (b"a\r\n\nb\n", ["a", "", "b"]),
        (b" 1%\r 2%\rdone\n", ["done"]),
        (b"``` <users/all>\n", ["`\u200b`\u200b` <\u200busers/all>"]),
        ("é".encode()[:1] + b"\n", ["\ufffd"]),
    ],
)
def test_reading(raw: bytes, got: list[str]) -> None:
    """A line is what a terminal would show of it, and nothing in it ends a fence or mentions anybody."""
    read, write = os.pipe()
    os.write(write, raw)
    os.close(write)
    lines, passed = Lines(), bytearray()
    read_lines(read, lines, passed.extend)
    os.close(read)
    assert bytes(passed) == raw
    assert (lines.take().split("\n") if lines.wait() else []) == got


def test_a_line_longer_than_a_reply(shell: Shell, chat: Emulator) -> None:
    """A line that is too long for a reply goes into several, whole."""
    assert shell("thread", "--follow", "Deploy", stdin="x" * 600_000 + "\nend\n").status == 0
    assert "".join(replies(chat)).replace("\n", "") == "x" * 600_000 + "end"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--follow"], "--follow needs a text that opens the thread"),
        (["--follow", "-"], "--follow reads stdin"),
        (["--follow", "--card", "-", "x"], "--follow reads stdin"),
        (["--tee", "x"], "--tee and --last work only with --follow"),
        (["--last", "y", "x"], "--tee and --last work only with --follow"),
    ],
)
def test_bad_options(chatpost: InProcess, chat: Emulator, argv: list[str], said: str) -> None:
    """Options that exclude each other are one line that says so."""
    done = chatpost("thread", *argv)
    assert (done.status, chat.received) == (2, [])
    assert said in done.err


def test_one_thread_only(shell: Shell, chat: Emulator) -> None:
    """A stream is posted into one thread only."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "ab"))
    done = shell("thread", "--follow", "-p", "a", "-p", "b", "x", stdin="line\n")
    assert (done.status, chat.received) == (2, [])
    assert "name one profile" in done.err


def test_a_live_line_at_a_terminal(shell: Shell, chat: Emulator) -> None:
    """At a terminal, a line shows how much is posted and how much waits, and is gone at the end."""
    del shell.env["CHATPOST_PACING"]
    store = SqliteStore(shell.home / "state" / "chatpost" / "pacing.sqlite3", time.monotonic, time.time, pytest.fail)
    store.turn(f"http://127.0.0.1:{chat.port}/spaces/AAAA", 1.1).sent()
    ours, theirs = pty.openpty()
    done = subprocess.run(
        ["chatpost", "thread", "--follow", "Deploy"],
        env={**shell.env, "TERM": "xterm", "COLUMNS": "100"},
        input=b"one\n",
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "1 posted, 1 line waiting" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
