"""Texts above 32,000 bytes."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from chatpost.emulator.faults import Fault, Kind
from tests.conftest import answering, texts
from tests.terminals import Terminal

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

LINES = "".join(f"line {number}\n" for number in range(8000))
PARTS = 3
"""Number of messages for the lines."""


@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


def test_split(shell: Shell, chat: Emulator) -> None:
    """A long text is posted in parts, as a message and its replies, and chatpost prints the first message name."""
    done = shell("send", stdin=LINES)
    first, *others = chat.space().messages
    assert (done.status, done.out, done.err) == (0, f"{first.name}\n", "")
    assert len(others) == PARTS - 1
    assert {message.thread_name for message in others} == {first.thread_name}
    assert "\n".join(texts(chat)) == LINES.rstrip("\n")
    ids = [received.query["requestId"] for received in chat.received]
    assert [request_id.rpartition("-")[2] for request_id in ids] == ["1", "2", "3"]
    assert len({request_id.rpartition("-")[0] for request_id in ids}) == 1


def test_split_of_a_reply(shell: Shell, chat: Emulator) -> None:
    """All parts of a reply are in the same thread."""
    assert shell("thread", "-k", "key", "opened").status == 0
    assert shell("reply", "-k", "key", stdin=LINES).status == 0
    (thread,) = chat.space().threads().values()
    assert len(thread) == 1 + PARTS


def test_every_part_is_shown_as_it_was_sent(shell: Shell, chat: Emulator) -> None:
    """`--verbose` shows the parameters of each part's request."""
    done = shell("send", "-v", "--request-id", "mine", stdin=LINES)
    shown = [
        dict(parse_qsl(re.findall(r"POST \S+\?(\S+):", line)[0])) for line in done.err.splitlines() if "attempt" in line
    ]
    assert shown == [received.query | {"key": "***", "token": "***"} for received in chat.received]
    assert [parameters["requestId"] for parameters in shown] == ["mine-1", "mine-2", "mine-3"]


def test_split_code(shell: Shell, chat: Emulator) -> None:
    """Each part of a code block has a complete fence."""
    assert shell("send", "--language", "python", stdin=LINES).status == 0
    assert all(re.fullmatch(r"```python\n[^`]*\n```", text) for text in texts(chat))
    assert {message.body["markupSyntax"] for message in chat.space().messages} == {"MARKUP_SYNTAX_MARKDOWN"}


def test_split_beside_a_card(shell: Shell, chat: Emulator) -> None:
    """A card goes with the first part."""
    card = shell.home / "card.json"
    card.write_text('{"header": {"title": "T"}}')
    assert shell("send", "--card", str(card), "-", stdin=LINES).status == 0
    assert ["cardsV2" in message.body for message in chat.space().messages] == [True, False, False]


@pytest.mark.parametrize("command", ["send", "reply"])
def test_too_many_parts(shell: Shell, chat: Emulator, command: str) -> None:
    """If a text has more parts than `--max-parts`, chatpost exits with 65 and posts nothing."""
    done = shell(command, "-k", "key", "--max-parts", "2", stdin=LINES)
    assert (done.status, chat.received) == (65, [])
    assert "the text needs 3 messages, more than the maximum of 2" in done.err
    assert shell(command, "-k", "key", "--max-parts", "3", stdin=LINES).status == 0


def record(out: str) -> dict[str, Any]:
    return dict(json.loads(out))


def test_a_failure_on_the_way(shell: Shell, chat: Emulator) -> None:
    """If a part fails, stderr and JSON give the number of posted parts, and a second run posts only the rest."""
    chat.faults.extend([Fault(Kind.NONE), *[answering(503)] * 2])
    done = shell("send", "-o", "json", "--retries", "1", "--request-id", "long", stdin=LINES)
    done.expect(75, "Posted 1 of 3 parts, and the next one may have been; to post only the rest", "--request-id long")
    failed = record(done.out)
    assert (failed["parts"], failed["name"]) == ({"posted": 1, "of": 3}, chat.space().messages[0].name)
    assert (failed["requestId"], failed["attempts"], failed["error"]["code"]) == ("long", 3, 503)
    again = shell("send", "-o", "json", "--request-id", "long", stdin=LINES)
    assert again.status == 0
    assert record(again.out)["parts"] == {"posted": 3, "of": 3}
    assert "\n".join(texts(chat)) == LINES.rstrip("\n")


def test_nothing_of_it_is_posted(shell: Shell, chat: Emulator) -> None:
    """If Chat rejects the first part, nothing was posted."""
    chat.faults.append(answering(403))
    done = shell("send", stdin=LINES)
    assert (done.status, done.out) == (77, "")
    assert done.err.endswith("Nothing was posted.\n")


def test_a_part_is_posted_again_after_a_fault(shell: Shell, chat: Emulator) -> None:
    """Each part is retried separately, under its own request ID."""
    chat.faults.extend([Fault(Kind.NONE), Fault(Kind.DROP_AFTER)])
    assert shell("send", stdin=LINES).status == 0
    assert "\n".join(texts(chat)) == LINES.rstrip("\n")


def test_a_dry_run_shows_each_part(shell: Shell, chat: Emulator) -> None:
    """`--dry-run` shows every request."""
    done = shell("send", "--dry-run", "-o", "json", stdin=LINES)
    shown = [json.loads(line) for line in done.out.splitlines()]
    assert (len(shown), chat.received) == (PARTS, [])
    assert "\n".join(each["body"]["text"] for each in shown) == LINES.rstrip("\n")


def test_tail_and_head(shell: Shell, chat: Emulator) -> None:
    """`tail` keeps the end and `head` the beginning, in complete lines, and one line counts the omitted bytes."""
    assert shell("send", "--overflow", "tail", stdin=LINES).status == 0
    assert shell("send", "--overflow", "head", "--code", stdin=LINES).status == 0
    tail, head = texts(chat)
    note, _, kept = tail.partition("\n")
    assert LINES.rstrip("\n").endswith(f"\n{kept}")
    assert note == f"[{len(LINES) - 1 - len(kept):,} bytes omitted before this]"
    *lines, note, _ = head.split("\n")
    kept = "\n".join(lines).removeprefix("```\n")
    assert LINES.startswith(f"{kept}\n")
    assert note == f"[{len(LINES) - 1 - len(kept):,} bytes omitted after this]"
    assert max(len(tail), len(head)) <= 32_000


def test_each_profile_cuts_by_its_own_rule(shell: Shell, chat: Emulator) -> None:
    """Each profile truncates a stdin above 4 MiB by its own rule. If one needs all of it, chatpost posts nothing."""
    rules = {"first": "head", "last": "tail"}
    profiles = "".join(f'[profiles.{n}]\nurl = "{chat.url(n)}"\noverflow = "{rule}"\n' for n, rule in rules.items())
    shell.write_profiles(profiles)
    script = "seq 1000000 | chatpost send -p first -p last"
    assert shell.run("bash", "-c", script).status == 0
    assert chat.space("first").messages[0].text.startswith("1\n2\n3\n")
    assert chat.space("last").messages[0].text.endswith("\n999999\n1000000")
    shell.write_profiles(f'{profiles}[profiles.all]\nurl = "{chat.url("all")}"\n')
    done = shell.run("bash", "-c", f"{script} -p all")
    assert (done.status, len(chat.received)) == (65, 2)


def test_a_card_file_wins_over_the_card_of_a_profile(shell: Shell, chat: Emulator) -> None:
    """`--card` on the command line takes precedence over `title` and `field` in a profile."""
    (shell.home / "card.json").write_text('{"header": {"title": "from the file"}}')
    shell.write_profiles(f'[profiles.card]\nurl = "{chat.url()}"\ntitle = "T"\nfield = ["a=b"]\n')
    assert shell("send", "-p", "card", "--card", "card.json").status == 0
    (message,) = chat.space().messages
    assert message.body["cardsV2"][0]["card"]["header"]["title"] == "from the file"


def test_profiles_of_the_same_space_share_its_time(shell: Shell, chat: Emulator) -> None:
    """Messages for one space share its time. If the deadline is too short for all of them, chatpost posts none."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(token=name)}"\n' for name in "ab"))
    del shell.env["CHATPOST_PACING"]
    text = "word " * 20_000
    done = shell("send", "-p", "a", "-p", "b", "--deadline", "5", stdin=text)
    assert (done.status, chat.received) == (65, [])
    assert "posting 8 messages to this space takes 7.7 s" in done.err


def test_each_profile_makes_its_own_card(shell: Shell, chat: Emulator) -> None:
    """Conflicting options in one profile are an error before chatpost posts to any space."""
    (shell.home / "card.json").write_text('{"header": {"title": "T"}}')
    shell.write_profiles(
        f'[profiles.plain]\nurl = "{chat.url("plain")}"\n[profiles.card]\nurl = "{chat.url("card")}"\ntitle = "T"\n'
        f'[profiles.odd]\nurl = "{chat.url("odd")}"\nsubtitle = "S"\n'
    )
    shell("send", "-p", "plain", "-p", "odd", "x").expect(2, "need a title")
    assert shell("send", "-p", "card", "-p", "plain").status == 65
    assert chat.received == []
    assert shell("send", "-p", "card", "-p", "plain", "--code", "x").status == 0
    assert chat.space("plain").messages[0].text == "```\nx\n```"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8"])
@pytest.mark.parametrize("end", ["tail", "head"])
def test_ends_of_a_long_stdin(shell: Shell, chat: Emulator, encoding: str, end: str) -> None:
    """Both ends of a stdin above 4 MiB are decoded in its encoding, in complete lines."""
    lines = [f"Zeile {number} é \N{PARTY POPPER}" for number in range(300_000)]
    assert shell("send", "--overflow", end, stdin="\n".join(lines).encode(encoding)).status == 0
    kept = [line for line in texts(chat)[0].split("\n") if not line.startswith("[")]
    assert len(kept) > 1000
    assert kept == (lines[-len(kept) :] if end == "tail" else lines[: len(kept)])


def test_a_deadline_for_many_parts(shell: Shell, chat: Emulator) -> None:
    """The default deadline grows with the number of parts.

    If `--deadline` is too short for them, chatpost exits with 65.
    """
    long = "".join(f"line {number}\n" for number in range(40_000))
    argv = ("send", "--pacing", "--interval", "100", "--max-parts", "100")
    done = shell(*argv, "--deadline", "200", stdin=long)
    assert (done.status, chat.received) == (65, [])
    assert "posting 14 messages to this space takes 1300.0 s, longer than the deadline of 200 s" in done.err
    (shell.home / "long").write_text(long)
    with (shell.home / "long").open() as stdin:
        running = shell.start(*argv, "-v", stdin=stdin)
    running.wait_to_say("posted")
    running.wait_to_say("waiting 9")  # longer than the default deadline for one message
    running.signal(signal.SIGKILL)
    running.end().expect(-signal.SIGKILL)


@pytest.mark.parametrize("text", ["x", "é", "\N{PARTY POPPER}", "\x1b[31mé\x1b[0m\r", "\r", "\b\t"])
@pytest.mark.parametrize("end", ["tail", "head", "split"])
def test_the_memory_for_any_stdin(shell: Shell, chat: Emulator, text: str, end: str) -> None:
    """For a stdin of any content and length, chatpost uses at most 64 MiB."""
    (shell.home / "piece").write_bytes((text.encode() * 200_000)[:200_000])
    (shell.home / "measure.py").write_text(MEASURE)
    feed = "cat $(yes piece | head -n 320)"  # 64 MB
    done = shell.run("bash", "-c", f"{feed} | {sys.executable} measure.py chatpost send --overflow {end}")
    used, status = map(int, done.out.split())
    assert used < 64 * 1024 * 1024, f"{used:,}"
    if end == "split":
        assert (status, chat.received) == (65, [])
    elif text.isprintable():
        assert (status, len(chat.received)) == (0, 1)
    else:
        assert status in {0, 65}  # a text of only cursor movements can be blank


MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("end", ["tail", "head"])
def test_the_memory_is_bounded(shell: Shell, chat: Emulator, end: str) -> None:
    """With `tail` and `head`, chatpost reads 100 MB in less memory than that."""
    script = f"head -c 100000000 /dev/zero | tr '\\0' 'x' | (ulimit -d 65536; exec chatpost send --overflow {end})"
    assert shell.run("bash", "-c", script).status == 0
    (text,) = texts(chat)
    note = next(line for line in text.split("\n") if line.startswith("["))
    gone = int(re.sub(r"\D", "", note))
    assert gone + len(text) - len(note) - 1 == 100_000_000


def test_short_text_is_left_alone(shell: Shell, chat: Emulator) -> None:
    """A text within the limit is posted unchanged, with any `--overflow`."""
    for overflow in ("split", "head", "tail", "fail"):
        assert shell("send", "--overflow", overflow, stdin="x" * 32_000).status == 0
    assert set(texts(chat)) == {"x" * 32_000}


def test_a_progress_bar_at_a_terminal(shell: Shell, chat: Emulator) -> None:
    """At a terminal, a progress bar counts the parts, then disappears, and the cursor is visible again."""
    terminal = Terminal()
    shell.env |= {"TERM": "xterm", "COLUMNS": "80"}
    running = shell.start("send", stderr=terminal.theirs)
    running.write(LINES.encode())
    assert (running.end().status, len(texts(chat))) == (0, PARTS)
    drawn = terminal.close()
    assert "3/3" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
