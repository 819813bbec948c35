"""Attackers: those who can write to a fleet's Redis or to the state directory, and a server that answers anything."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from chatpost.outbox import redis as outbox
from tests.conftest import Shell, texts
from tests.servers import answering_redis, raw_server, url_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess
    from tests.redis_servers import RedisProcess


@pytest.fixture
def fleet(chatpost: InProcess, redis: RedisProcess) -> InProcess:
    """Return the command on a machine whose outbox is in Redis."""
    chatpost.env |= {"CHATPOST_REDIS_URL": redis.url, "CHATPOST_OUTBOX": "redis"}
    return chatpost


class Rows:
    """The rows of the outbox in Redis, which an attacker changes. The first one is a real message's."""

    def __init__(self, redis: RedisProcess, chat: Emulator) -> None:
        self._redis: Any = redis
        self._index = outbox._index(f"{chat.page.rstrip('/')}/spaces/AAAA")  # noqa: SLF001 - as an attacker knows it
        self.row: list[Any] = json.loads(redis.call("HGET", self._index, "1"))
        self._content = redis.call("HGET", self._key("content", "1"), "spooled")

    def _key(self, *parts: str) -> str:
        return f"chatpost:{{outbox}}:{':'.join(parts)}"

    def put(self, number: int | str, row: str | bytes, content: str | bytes | None = None) -> None:
        self._redis.call("HSET", self._index, str(number), row)
        self._redis.call("HSET", self._key("content", str(number)), "spooled", content or self._content)

    def add_to_set(self, name: str, member: bytes) -> None:
        self._redis.call("SADD", self._key(name), member)

    def changed(self, value: object, *path: int) -> str:
        """Return the real row with another value at a path."""
        row = json.loads(json.dumps(self.row))
        place = row
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return json.dumps(row)


ROWS: dict[str, Callable[[Rows], str | bytes]] = {
    "written is nan": lambda rows: rows.changed(float("nan"), 0, 1),
    "written is in the year 10^292": lambda rows: rows.changed(1e300, 0, 1),
    "written is before 1970": lambda rows: rows.changed(-5, 0, 1),
    "expires at infinity": lambda rows: rows.changed(float("inf"), 3, 1),
    "the interval is huge": lambda rows: rows.changed(1e308, 3, 0),
    "attempts is a word": lambda rows: rows.changed("x", 4, 1),
    "attempts is huge": lambda rows: rows.changed(10**300, 4, 1),
    "the size is a word": lambda rows: rows.changed("x", 6),
    "not UTF-8": lambda _: b"\xff\xfe",
    "deeply nested": lambda _: "[" * 100_000,
    "an object": lambda _: "{}",
    "null": lambda _: "null",
    "half of a surrogate pair": lambda rows: rows.changed("\ud800", 5),
    "an interval of a million days": lambda rows: rows.changed(1e11, 3, 0),
    "an infinite number": lambda _: "[1e999]",
    "another space": lambda rows: rows.changed("https://chat.googleapis.com/spaces/EVIL", 1, 3),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row(fleet: InProcess, redis: RedisProcess, chat: Emulator, name: str) -> None:
    """A row of another form is listed as damaged and can be deleted; the messages behind it are posted."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    rows.put(2, ROWS[name](rows))
    redis.call("HSET", "chatpost:{outbox}:totals", "last", "2")
    assert fleet("send", "-q", "--spool-only", "behind").status == 0
    listed = fleet("outbox", "list").expect(0).out.splitlines()
    assert [line.split("\t")[2] for line in listed] == ["pending", "damaged", "pending"]
    assert fleet("outbox", "flush").status == 0
    assert texts(chat) == ["first", "behind"]
    assert fleet("outbox", "delete", "2").status == 0
    assert fleet("outbox", "list").out == ""


CONTENTS = ["[" * 100_000, b"\xff", '["a"]', "null", "{}", '[["\\ud800",false,[],null,[]],"r",null,null,false]']
CONTENTS += [
    f'[["t",false,[{"[" * 950}{"]" * 950}],null,[]],"r",null,null,false]',
    '[["t",false,[],{},[]],"r",null,null,false]',
]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_content(fleet: InProcess, redis: RedisProcess, chat: Emulator, content: str | bytes) -> None:
    """A message whose content has another form is set aside, and those behind it are posted."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    rows.put(2, json.dumps(rows.row), content)
    redis.call("HSET", "chatpost:{outbox}:totals", "last", "2")
    assert fleet("send", "-q", "--spool-only", "behind").status == 0
    assert fleet("outbox", "flush").status == 0
    assert texts(chat) == ["first", "behind"]
    assert "it is damaged: delete it with `chatpost outbox delete 2`" in fleet("outbox", "list").out


def test_junk_beside_the_rows(fleet: InProcess, redis: RedisProcess, chat: Emulator) -> None:
    """Junk in ids, spaces, totals and marks does not stop the outbox."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    for number in ("abc", "-5", "1e3", "9" * 40, "07", "123456789012345678"):
        rows.put(number, "junk")
    rows.add_to_set("spaces", b"\xff\xff")
    redis.call("HSET", "chatpost:{outbox}:totals", "count", "x", "bytes", "nan")
    redis.call("SET", "chatpost:{outbox}:flushed", "soon")
    redis.call("SET", outbox._lock(f"{chat.page.rstrip('/')}/spaces/AAAA"), "nobody")  # noqa: SLF001 - without an end
    assert fleet("outbox", "list").expect(0).out.count("\n") == 1
    assert fleet("send", "-q", "--spool-only", "second").status == 0
    assert fleet("outbox", "flush").status == 0
    assert texts(chat) == ["first", "second"]


def test_an_unknown_profile_holds_up_no_others(fleet: InProcess, redis: RedisProcess, chat: Emulator) -> None:
    """A row that names an unknown profile stays pending, and messages behind it, for the same webhook, are posted."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    rows.put(2, rows.changed("../nope", 1, 0))
    redis.call("HSET", "chatpost:{outbox}:totals", "last", "2")
    assert fleet("send", "-q", "--spool-only", "behind").status == 0
    assert fleet("outbox", "flush").status == 75
    assert texts(chat) == ["first", "behind"]


def test_digests_in_a_circle(fleet: InProcess, redis: RedisProcess, chat: Emulator) -> None:
    """Rows that refer to each other as the first of their digest are posted, and do not stay for ever."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    for number, other in ((2, 3), (3, 2)):
        rows.put(number, rows.changed(other, 4, 4))
    redis.call("HSET", "chatpost:{outbox}:totals", "last", "3")
    assert fleet("outbox", "flush").status == 0
    assert fleet("outbox", "list").out == ""
    assert texts(chat) == ["first"]  # the copies have its request ID


def test_a_row_names_no_file(fleet: InProcess, redis: RedisProcess, chat: Emulator, tmp_path: Path) -> None:
    """A path in a row is ignored, so that nothing in a profile file that the attacker chose is run."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    trap = tmp_path / "trap.toml"
    trap.write_text(f'[profiles.x]\nurl = {{ command = ["touch", "{tmp_path}/run"] }}\n')
    trap.chmod(0o600)
    rows = Rows(redis, chat)
    row = json.loads(rows.changed("x", 1, 0))
    row[1][1] = str(trap)
    rows.put(2, json.dumps(row))
    assert fleet("outbox", "flush").status == 75
    assert not (tmp_path / "run").exists()
    assert fleet("send", "-q", "--spool-only", "--config", str(trap), "x").status == 0
    assert str(trap) not in str(redis.call("HVALS", rows._index))  # noqa: SLF001 - see above


def test_text_that_turns_the_terminal(fleet: InProcess, redis: RedisProcess, chat: Emulator) -> None:
    """Characters that change the direction of text reach neither the terminal nor a log."""
    assert fleet("send", "-q", "--spool-only", "first").status == 0
    rows = Rows(redis, chat)
    rows.put(2, rows.changed("\u202eevil\u2066\u200f", 5))
    listed = fleet("outbox", "list").out
    assert "evil" in listed
    assert not {"\u202e", "\u2066", "\u200f"} & set(listed)


ANSWERS = [b"$2000000000\r\n" + b"x" * 4096, b"*1000000000\r\n", b"+OK\r\n", b":5\r\n", b"*0\r\n", b"$-1\r\n"]


@pytest.mark.parametrize("answer", [*ANSWERS, b"*1\r\n$3\r\nnan\r\n"])
def test_an_answer_of_another_form(shell: Shell, chat: Emulator, answer: bytes) -> None:
    """An answer of an unexpected form or size means that Redis cannot be used: the message is posted all the same."""
    with answering_redis(answer) as url:
        shell.env |= {"CHATPOST_REDIS_URL": url, "CHATPOST_OUTBOX": "redis", "CHATPOST_PACING": "1"}
        done = shell("send", "--spool", "hello")
        assert (done.status, texts(chat)) == (0, ["hello"])
        assert "posting without the outbox: " in done.err
        assert shell("outbox", "list").status in {0, 75}
        assert shell("outbox", "flush").status in {0, 75}


def test_a_compressed_answer(shell: Shell) -> None:
    """A compressed answer, which chatpost does not ask for, is not unpacked."""
    # Gzip files in a row are one gzip file, here of 3 GB.
    bomb = gzip.compress(gzip.compress(b"{}" + b" " * 1_000_000) + gzip.compress(b" " * 1_000_000) * 3000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with raw_server(lambda connection: connection.sendall(head + bomb)) as (port, _):
        shell.env["CHATPOST_URL"] = url_on(port)
        script = 'ulimit -v 1000000; exec chatpost send --retries 0 "$@"'
        done = shell.run("sh", "-c", script, "sh", "hello")
    done.expect(76, "Chat returned 200, but the response contains no message name")


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_state_directory_that_others_can_write(shell: Shell, chat: Emulator, mode: int) -> None:
    """A state directory that other users can write to is not used: messages are posted without pacing and outbox."""
    place = shell.home / "shared"
    place.mkdir()
    place.chmod(mode)
    shell.env |= {"XDG_STATE_HOME": str(place), "CHATPOST_PACING": "1"}
    target = shell.home / "precious"
    target.write_text("precious")
    target.chmod(0o644)
    (place / "chatpost").mkdir()
    (place / "chatpost" / "pacing.sqlite3").symlink_to(target)
    done = shell("send", "hello").expect(0, f"messages are not paced: other users can write to {place}")
    assert len(done.err.splitlines()) == 1
    shell("send", "--spool-only", "hello").expect(75, f"other users can write to {place}")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("precious", 0o644)
    assert texts(chat) == ["hello"]


def test_a_link_in_the_state_directory(shell: Shell, chat: Emulator) -> None:
    """A state file that is a link is not opened: it could lead to another user's file."""
    shell.env["CHATPOST_PACING"] = "1"
    target = shell.home / "precious"
    target.write_text("")
    target.chmod(0o644)
    state = shell.home / "state" / "chatpost"
    state.mkdir(parents=True)
    (state / "pacing.sqlite3").symlink_to(target)
    shell("send", "hello").expect(0, "the path contains a symbolic link that cannot be followed")
    assert (texts(chat), stat.S_IMODE(target.stat().st_mode), target.read_text()) == (["hello"], 0o644, "")


def test_a_job_does_not_wait_for_cleaning(shell: Shell) -> None:
    """A line that takes long to clean does not hold up the output of a job that is followed."""
    line = b"\x1b[1Kx\r" * 200_000
    command = ["chatpost", "run", "-q", "--follow", "--", "sh", "-c", "cat; echo after >&2; cat /dev/null"]
    running = subprocess.Popen(command, env=shell.env, cwd=shell.home, stdin=-1, stdout=-1, stderr=-1)
    out, err = running.communicate(line + b"\n", timeout=60)
    assert (running.returncode, out, b"after" in err, os.WIFEXITED(running.returncode)) == (0, line + b"\n", True, True)
