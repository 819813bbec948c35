"""`thread --follow`: chatpost posts a stream as replies, and reports every line that it loses."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from chatpost.commands import posting
from chatpost.concurrency import SelectableEvent
from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from chatpost.follow.stream import BUFFER_LIMIT, REPLY_LIMIT, LineMaker, Lines, Reader
from chatpost.pacing.sqlite import SqlitePacer, boot_id
from tests.conftest import KEY, TOKEN, Running, Shell, answering, texts, wait_for_requests
from tests.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import InProcess

OK = Fault(Kind.NONE)


def replies(chat: Emulator) -> list[str]:
    """Return the texts of the replies in the only thread, without their fences."""
    ((_, *others),) = chat.space().threads().values()
    fenced = [message.text for message in others]
    assert all(re.fullmatch(r"```\n.*\n```", text, re.DOTALL) for text in fenced), fenced
    return [text[4:-4] for text in fenced]


LINES = "".join(f"line {number}\n" for number in range(20_000))


def follow(shell: Shell, *argv: str, **streams: Any) -> Running:
    """Start to follow a stream that the test writes."""
    return shell.start("thread", "--follow", *argv, "Deploy", **streams)


def test_every_line_in_order(shell: Shell, chat: Emulator) -> None:
    """Each line of the stream is posted once, in order, in replies that fit Chat's limit."""
    done = shell("thread", "--follow", "Deploy 1.2", stdin=LINES)
    assert done.status == 0
    assert "\n".join(replies(chat)) == LINES.rstrip("\n")
    assert chat.space().messages[0].text == "Deploy 1.2"
    assert done.out.splitlines() == [message.name for message in chat.space().messages]
    assert all(len(message.text) <= 32_000 for message in chat.space().messages)


def test_a_card_opens_it(shell: Shell, chat: Emulator) -> None:
    """A card from options or from a file can open the thread."""
    assert shell("thread", "--follow", "--title", "Deploy", stdin="one\n").status == 0
    assert replies(chat) == ["one"]
    (shell.home / "card.json").write_text('{"header": {"title": "From a file"}}')
    assert shell("thread", "--follow", "--card", "card.json", stdin="two\n").status == 0
    assert chat.space().messages[-1].text == "```\ntwo\n```"


@pytest.mark.parametrize("stdin", ["", "\n", " \n\t\n\n"])
def test_nothing_on_stdin(shell: Shell, chat: Emulator, stdin: str) -> None:
    """An empty, blank or closed stream produces no reply."""
    assert shell("thread", "--follow", "Deploy", "--closing", "Done", stdin=stdin).status == 0
    assert shell("thread", "--follow", "Deploy", redirect="<&-").status == 0
    assert texts(chat) == ["Deploy", "Done", "Deploy"]


def test_the_last_message(shell: Shell, chat: Emulator) -> None:
    """`--closing` posts a last message after all lines, cleaned like any text, and not as code."""
    last = "All \x1b[32m*done*\x1b[0m"
    assert shell("thread", "--follow", "--closing", last, "Deploy", stdin="no end of line").status == 0
    assert texts(chat) == ["Deploy", "```\nno end of line\n```", "All *done*"]


def test_tee(shell: Shell, chat: Emulator) -> None:
    """`--tee` copies stdin to stdout unchanged, and message names go to stderr."""
    raw = b"\x1b[31mred\x1b[0m\r\nnot text: \xff\n" + LINES.encode()
    (shell.home / "raw").write_bytes(raw)
    done = shell.run("sh", "-c", "chatpost thread --follow --tee Deploy <raw >out")
    assert done.status == 0
    assert (shell.home / "out").read_bytes() == raw
    assert [line for line in done.err.splitlines() if "warning" not in line] == [
        message.name for message in chat.space().messages
    ]
    assert replies(chat)[0].startswith("red\nnot text: \ufffd\nline 0\n")


def test_tee_to_nobody(shell: Shell, chat: Emulator) -> None:
    """If the reader of `--tee` exits, chatpost stops copying but posts the whole stream."""
    assert shell("thread", "--follow", "--tee", "Deploy", stdin=LINES, redirect="| head -c 1 >/dev/null").status == 0
    assert "\n".join(replies(chat)) == LINES.rstrip("\n")


def test_tee_to_a_full_disk(shell: Shell, chat: Emulator) -> None:
    """If the copy cannot be written, chatpost exits with 74 but posts the whole stream."""
    done = shell("thread", "--follow", "--tee", "Deploy", stdin=LINES, redirect=">/dev/full")
    done.expect(74, "cannot write to stdout, so --tee stops copying: no space left on device")
    assert "\n".join(replies(chat)) == LINES.rstrip("\n")


def test_tee_to_a_slow_reader(shell: Shell, chat: Emulator) -> None:
    """A slow reader of a non-blocking stdout receives every byte."""
    (shell.home / "raw").write_text(LINES * 10)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, False)
    with (shell.home / "raw").open() as raw:
        following = follow(shell, "--tee", stdin=raw, stdout=write)
    os.close(write)
    copied = bytearray()
    while chunk := os.read(read, 4096):
        copied += chunk
    os.close(read)
    following.end().expect(0)
    assert bytes(copied) == (LINES * 10).encode()
    assert "\n".join(replies(chat)) == (LINES * 10).rstrip("\n")


def test_no_more_than_one_a_second(tmp_path: Path) -> None:
    """Between turns, chatpost collects lines, so even a fast stream never gets a 429."""
    with Emulator() as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
        done = shell.run("sh", "-c", "for i in $(seq 200); do echo $i; done | chatpost thread --follow Deploy")
        assert done.status == 0
        assert "\n".join(replies(chat)) == "\n".join(map(str, range(1, 201)))
        assert {received.status for received in chat.received} == {200}
        assert len(chat.received) <= 3


def test_a_slow_writer_does_not_fill_the_space(shell: Shell, chat: Emulator) -> None:
    """The first lines are posted at once, and later lines after each `--every` interval or when the stream ends."""
    following = follow(shell, "--every", "3600")
    wait_for_requests(chat)
    following.write(b"first\n")
    wait_for_requests(chat, 2)
    for number in range(5):
        following.write(f"{number}\n".encode())
    assert following.end().status == 0
    assert replies(chat) == ["first", "0\n1\n2\n3\n4"]


def test_replies_of_a_slow_writer_are_apart(shell: Shell, chat: Emulator) -> None:
    """Replies are at least `--every` seconds apart."""
    following = follow(shell, "--every", "0.5")
    for number in range(4):
        wait_for_requests(chat, number + 1)
        following.write(b"line\n")
    assert following.end().status == 0
    times = [received.at for received in chat.received[1:4]]
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


def test_a_reply_is_retried(shell: Shell, chat: Emulator) -> None:
    """After a transient error, chatpost retries a reply under its request ID, and posts it once."""
    chat.faults.extend([OK, Fault(Kind.DROP_AFTER)])
    assert shell("thread", "--follow", "Deploy", stdin="one\ntwo\n").status == 0
    assert replies(chat) == ["one\ntwo"]


def test_lines_of_a_failed_reply_go_with_the_next(shell: Shell, chat: Emulator) -> None:
    """If a reply was surely not posted, its lines go into the next reply, and chatpost exits with 0."""
    chat.faults.extend([OK, answering(429)])
    following = follow(shell, "--retries", "0", "--every", "0.1")
    wait_for_requests(chat)
    following.write(b"one\n")
    wait_for_requests(chat, 2)
    following.write(b"two\n")
    following.end().expect(0, "Its lines will be in the next reply.")
    assert replies(chat) == ["one\ntwo"]


@pytest.mark.parametrize("rejections", [0, 2])
def test_a_reply_that_may_be_posted_is_sent_again_as_it_was(shell: Shell, chat: Emulator, rejections: int) -> None:
    """A reply that may have been posted keeps its request ID and lines until Chat accepts it, so it is posted once."""
    chat.faults.extend([OK, Fault(Kind.DROP_AFTER), *[answering(429)] * rejections])
    following = follow(shell, "--retries", "0", "--every", "0.1", "-o", "json")
    wait_for_requests(chat)
    following.write(b"one\n")
    wait_for_requests(chat, 2 + rejections)
    following.write(b"two\n")
    assert following.end().status == 0
    assert replies(chat) == ["one", "two"]
    ids = [received.query["requestId"] for received in chat.received]
    assert len(set(ids[1 : 3 + rejections])) == 1
    assert ids[1] != ids[-1]


def test_lines_that_are_lost_in_the_end(shell: Shell, chat: Emulator) -> None:
    """If the last reply fails until its deadline, the thread and stderr give the number of lost lines."""
    chat.faults.extend([OK, *[answering(429, Retry_After="5")] * 1])
    done = shell("thread", "--follow", "--deadline", "2", "--closing", "Bye", "Deploy", stdin="one\ntwo\n")
    done.expect(75, "2 lines were lost")
    assert texts(chat) == ["Deploy", "[2 lines were lost]\nBye"]


def test_a_reply_that_chat_finds_invalid(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects a reply, its lines are lost and counted, chatpost posts the next ones, and exits with 65."""
    chat.faults.extend([OK, answering(400)])
    done = shell("thread", "--follow", "-o", "json", "Deploy", stdin=LINES)
    assert done.status == 65
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["error"] is None for record in records] == [True, False, *[True] * (len(records) - 2)]
    assert records[1]["thread"] == {"name": chat.space().messages[0].thread_name, "threadKey": None}
    posted = texts(chat)
    lost = re.fullmatch(r"\[(\d+) lines were lost\]", posted[-1])
    assert lost is not None
    kept = [line for text in posted[1:-1] for line in text[4:-4].split("\n")]
    assert int(lost[1]) + len(kept) == 20_000
    assert LINES.endswith("\n".join(kept) + "\n")


def test_a_busy_space_is_waited_for(shell: Shell, chat: Emulator) -> None:
    """If the space's turn is after the deadline, chatpost reports it once and keeps waiting during the stream."""
    del shell.env["CHATPOST_PACING"]
    chat.faults.extend([OK, answering(429, Retry_After="4")])
    following = follow(shell, "--deadline", "2", "--every", "0.1", "--closing", "Bye")
    following.write(b"one\n")
    wait_for_requests(chat, 3)
    following.write(b"two\n")
    done = following.end().expect(0, "Its lines will be in the next reply.")
    assert done.err.count("\n") == 1
    assert texts(chat) == ["Deploy", "```\none\n```", "```\ntwo\n```", "Bye"]


def test_a_reply_is_tried_until_its_deadline(
    chatpost: InProcess, chat: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reply has unlimited retries within its deadline, whereas other messages have at most six attempts."""
    monkeypatch.setattr(posting, "TIMING", posting.TIMING._replace(sleep=lambda _: None))
    chat.faults.extend([OK, *[answering(503)] * 8])
    assert chatpost("thread", "--follow", "Deploy", stdin="one\n").status == 0
    assert replies(chat) == ["one"]


@pytest.mark.parametrize("posted", [0, 1])
def test_the_writer_lives_on(shell: Shell, chat: Emulator, posted: int) -> None:
    """If chatpost can no longer post, it still reads the stream to its end, so that the writer does not fail."""
    chat.faults.extend([*[OK] * posted, answering(403)])
    writer = "(seq 200000 && echo the writer has ended well >&2)"
    done = shell.run("bash", "-c", f"{writer} | chatpost thread --follow Deploy")
    assert (done.status, len(chat.received)) == (77, posted + 1)
    assert "the writer has ended well" in done.err
    assert done.err.count("403") == 1
    assert ("200000 lines were lost" in done.err) == bool(posted)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--deadline", "abc", "x"], "'abc' is not a duration: use 90s, 5m, 2h or 3d"),
        (["--bogus", "x"], "No such option"),
        ([], "--follow requires text to start the thread"),
        (["--closing", "$(seq 9000)", "x"], "the --closing text is too long"),
        (["--closing=x", "--tee=3", "x"], "does not take a value (see chatpost thread --help)"),
        (["-p", "nope", "x"], "there is no profile nope"),
        (["-"], "--follow reads stdin"),
        (["--or-fail", "x"], "--or-fail cannot be used with thread, which starts a new thread"),
    ],
)
def test_a_mistake_does_not_kill_the_writer(shell: Shell, chat: Emulator, argv: list[str], said: str) -> None:
    """On a usage error, chatpost reports it at once and reads stdin to its end, so that the writer does not fail."""
    words = " ".join(f'"{word}"' for word in argv)
    writer = "(seq 200000 && echo the writer has ended well >&2)"
    done = shell.run("bash", "-c", f"set -o pipefail; {writer} | chatpost thread --follow {words}")
    assert done.status in {2, 78}
    assert chat.received == []
    assert said in done.err
    assert "the writer has ended well" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_flushes(shell: Shell, chat: Emulator, number: signal.Signals) -> None:
    """On a signal, chatpost posts all lines it has read, even an incomplete one, then dies of the signal."""
    del shell.env["CHATPOST_PACING"]
    following = follow(shell, "--tee", "--closing", "Bye")
    following.wait_to_say("/messages/")  # the thread is open, and the next turn is a second away
    text = b"one\ntwo, and no end"
    following.write(text)
    assert following.read(len(text)) == text
    following.signal(number)
    assert following.end().status == -number
    first, *others, last = texts(chat)
    assert (first, last) == ("Deploy", "Bye")
    assert "".join(others).replace("```", "").split() == ["one", "two,", "and", "no", "end"]


def test_a_signal_with_a_full_buffer(shell: Shell, chat: Emulator) -> None:
    """On a signal during backpressure, chatpost posts all complete lines it has read, without a gap."""
    chat.faults.extend([OK, Fault(Kind.DELAY, seconds=2)])
    script = "seq 3000000 | chatpost thread --follow Deploy & wait $!; exit $?"
    running = Running(shell, "bash", "-c", f"trap 'kill -TERM $!' TERM; {script}")
    wait_for_requests(chat, 3)  # by now, chatpost has read much more than it has posted
    subprocess.run(["pkill", "-TERM", "-P", str(running.process.pid), "chatpost"], check=False)
    done = running.end()
    lines = "\n".join(replies(chat)).split("\n")
    assert lines == [str(number) for number in range(1, len(lines) + 1)]
    assert "lost" not in done.err


def test_a_signal_with_a_stuck_reader(shell: Shell, chat: Emulator) -> None:
    """On a signal, chatpost stops waiting for a stuck reader of `--tee`, and posts the lines it has read."""
    following = follow(shell, "--tee")
    following.write(LINES.encode()[: 60 * 1024])
    following.write(LINES.encode()[60 * 1024 : 120 * 1024])  # by now, the pipe to the reader is full
    wait_for_requests(chat, 2)
    following.signal(signal.SIGTERM)
    assert following.process.wait(60) == -signal.SIGTERM
    following.end()
    assert "\n".join(replies(chat)).startswith(LINES[: 60 * 1024].rsplit("\n", 1)[0])


def test_a_second_signal_ends_it(shell: Shell, chat: Emulator) -> None:
    """On a second signal, chatpost reports the number of unposted lines and exits at once."""
    chat.faults.extend([OK, Fault(Kind.DELAY, seconds=300)])
    following = follow(shell)
    wait_for_requests(chat)
    following.write(b"one\n")
    wait_for_requests(chat, 2)
    following.signal(signal.SIGTERM)
    following.signal(signal.SIGINT)
    done = following.end()
    assert done.status in {-signal.SIGTERM, -signal.SIGINT}
    assert "1 line was not posted" in done.err


class Pipe:
    """A pipe with a reader of its lines."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.lines = Lines(time.monotonic)
        self.passed = bytearray()
        self.stopped = SelectableEvent()
        self.reader = Reader(
            self.read, LineMaker(self.lines, is_markdown=False, mask=str), self.passed.extend, self.stopped
        )

    def ended_with(self, raw: bytes) -> list[str]:
        """Write these bytes, and return the lines that the reader yields."""
        threading.Thread(target=self._feed, args=(raw,)).start()
        got: list[str] = []
        while self.lines.wait(0):
            got += self.lines.take()
        os.close(self.read)
        return got

    def _feed(self, raw: bytes) -> None:
        with open(self.write, "wb") as pipe:  # noqa: PTH123 - a file descriptor, not a path
            pipe.write(raw)


@pytest.mark.parametrize(
    ("raw", "got", "had_bad_bytes"),
    [
        (b"", [], False),
        (b"a\nb", ["a", "b"], False),
        (b"a\r\n\nb\n", ["a", "", "b"], False),
        (b" 1%\r 2%\rdone\n", ["done"], False),
        (b"``` `` <users/all>\n", ["``\u200b` `` <\u200busers/all>"], False),
        ("é".encode()[:1] + b"\n", ["\ufffd"], True),
        (b"a\n\xff", ["a", "\ufffd"], True),
        ("é\nb".encode("utf-16"), ["é", "b"], False),
        (b"\xfe\xff" + "é\nb".encode("utf-16-be"), ["é", "b"], False),
        (b"\xef\xbb\xbfa\nb", ["a", "b"], False),
        (b"\xef", ["\ufffd"], True),
    ],
)
def test_reading(raw: bytes, got: list[str], had_bad_bytes: bool) -> None:  # noqa: FBT001 - a row of the table
    """Lines are decoded and cleaned like the text of `send`. No line can end a fence or mention a user."""
    pipe = Pipe()
    assert pipe.ended_with(raw) == got
    assert bytes(pipe.passed) == raw
    assert pipe.reader.had_bad_bytes == had_bad_bytes


@pytest.mark.parametrize(("begun", "rest", "lost"), [("", "a\nb", 2), ("a", "", 1), ("a", "b\n", 1), ("a", "b", 1)])
def test_lines_that_are_thrown_away_are_counted(begun: str, rest: str, lost: int) -> None:
    """Every discarded line counts as lost, even one without a newline."""
    pipe = Pipe()
    os.write(pipe.write, f"first\n{begun}".encode())
    assert pipe.lines.wait(0)
    discarding = threading.Thread(target=pipe.reader.discard)
    discarding.start()
    while not pipe.reader._is_discarding:  # noqa: SLF001 - no public attribute shows it
        discarding.join(0.01)
    os.write(pipe.write, rest.encode())
    os.close(pipe.write)
    discarding.join()
    assert pipe.reader.discarded == lost


def test_the_rest_of_a_line_at_a_signal() -> None:
    """After a stop, the reader finishes the current line and reads nothing after it."""
    pipe = Pipe()
    os.write(pipe.write, b"one\nbeg")
    assert pipe.lines.wait(0)
    os.write(pipe.write, b"un\nthree\n")
    pipe.stopped.set()
    pipe.lines.wake()
    pipe.lines.wait_for_end(60)
    assert pipe.lines.take()[:2] == ["one", "begun"]


def test_a_warning_for_bad_bytes(shell: Shell, chat: Emulator) -> None:
    """Bytes that are not UTF-8 cause a warning, like in `send`."""
    done = shell("thread", "--follow", "Deploy", stdin=b"caf\xe9\n")
    assert replies(chat) == ["caf\ufffd"]
    assert "warning: stdin contains bytes that are not UTF-8" in done.err


def test_writers_are_slowed() -> None:
    """The buffer is limited: reading pauses until lines are taken, and every line arrives in order."""
    pipe = Pipe()
    count = 4 * BUFFER_LIMIT // 1000
    written = [f"{number} {'x' * 990}" for number in range(count)]
    threading.Thread(target=pipe._feed, args=("\n".join(written).encode(),)).start()  # noqa: SLF001 - it reads what a job wrote
    got: list[str] = []
    while pipe.lines.wait(0):
        assert pipe.lines.size <= BUFFER_LIMIT + 70_000
        block = pipe.lines.take()
        assert len("\n".join(block).encode()) <= REPLY_LIMIT
        got += block
    os.close(pipe.read)
    assert got == written


def test_lines_can_be_put_back() -> None:
    """Lines that are put back are the first to be taken again."""
    lines = Lines(time.monotonic)
    lines.put(["a", "b"])
    taken = lines.take()
    lines.put(["c"])
    lines.put_back(taken)
    assert lines.take() == ["a", "b", "c"]


def test_a_line_longer_than_a_reply(shell: Shell, chat: Emulator) -> None:
    """A line that is too long for one reply is split into several, completely."""
    assert shell("thread", "--follow", "Deploy", stdin="x" * 600_000 + "\nend\n").status == 0
    assert "".join(replies(chat)).replace("\n", "") == "x" * 600_000 + "end"


def test_lines_full_of_backticks(shell: Shell, chat: Emulator) -> None:
    """Lines that grow when backticks are escaped still fit into replies, with and without a language."""
    for argv in ([], ["--language", "sh"]):
        done = shell("thread", "--follow", *argv, "Deploy", stdin="`" * 100_000 + "\n")
        assert (done.status, done.err) == (0, "")
    assert all(len(message.text.encode()) <= 32_000 for message in chat.space().messages)


@pytest.mark.parametrize("option", ["--tee", "--closing=y", "--every=3"])
def test_options_of_follow_alone(shell: Shell, chat: Emulator, option: str) -> None:
    """`--tee`, `--closing` and `--every` require `--follow` on the command line.

    Their variables do not affect `thread`.
    """
    done = shell("thread", option, "x")
    assert (done.status, chat.received) == (2, [])
    assert "--tee, --closing and --every require --follow" in done.err
    shell.env |= {"CHATPOST_TEE": "1", "CHATPOST_CLOSING": "Bye", "CHATPOST_EVERY": "3"}
    assert shell("thread", "x").status == 0
    assert shell("thread", "--follow", "x", stdin="one\n").out == "one\n"


def test_one_thread_only(shell: Shell, chat: Emulator) -> None:
    """`--follow` accepts only one profile."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "ab"))
    done = shell("thread", "--follow", "-p", "a", "-p", "b", "x", stdin="line\n")
    assert (done.status, chat.received) == (2, [])
    assert "use one profile" in done.err


def test_a_live_line_at_a_terminal(shell: Shell, chat: Emulator) -> None:
    """At a terminal, a live line shows how many replies are posted and lines pending, and disappears at the end."""
    del shell.env["CHATPOST_PACING"]
    pacer = SqlitePacer(shell.home / "state" / "chatpost" / "pacing.sqlite3", time.monotonic, boot_id, pytest.fail)
    pacer.turn(f"http://127.0.0.1:{chat.port}/spaces/AAAA", 1.1).close_for(1)
    terminal = Terminal()
    shell.env |= {"TERM": "xterm", "COLUMNS": "100"}
    following = follow(shell, stderr=terminal.theirs)
    following.write(b"one\n")
    following.end().expect(0)
    drawn = terminal.close()
    assert "1 posted, 1 line pending" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")


def test_no_live_line_at_a_shared_terminal(shell: Shell, chat: Emulator) -> None:
    """If `--tee` also writes to the terminal, chatpost draws no live line."""
    terminal = Terminal()
    shell.env |= {"TERM": "xterm", "COLUMNS": "100"}
    following = follow(shell, "--tee", stdout=terminal.theirs, stderr=terminal.theirs)
    following.write(b"one\n")
    following.end().expect(0)
    drawn = terminal.close()
    assert "one\r\n" in drawn
    assert "waiting" not in drawn
    assert replies(chat) == ["one"]


def test_a_hint_at_a_keyboard(shell: Shell, chat: Emulator) -> None:
    """At a keyboard, a hint explains how to end the stream, and Ctrl-D ends it."""
    terminal = Terminal()
    shell.env |= {"TERM": "xterm", "COLUMNS": "100"}
    following = follow(shell, stdin=terminal.theirs)
    following.wait_to_say("end with Ctrl-D")
    terminal.type("typed\n\x04")
    following.end().expect(0)
    terminal.close()
    assert replies(chat) == ["typed"]
