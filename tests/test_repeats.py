from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.compose import with_note
from chatpost.database import JsonTable
from chatpost.emulator.faults import Fault, Kind
from chatpost.redis_client import RedisClient
from chatpost.repeats.model import LEASE, Repeats, RepeatStore
from chatpost.repeats.redis import RedisRepeats
from chatpost.repeats.sqlite import SqliteRepeats
from tests.conftest import answering, body_of, texts, wait_for_requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import Finished, InProcess, Shell
    from tests.redis_servers import RedisProcess

NOW = 1000.0
POSTED = Repeats(NOW, 3)
CLAIMED = Repeats(NOW, 3, "a", NOW + 9)


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (Repeats(), NOW, Repeats(0.0, 0, "b", NOW + LEASE)),
        (POSTED, NOW + 99, Repeats(NOW, 4)),
        (POSTED, NOW + 100, Repeats(NOW, 3, "b", NOW + 100 + LEASE)),
        (POSTED, NOW - 1, Repeats(NOW, 4)),
        (POSTED, NOW - 100, Repeats(NOW, 3, "b", NOW - 100 + LEASE)),
        (CLAIMED, NOW + 8, CLAIMED),
        (CLAIMED, NOW + 100, Repeats(NOW, 3, "b", NOW + 100 + LEASE)),
        (CLAIMED, NOW - 100, Repeats(NOW, 3, "b", NOW - 100 + LEASE)),
    ],
    ids=["never posted", "recent", "old", "just now", "in the future", "claimed", "by a dead one", "an endless claim"],
)
def test_adding_a_message(before: Repeats, now: float, after: Repeats) -> None:
    """A recent message is counted, any other is claimed, and during a claim nothing changes."""
    assert before.add(now, 100, "b") == after


@pytest.mark.parametrize(
    ("claim", "is_posted", "after"),
    [
        ("a", True, Repeats(NOW + 9)),
        ("a", False, Repeats(NOW, 3)),
        ("b", True, CLAIMED._replace(posted_at=NOW + 9)),
        ("b", False, CLAIMED),
    ],
)
def test_ending_a_claim(claim: str, after: Repeats, *, is_posted: bool) -> None:
    """A message that was posted starts a new count; one that failed changes nothing; a late end keeps the new claim."""
    assert CLAIMED.end(NOW + 9, claim, is_posted=is_posted) == after


def test_renewing_a_claim() -> None:
    """A claim is extended by its own delivery only."""
    assert CLAIMED.renew(NOW + 5, "a") == CLAIMED._replace(claimed_until=NOW + 5 + LEASE)
    assert CLAIMED.renew(NOW + 5, "b") == CLAIMED


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, [], [1, 2, 3], ["x", 0, "", 0.0], [float("nan"), 0, "", 0.0], [0.0, -1, "", 0.0]),
        *([0.0, 10**12, "", 0.0], [True, True, "", True], [0, 5, "", 0]),
    ],
)
def test_a_value_of_others(value: object) -> None:
    """A value that chatpost did not write counts as if the message had never been posted."""
    assert Repeats.parse(value) == Repeats()


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, redis: RedisProcess) -> Callable[[], RepeatStore]:
    """Return a function that opens a store."""
    if request.param == "redis":
        return lambda: RedisRepeats(RedisClient(redis.url, 30))
    return lambda: SqliteRepeats(tmp_path / "repeats.sqlite3")


def test_a_thousand_at_once(open_store: Callable[[], RepeatStore]) -> None:
    """Of 1,000 messages added concurrently, one is claimed; after it is posted, the other 999 are counted."""

    def add(store: RepeatStore, number: int) -> str:
        while True:
            before, after, _ = store.change("k", partial(Repeats.add, seconds=60, claim=str(number)))
            if after.claim == str(number):
                store.change("k", partial(Repeats.end, claim=str(number), is_posted=True))
                return "posted"
            if not before.claim:
                return "counted"

    def add_some(worker: int) -> list[str]:
        store = open_store()
        return [add(store, worker * 250 + number) for number in range(250)]

    with ThreadPoolExecutor(4) as pool:
        outcomes = [outcome for its in pool.map(add_some, range(4)) for outcome in its]
    assert (outcomes.count("posted"), outcomes.count("counted")) == (1, 999)
    assert open_store().change("k", lambda repeats, _: repeats)[0].number == 999


def test_the_file_is_bounded(tmp_path: Path) -> None:
    """Above the limit, the values that have not changed for the longest time are deleted."""
    table = JsonTable(tmp_path / "t.sqlite3", "t", 10.0, most_rows=3)
    for key in ("a", "b", "c", "a", "d"):
        table.change(key, lambda value: (value or 0) + 1)
    found: list[object] = []
    for key in ("b", "c", "a", "d"):
        JsonTable(tmp_path / "t.sqlite3", "t", 10.0).change(key, found.append)
    assert found == [None, 1, 2, 1]


def once(shell: Shell, *argv: str, per: str = "1h") -> Finished:
    return shell("send", "--once-per", per, *argv)


def test_a_repeat(chatpost: InProcess, chat: Emulator) -> None:
    """A repeat is not posted: status 0, no output, or `"suppressed": true` in JSON, and a line with `-v`."""
    assert once(chatpost, "disk full").out.startswith("spaces/")
    assert once(chatpost, "disk full") == (0, "", "")
    record = json.loads(once(chatpost, "-o", "json", "disk full").out)
    assert (record["suppressed"], record["name"], record["error"]) == (True, None, None)
    once(chatpost, "-v", "disk full").expect(
        0, "suppressed: this message was already posted at ", " (3 repeats since then)"
    )
    assert texts(chat) == ["disk full"]
    name = once(chatpost, "-o", "json", "disk full", per="0.001s").out
    assert json.loads(name)["suppressed"] is False
    assert texts(chat)[1].startswith("disk full (3 repeats since ")


@pytest.mark.parametrize(
    "argv",
    [
        ["other"],
        ["-k", "key", "hi"],
        ["--title", "T", "hi"],
        ["--mention", "all", "hi"],
        ["--code", "hi"],
        ["--once-key", "k", "hi"],
    ],
)
def test_no_repeat(chatpost: InProcess, chat: Emulator, argv: list[str]) -> None:
    """A different text, thread, card, mention, format or key makes another message."""
    for its in (["hi"], argv, ["hi"], argv):
        assert once(chatpost, *its).status == 0
    assert len(texts(chat)) == 2


def test_other_spaces(chatpost: InProcess, chat: Emulator) -> None:
    """Each space has its own repeats."""
    profiles = "".join(f'[profiles.{name}]\nurl = "{chat.url(space=name)}"\n' for name in ("a", "b"))
    chatpost.write_profiles(profiles + 'once_per = "1h"\n')
    for names in (["-p", "a"], ["-p", "a", "-p", "b"], ["-p", "b"]):
        assert chatpost("send", *names, "hi").status == 0
    assert (texts(chat, "a"), texts(chat, "b")) == (["hi", "hi"], ["hi"])


def test_a_key(chatpost: InProcess, chat: Emulator) -> None:
    """`--once-key` makes repeats of different texts. It needs `--once-per`, which a profile can set."""
    for number in range(3):
        assert once(chatpost, "--once-key", "disk", f"{number} % free").status == 0
    assert once(chatpost, "--once-key", "disk", "now", per="0.001s").status == 0
    first, second = texts(chat)
    assert first == "0 % free"
    assert second.startswith("now (2 repeats since ")
    chatpost("send", "--once-key", "disk", "hi").expect(2, "--once-key requires --once-per")


def test_reply_and_thread(chatpost: InProcess, chat: Emulator) -> None:
    """`reply` has the option; `thread` and `run` do not."""
    for _ in range(2):
        assert chatpost("reply", "-k", "k", "--once-per", "1h", "hi").status == 0
    assert texts(chat) == ["hi"]
    chatpost("thread", "--once-per", "1h", "hi").expect(2, "No such option '--once-per'")


def test_a_failure_is_no_repeat(chatpost: InProcess, chat: Emulator) -> None:
    """If posting fails, the next message is posted, with the count of the earlier repeats."""
    for _ in range(2):
        assert once(chatpost, "hi").status == 0
    chat.faults += [answering(403), answering(403)]
    for _ in range(2):
        once(chatpost, "hi", per="0.001s").expect(77)
    assert once(chatpost, "hi", per="0.001s").status == 0
    assert texts(chat)[1].startswith("hi (1 repeat since ")


def test_a_stored_message(chatpost: InProcess, chat: Emulator) -> None:
    """A message in the outbox counts as posted."""
    chat.faults += [answering(503)]
    once(chatpost, "--spool", "--retries", "0", "hi").expect(0, "stored in the outbox")
    assert once(chatpost, "--spool", "hi") == (0, "", "")
    assert once(chatpost, "--spool-only", "hi") == (0, "", "")
    assert chatpost("outbox", "flush").status == 0
    assert texts(chat) == ["hi"]


def test_many_processes(shell: Shell, chat: Emulator) -> None:
    """Of many commands at once, one posts the message, and the others are counted and wait for its outcome."""
    chat.faults += [Fault(Kind.DELAY, seconds=0.3)]
    running = [shell.start("send", "--once-per", "1h", "hi") for _ in range(12)]
    ended = [each.end() for each in running]
    assert [each.status for each in ended] == [0] * 12
    assert sum(each.out != "" for each in ended) == len(texts(chat)) == 1
    once(shell, "-v", "hi").expect(0, "(12 repeats since then)")


def test_repeats_wait_for_the_outcome(shell: Shell, chat: Emulator) -> None:
    """While a message is being posted, a repeat waits. If it fails, the repeat is posted."""
    first_answer = Fault(Kind.DELAY, seconds=30)
    chat.faults += [first_answer]
    first = shell.start("send", "--once-per", "1h", "--timeout", "1", "--retries", "0", "hi")
    wait_for_requests(chat)
    second = shell.start("send", "--once-per", "1h", "hi")
    first.end().expect(75)
    assert second.end().status == 0
    assert len(chat.received) == 2


def test_a_repeat_with_a_short_deadline(shell: Shell, chat: Emulator) -> None:
    """A repeat whose deadline ends while the message is being posted fails: it may never be posted."""
    chat.faults += [Fault(Kind.DELAY, seconds=30)]
    first = shell.start("send", "--once-per", "1h", "hi")
    wait_for_requests(chat)
    second = once(shell, "--deadline", "0.5s", "hi")
    second.expect(
        75, "another process is still posting this message, and the deadline has passed", "Nothing was posted."
    )
    first.signal(signal.SIGKILL)
    first.end()


def test_a_killed_process(shell: Shell, chat: Emulator) -> None:
    """If a process is killed while it posts the message, a repeat posts it after some seconds."""
    chat.faults += [Fault(Kind.DELAY, seconds=30)]
    first = shell.start("send", "--once-per", "1h", "--deadline", "1d", "hi")
    wait_for_requests(chat)
    first.signal(signal.SIGKILL)
    first.end()
    assert once(shell, "hi").status == 0


def test_a_repeat_for_the_outbox(shell: Shell, chat: Emulator) -> None:
    """A repeat whose deadline ends goes to the outbox if it may: it may never be posted otherwise."""
    chat.faults += [Fault(Kind.DELAY, seconds=30)]
    first = shell.start("send", "--once-per", "1h", "hi")
    wait_for_requests(chat)
    assert once(shell, "--spool-only", "--deadline", "0.5s", "hi").status == 0
    first.signal(signal.SIGKILL)
    first.end()
    assert len(shell("outbox", "list", "-o", "json").out.splitlines()) == 1


def test_an_interrupted_message_in_the_outbox(shell: Shell, chat: Emulator) -> None:
    """A message that an interrupted command left in the outbox counts as posted."""
    chat.faults += [Fault(Kind.DELAY, seconds=30)]
    first = shell.start("send", "--spool", "--once-per", "1h", "hi")
    wait_for_requests(chat)
    first.signal(signal.SIGTERM)
    first.end()
    assert once(shell, "hi") == (0, "", "")


def test_an_interrupted_message(shell: Shell, chat: Emulator) -> None:
    """An interrupted command gives up its claim, so that the next one does not wait for it."""
    chat.faults += [Fault(Kind.DELAY, seconds=30)]
    first = shell.start("send", "--once-per", "1h", "hi")
    wait_for_requests(chat)
    first.signal(signal.SIGTERM)
    assert first.end().status == -signal.SIGTERM
    assert once(shell, "--deadline", "2s", "hi").status == 0


def test_a_full_message(chatpost: InProcess, chat: Emulator) -> None:
    """If the message has no room for the note, the note is posted as a reply to it."""
    text = "x" * SIZE_LIMIT
    for per in ("1h", "1h", "0.001s"):
        assert once(chatpost, text, per=per).status == 0
    first, second, note = chat.space().messages
    assert (first.text, second.text) == (text, text)
    assert note.text.startswith("(1 repeat since ")
    assert note.thread_name == second.thread_name


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message("a"), "a (note)"),
        (Message("a\nb"), "a\nb\n(note)"),
        (Message("```\na\n```"), "```\na\n```\n(note)"),
        (Message("a\nb", is_markdown=True), "a\nb\n\n(note)"),
        (Message("", cards=({},), fallback_text="OK: Backup"), "OK: Backup (note)"),
        (Message("", cards=({},)), "(note)"),
    ],
)
def test_the_note(message: Message, text: str) -> None:
    """The note ends a text of one line, and is below any other. A card has it beside its fallback text."""
    assert with_note(message, "(note)").text == text


def test_a_card(chatpost: InProcess, chat: Emulator) -> None:
    """Repeats of a card are counted, and its notification says so."""
    for per in ("1h", "1h", "0.001s"):
        assert once(chatpost, "--title", "Backup", "--status", "fail", "late", per=per).status == 0
    assert body_of(chat)["text"].startswith("Failed: Backup: late (1 repeat since ")
    assert len(texts(chat)) == 2


def test_without_a_store(chatpost: InProcess, chat: Emulator) -> None:
    """If repeats cannot be counted, every message is posted, with a warning. A damaged file starts over."""
    file = chatpost.home / "state" / "chatpost" / "repeats.sqlite3"
    file.parent.mkdir(parents=True)
    file.parent.chmod(0o777)
    for _ in range(2):
        once(chatpost, "hi").expect(0, "repeats are not suppressed: ", "other users can write to")
    file.parent.chmod(0o700)
    file.write_text("not a database, but some text " * 100)
    for _ in range(2):
        assert once(chatpost, "hi").status == 0
    assert len(texts(chat)) == 3


def test_in_a_fleet(chatpost: InProcess, chat: Emulator, redis: RedisProcess) -> None:
    """With the outbox in Redis, the repeats are there, too. If Redis is away, the message is posted, with a warning."""
    chatpost.env |= {"CHATPOST_REDIS_URL": redis.url, "CHATPOST_OUTBOX": "redis"}
    for home in ("one", "two"):
        chatpost.env["XDG_STATE_HOME"] = str(chatpost.home / home)
        assert once(chatpost, "hi").status == 0
    assert texts(chat) == ["hi"]
    (key,) = redis.call("KEYS", "chatpost:repeats:*")
    assert redis.call("TTL", key) > 0
    chatpost.env["CHATPOST_REDIS_URL"] = f"unix://{chatpost.home}/nothing"
    once(chatpost, "hi").expect(0, "repeats are not suppressed: ")
    assert texts(chat) == ["hi", "hi"]


def test_an_invalid_value_in_redis(chatpost: InProcess, redis: RedisProcess) -> None:
    """A value that others wrote to Redis suppresses no message."""
    chatpost.env |= {"CHATPOST_REDIS_URL": redis.url, "CHATPOST_OUTBOX": "redis"}
    assert once(chatpost, "hi").status == 0
    (key,) = redis.call("KEYS", "chatpost:repeats:*")
    for value in ("\x00", "[" * 10_000, '[1e400, 0, "", 0]', '[9e10, 1, "x", 9e10]'):
        redis.call("SET", key, value)
        assert once(chatpost, "hi").out
    redis.call("DEL", key)
    redis.call("LPUSH", key, "x")
    once(chatpost, "hi").expect(0, "repeats are not suppressed: ", "another program uses keys")
