"""Text beyond 32,000 bytes, through the installed command."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from chatpost.emulator.faults import Fault, Kind, answering

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import Shell

LINES = "".join(f"line {number}\n" for number in range(8000))
PARTS = 3
"""How many messages the lines make."""


def texts(chat: Emulator) -> list[str]:
    return [message.text for message in chat.space().messages]


def test_split(shell: Shell, chat: Emulator) -> None:
    """A long text is posted in parts, the first and its replies, in order; the first's name is printed."""
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
    """The parts of a reply are all in its thread; an id of one's own is the first's."""
    assert shell("thread", "-k", "key", "opened").status == 0
    assert shell("reply", "-k", "key", "--message-id", "client-mine", stdin=LINES).status == 0
    (thread,) = chat.space().threads().values()
    assert len(thread) == 1 + PARTS
    assert [received.query.get("messageId") for received in chat.received] == [None, "client-mine", None, None]


def test_every_part_is_told_as_it_was_sent(shell: Shell, chat: Emulator) -> None:
    """--verbose shows of each part the parameters that went out with it."""
    done = shell("send", "-v", "--message-id", "client-mine", stdin=LINES)
    shown = [
        dict(parse_qsl(re.findall(r"POST \S+\?(\S+):", line)[0])) for line in done.err.splitlines() if "attempt" in line
    ]
    assert shown == [received.query | {"key": "***", "token": "***"} for received in chat.received]
    assert [parameters.get("messageId") for parameters in shown] == ["client-mine", None, None]


def test_split_code(shell: Shell, chat: Emulator) -> None:
    """Code has a fence of its own in each part."""
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
    """More parts than --max-parts is 65 before anything is posted."""
    done = shell(command, "-k", "key", "--max-parts", "2", stdin=LINES)
    assert (done.status, chat.received) == (65, [])
    assert "the text makes 3 messages, and at most 2 are allowed" in done.err
    assert shell(command, "-k", "key", "--max-parts", "3", stdin=LINES).status == 0


def record(out: str) -> dict[str, Any]:
    return dict(json.loads(out))


def test_a_failure_on_the_way(shell: Shell, chat: Emulator) -> None:
    """If a part fails, stderr and JSON say how many are posted, and a second run posts only the rest."""
    chat.faults.extend([Fault(Kind.NONE), *[answering(503)] * 2])
    done = shell("send", "-o", "json", "--retries", "1", "--request-id", "long", stdin=LINES)
    assert done.status == 75
    assert "1 of 3 parts are posted, and the next may be; to post only the rest" in done.err
    assert "--request-id long" in done.err
    failed = record(done.out)
    assert (failed["parts"], failed["name"]) == ({"posted": 1, "of": 3}, chat.space().messages[0].name)
    assert (failed["requestId"], failed["attempts"], failed["error"]["code"]) == ("long", 3, 503)
    again = shell("send", "-o", "json", "--request-id", "long", stdin=LINES)
    assert again.status == 0
    assert record(again.out)["parts"] == {"posted": 3, "of": 3}
    assert "\n".join(texts(chat)) == LINES.rstrip("\n")


def test_nothing_of_it_is_posted(shell: Shell, chat: Emulator) -> None:
    """If the first part is refused, nothing was posted."""
    chat.faults.append(answering(403))
    done = shell("send", stdin=LINES)
    assert (done.status, done.out) == (77, "")
    assert done.err.endswith("Nothing was posted.\n")


def test_a_part_is_posted_again_after_a_fault(shell: Shell, chat: Emulator) -> None:
    """Each part is retried by itself, under its own id."""
    chat.faults.extend([Fault(Kind.NONE), Fault(Kind.DROP_AFTER)])
    assert shell("send", stdin=LINES).status == 0
    assert "\n".join(texts(chat)) == LINES.rstrip("\n")


def test_a_dry_run_shows_each_part(shell: Shell, chat: Emulator) -> None:
    """--dry-run shows every request."""
    done = shell("send", "--dry-run", "-o", "json", stdin=LINES)
    shown = [json.loads(line) for line in done.out.splitlines()]
    assert (len(shown), chat.received) == (PARTS, [])
    assert "\n".join(each["body"]["text"] for each in shown) == LINES.rstrip("\n")


def test_tail_and_head(shell: Shell, chat: Emulator) -> None:
    """Tail keeps the end and head the beginning, in whole lines, with a line that says how much is left out."""
    assert shell("send", "--overflow", "tail", stdin=LINES).status == 0
    assert shell("send", "--overflow", "head", "--code", stdin=LINES).status == 0
    tail, head = texts(chat)
    note, _, kept = tail.partition("\n")
    assert LINES.rstrip("\n").endswith(f"\n{kept}")
    assert note == f"[{len(LINES) - 1 - len(kept):,} bytes before this are left out]"
    *lines, note, _ = head.split("\n")
    kept = "\n".join(lines).removeprefix("```\n")
    assert LINES.startswith(f"{kept}\n")
    assert note == f"[{len(LINES) - 1 - len(kept):,} bytes more are left out]"
    assert max(len(tail), len(head)) <= 32_000


@pytest.mark.parametrize("end", ["tail", "head"])
def test_the_memory_is_bounded(shell: Shell, chat: Emulator, end: str) -> None:
    """With tail and head, 100 MB are read in a memory that cannot hold them."""
    script = f"head -c 100000000 /dev/zero | tr '\\0' 'x' | (ulimit -d 65536; exec chatpost send --overflow {end})"
    assert shell.run("bash", "-c", script).status == 0
    (text,) = texts(chat)
    note = next(line for line in text.split("\n") if line.startswith("["))
    gone = int(re.sub(r"\D", "", note))
    assert gone + len(text) - len(note) - 1 == 100_000_000


def test_short_text_is_left_alone(shell: Shell, chat: Emulator) -> None:
    """A text that fits is posted as it is, whatever --overflow says."""
    for overflow in ("split", "head", "tail", "fail"):
        assert shell("send", "--overflow", overflow, stdin="x" * 32_000).status == 0
    assert set(texts(chat)) == {"x" * 32_000}


def test_a_progress_bar_at_a_terminal(shell: Shell, chat: Emulator) -> None:
    """At a terminal a bar counts the parts, and is gone at the end, with the cursor shown again."""
    ours, theirs = pty.openpty()
    env = {**shell.env, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        ["chatpost", "send"], env=env, input=LINES.encode(), stdout=subprocess.PIPE, stderr=theirs, check=False
    )
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert (done.returncode, len(texts(chat))) == (0, PARTS)
    assert "3/3" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
