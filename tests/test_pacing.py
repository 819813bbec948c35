"""A space's queue: first come, first served, one request a second, and nobody waits for a sender that is gone."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.delivery.pacing import LEASE, LONGEST_PUSH, LONGEST_SLEEP, SHORTEST_SLEEP, Place
from chatpost.delivery.sqlite_store import SqliteStore, SqliteTurn, boot_id
from chatpost.errors import SpaceBusy

if TYPE_CHECKING:
    from pathlib import Path

SPACE = "https://chat.googleapis.com/spaces/AAAA"
NOW = Place(0, 0)


class Machine:
    """A machine with a clock that only a test moves, and a state directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1000.0
        self.boot = "a boot"
        self.warnings: list[str] = []
        self.stores: list[SqliteStore] = []

    def wait(self, seconds: float) -> None:
        """Let time pass, and a microsecond more, so that rounding does not matter."""
        self.now += seconds + 1e-6

    def process(self, space: str = SPACE, interval: float = 1.1) -> SqliteTurn:
        """Return a place in the queue for a process of its own."""
        self.stores.append(SqliteStore(self.path, lambda: self.now, self.boot, self.warnings.append))
        return self.stores[-1].turn(space, interval)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "pacing.sqlite3")


def ask(turn: SqliteTurn, within: float = 60) -> Place:
    return Place(*(round(seconds, 3) for seconds in turn.ask(within)))


def post(turn: SqliteTurn) -> None:
    """Use a turn that has come."""
    assert ask(turn) == NOW
    turn.sent()


def test_first_come_first_served(machine: Machine) -> None:
    """Senders get their turns in the order in which they asked, an interval apart, and know when."""
    first, second, third = (machine.process() for _ in range(3))
    post(first)
    assert ask(second).turn_in == 1.05
    assert ask(third).turn_in == 2.15
    machine.wait(1.05)
    assert ask(third).turn_in == 1.1
    post(second)
    machine.wait(1.05)
    post(third)


def test_a_free_space_is_not_waited_for(machine: Machine) -> None:
    """A space that nobody has posted to for an interval is free at once."""
    post(machine.process())
    machine.wait(1.05)
    post(machine.process())


def test_a_waiting_sender_asks_often(machine: Machine) -> None:
    """A sender sleeps until its turn, but asks again after two seconds at the latest."""
    post(machine.process())
    sleeps = [ask(machine.process()).sleep for _ in range(4)]
    assert sleeps == [1.05, LONGEST_SLEEP, LONGEST_SLEEP, LONGEST_SLEEP]


def test_spaces_do_not_share(machine: Machine) -> None:
    """Each space has a queue of its own; each sender has its own interval."""
    post(machine.process())
    post(machine.process("https://chat.googleapis.com/spaces/BBBB"))
    assert ask(machine.process()).turn_in == 1.05
    assert ask(machine.process(interval=5)).turn_in == 6.05


def test_a_long_interval_is_the_senders_own(machine: Machine) -> None:
    """A sender with a long interval waits that long for others, but does not make others wait that long."""
    post(machine.process(interval=3600))
    assert ask(machine.process(interval=3600), within=1e9).turn_in == 3599.95
    machine.stores[-1].leave()
    machine.wait(1.05)
    post(machine.process())


def test_a_turn_that_is_too_late(machine: Machine) -> None:
    """A turn after the deadline is refused with its time, and takes no place."""
    post(machine.process())
    late = machine.process()
    with pytest.raises(SpaceBusy) as busy:
        ask(late, within=1)
    assert str(busy.value) == "the space is busy for another 1.1 s"
    assert ask(machine.process()).turn_in == 1.05


def test_a_sender_that_leaves(machine: Machine) -> None:
    """A sender that is cancelled gives its place up at once: those behind it move up."""
    post(machine.process())
    queued = [machine.process() for _ in range(50)]
    for turn in queued:
        ask(turn)
    last = machine.process()
    assert ask(last).turn_in > 55
    for store in machine.stores[:-1]:
        store.leave()
    assert ask(last).turn_in == 1.05


def test_a_sender_that_is_killed(machine: Machine) -> None:
    """A sender that asks no more holds the others up for a few seconds at most, while it waits and when it may send."""
    post(machine.process())
    killed, next_one = machine.process(), machine.process()
    ask(killed)
    ask(next_one)
    machine.wait(1.05)
    assert ask(next_one).turn_in == 1.1
    machine.wait(LEASE + 0.01)
    assert ask(next_one) == NOW
    machine.wait(1.05)
    other = machine.process()
    assert ask(other) == Place(SHORTEST_SLEEP, 0)  # the killed one may be sending
    machine.wait(LEASE - 1.05)
    post(other)


def test_a_sender_that_was_stopped_keeps_its_ticket(machine: Machine) -> None:
    """A sender whose place has expired is still before those that came after it."""
    post(machine.process())
    stopped, other, last = (machine.process() for _ in range(3))
    ask(stopped)
    machine.wait(10)
    assert ask(other) == NOW
    assert ask(last).turn_in == 1.05
    assert ask(stopped).turn_in == 1.05
    assert ask(last).turn_in == 2.15


def test_a_retry_comes_before_those_behind_it(machine: Machine) -> None:
    """A sender whose attempt failed asks again with its ticket, and is before those that came later."""
    failed, later = machine.process(), machine.process()
    post(failed)
    ask(later)
    assert ask(failed).turn_in == 1.05
    machine.wait(1.05)
    assert ask(later).turn_in == 1.1
    post(failed)


def test_the_interval_starts_when_the_request_is_sent(machine: Machine) -> None:
    """A sender that needs long to connect keeps the gate closed until it has sent, and for an interval after that."""
    slow, next_one = machine.process(), machine.process()
    assert ask(slow) == NOW
    machine.wait(2)
    assert ask(next_one) == Place(SHORTEST_SLEEP, 0)
    slow.sent()
    assert ask(next_one).turn_in == 1.05


def test_a_turn_that_was_not_used(machine: Machine) -> None:
    """A sender whose connection failed before it sent anything does not keep the gate closed."""
    failed = machine.process()
    assert ask(failed) == NOW
    failed.leave()
    machine.wait(1.05)
    post(machine.process())


def test_a_push_holds_for_everybody(machine: Machine) -> None:
    """A 429 holds up new senders, and senders that wait already."""
    pushed, early, late = (machine.process() for _ in range(3))
    post(pushed)
    ask(early)
    pushed.push(5)
    assert ask(early).turn_in == 5
    assert ask(late).turn_in == 6.1
    pushed.push(None)
    machine.wait(4)
    assert ask(early).turn_in == 1
    machine.wait(1)
    assert ask(late).turn_in == 1.1
    post(early)


def test_a_push_is_bounded(machine: Machine) -> None:
    """No answer closes a space for longer than an hour, or shortens a wait."""
    machine.process().push(1e12)
    assert ask(machine.process(), within=1e9).turn_in == LONGEST_PUSH
    machine.process().push(1)
    assert ask(machine.process(), within=1e9).turn_in == LONGEST_PUSH + 1.1


def test_after_a_reboot(machine: Machine) -> None:
    """A boot starts the clock again: rows from before it make nobody wait, and the wall clock does not matter."""
    post(machine.process())
    machine.process().push(600)  # a time that this boot could have written
    machine.boot = "another boot"
    machine.now = 3.0
    post(machine.process())


def test_a_boot_has_an_id() -> None:
    """A boot of this machine has an id that stays the same."""
    assert len(boot_id()) > 30
    assert boot_id() == boot_id()


@pytest.mark.parametrize(
    "queue",
    [
        "",
        "{}",
        "[1, 2]",
        "[0, 1e300, 0, 0, 0, []]",
        "[NaN, 0, 0, 0, 0, []]",
        '["x", "y", "z", 0, 0, []]',
        "[0, 0, 0, 0, 0, [[1, 1.1, 1e300]]]",
        "[0, 0, 0, 0, 0, [[1, 1e400, 0]]]",
        "[0, 0, 0, 0, 0, [[1]]]",
        "[0, 0, 0, 0, 0, 5]",
        "[" * 100_000,
    ],
)
def test_garbage_in_a_row(machine: Machine, queue: str) -> None:
    """A row of garbage is an empty queue."""
    post(machine.process())
    with sqlite3.connect(machine.path) as connection:
        connection.execute("UPDATE space SET queue = ?", (queue,))
    connection.close()
    post(machine.process())
    assert machine.warnings == []


KILLED = """
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_spill = 1")
file.execute("BEGIN IMMEDIATE")
file.execute("DELETE FROM space")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_in_the_middle(machine: Machine) -> None:
    """A process that is killed in a transaction leaves nothing of it."""
    post(machine.process())
    killed = subprocess.run([sys.executable, "-c", KILLED, machine.path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert ask(machine.process()).turn_in == 1.05
    assert machine.warnings == []


@pytest.mark.parametrize("wrong", ["garbage", "another schema", "an older schema", "a directory for the journal"])
def test_a_file_that_is_not_ours(machine: Machine, wrong: str) -> None:
    """A damaged file, one with another schema, or a journal in the way is replaced, and messages are paced."""
    machine.path.parent.mkdir()
    if wrong == "garbage":
        machine.path.write_bytes(b"garbage" * 1000)
    elif wrong == "a directory for the journal":
        post(machine.process())
        (machine.path.parent / f"{machine.path.name}-journal").mkdir()
    else:
        columns = "other" if wrong == "another schema" else "hash TEXT PRIMARY KEY, next_slot REAL, booted_at REAL"
        with sqlite3.connect(machine.path) as connection:
            connection.execute(f"CREATE TABLE space ({columns})")
        connection.close()
    first, second = machine.process(), machine.process()
    post(first)
    assert ask(second).turn_in == 1.05
    assert machine.warnings == []


def test_a_file_that_is_locked(machine: Machine) -> None:
    """If the file is locked, pacing waits no longer than the time that is left, and steps aside with a warning."""
    post(machine.process())
    turn = machine.process()
    with sqlite3.connect(machine.path) as stuck:
        stuck.execute("BEGIN IMMEDIATE")
        assert ask(turn, within=0.01) == NOW
    stuck.close()
    assert ask(turn) == NOW  # once aside, it stays aside
    assert machine.warnings == [f"messages are not paced: {machine.path} cannot be used: database is locked"]


def test_a_file_that_cannot_be_replaced(machine: Machine) -> None:
    """If the file cannot be replaced, pacing steps aside with one warning."""
    machine.path.mkdir(parents=True)
    (machine.path / "file").touch()
    turn = machine.process()
    assert [ask(turn), ask(turn)] == [NOW, NOW]
    assert len(machine.warnings) == 1


def test_no_place_for_the_file(tmp_path: Path) -> None:
    """If the directory cannot be made, pacing steps aside with one warning."""
    (tmp_path / "state").write_text("a file")
    machine = Machine(tmp_path / "state" / "chatpost" / "pacing.sqlite3")
    turn = machine.process()
    assert [ask(turn), ask(turn)] == [NOW, NOW]
    assert len(machine.warnings) == 1
    assert str(machine.path) in machine.warnings[0]


def test_a_turn_that_is_not_used(machine: Machine) -> None:
    """A turn that is given up before the request goes out costs the space nothing: the next one has it."""
    post(machine.process())
    machine.wait(2)
    unused = machine.process()
    assert unused.ask(60).sleep == 0
    unused.leave()
    assert machine.process().ask(60).sleep == 0


def test_a_late_request_counts(machine: Machine) -> None:
    """A request that goes out after another sender has passed the gate counts, even if that one gives its turn up."""
    late, other = machine.process(), machine.process()
    assert late.ask(60).sleep == 0
    machine.wait(4)
    assert other.ask(60).sleep == 0
    late.sent()
    other.leave()
    assert machine.process().ask(60).sleep > 0.9


def test_no_secret_on_disk(machine: Machine) -> None:
    """The file names a space by a hash, and nobody else can read it."""
    post(machine.process())
    assert b"AAAA" not in machine.path.read_bytes()
    assert machine.path.parent.stat().st_mode & 0o077 == 0


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["ask", "sent", "leave", "push"]), st.floats(0, 3))),
)
def test_no_two_pass_within_a_second(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, float]]
) -> None:
    """In any order of events, no two senders pass the gate within a second, unless one gives its turn up unused."""
    machine = Machine(tmp_path_factory.mktemp("state") / "pacing.sqlite3")
    turns = [machine.process() for _ in range(5)]
    passed: list[float] = []
    unused: dict[int, float] = {}
    for who, what, seconds in steps:
        match what:
            case "ask":
                if turns[who].ask(1e9).sleep == 0:
                    passed.append(machine.now)
                    unused[who] = machine.now
            case "sent":
                turns[who].sent()
                unused.pop(who, None)
            case "leave":
                turns[who].leave()
                if who in unused:
                    passed.remove(unused.pop(who))
            case "push":
                turns[who].push(seconds)
        machine.wait(seconds)
    assert all(later - earlier > 0.999999 for earlier, later in pairwise(passed))
    assert machine.warnings == []


@given(st.lists(st.floats(0.0, 0.6), min_size=1, max_size=30), st.lists(st.integers(0, 29)))
def test_a_crowd(tmp_path_factory: pytest.TempPathFactory, delays: list[float], gone: list[int]) -> None:
    """A crowd of senders that ask when they are told to posts in order, at the space's pace, whoever is killed."""
    machine = Machine(tmp_path_factory.mktemp("state") / "pacing.sqlite3")
    start = machine.now
    turns = [machine.process() for _ in delays]
    asks_at = dict.fromkeys(range(len(turns)), start)
    sent: list[int] = []
    killed = set(gone)
    while asks_at:
        who = min(asks_at, key=lambda number: (asks_at[number], number))
        machine.now = max(machine.now, asks_at.pop(who))
        place = turns[who].ask(1e9)
        if place.sleep:
            if who not in killed:
                asks_at[who] = machine.now + place.sleep
        else:
            machine.wait(delays[who])
            turns[who].sent()
            sent.append(who)
    alive = [who for who in range(len(turns)) if who not in killed or who == 0]
    assert sent == alive
    assert machine.now - start <= sum(delays) + 1.05 * len(alive) + SHORTEST_SLEEP + (LONGEST_SLEEP + LEASE) * len(
        killed
    )


def test_threads_and_processes_at_once(machine: Machine) -> None:
    """No two senders get the same place, however many ask at once."""
    got: list[float] = []
    post(machine.process())
    threads = [threading.Thread(target=lambda: got.append(ask(machine.process()).turn_in)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [round(1.05 + number * 1.1, 3) for number in range(20)]
    assert machine.warnings == []


def test_the_file_is_json(machine: Machine) -> None:
    """A queue is one row, so that a step is one write."""
    post(machine.process())
    ask(machine.process())
    with sqlite3.connect(machine.path) as connection:
        ((boot, queue),) = connection.execute("SELECT boot, queue FROM space")
    connection.close()
    assert boot == machine.boot
    assert json.loads(queue)[4] == 2
