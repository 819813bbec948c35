"""Slots and gates: all of a user's processes share a space's one message a second."""

from __future__ import annotations

import sqlite3
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.delivery.pacing import LONGEST_PUSH, LONGEST_WAIT
from chatpost.delivery.sqlite_store import SqliteStore, SqliteTurn
from chatpost.errors import SpaceBusy

if TYPE_CHECKING:
    from pathlib import Path

SPACE = "https://chat.googleapis.com/spaces/AAAA"


class Machine:
    """A machine with a clock that only a test moves, and a state directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 1000.0
        self.booted_at = 1.7e9
        self.warnings: list[str] = []

    def process(self, space: str = SPACE, interval: float = 1.1) -> SqliteTurn:
        """Return a place in the queue for a process of its own."""
        store = SqliteStore(self.path, lambda: self.now, lambda: self.booted_at + self.now, self.warnings.append)
        return store.turn(space, interval)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "pacing.sqlite3")


def reserve(turn: SqliteTurn, within: float = 60) -> float:
    return round(turn.reserve(within), 6)


def enter(turn: SqliteTurn) -> float:
    return round(turn.enter(60), 6)


def test_slots_follow_each_other(machine: Machine) -> None:
    """Each process gets the slot after the last one taken; time that has passed counts."""
    assert [reserve(machine.process()) for _ in range(3)] == [0, 1.1, 2.2]
    machine.now += 1
    assert reserve(machine.process()) == 2.3
    machine.now += 100
    assert reserve(machine.process()) == 0


def test_spaces_do_not_share(machine: Machine) -> None:
    """Each space has slots of its own, and an interval that each message says."""
    assert [reserve(machine.process()), reserve(machine.process("https://chat.googleapis.com/spaces/BBBB"))] == [0, 0]
    assert reserve(machine.process(interval=5.0)) == 1.1
    assert reserve(machine.process()) == 6.1


def test_a_slot_that_is_too_late_is_not_taken(machine: Machine) -> None:
    """A slot after the deadline is refused with its time, and stays free for others."""
    pacer = machine.process()
    reserve(pacer)
    with pytest.raises(SpaceBusy) as busy:
        reserve(pacer, within=1)
    assert busy.value.free_in == pytest.approx(1.1)
    assert "free in 1.1 s" in str(busy.value)
    assert reserve(pacer) == 1.1


def test_the_gate_lets_one_through(machine: Machine) -> None:
    """The gate lets one of several senders pass, and opens again a little before the next slot."""
    pacers = [machine.process() for _ in range(3)]
    assert [enter(pacer) for pacer in pacers] == [0, 1.05, 1.05]
    machine.now += 1.05
    assert [enter(pacer) for pacer in pacers[1:]] == [0, 1.05]


def test_who_sends_late_keeps_the_gate_closed(machine: Machine) -> None:
    """The interval between two messages starts when the first is sent, not when its turn came."""
    first, second = machine.process(), machine.process()
    assert [reserve(first), reserve(second)] == [0, 1.1]
    enter(first)
    machine.now += 0.8
    first.sent()
    machine.now += 0.3
    assert enter(second) == 0.75
    assert reserve(machine.process()) == 1.1
    assert reserve(machine.process()) == 2.2


def test_a_push_holds_for_everybody(machine: Machine) -> None:
    """A 429 holds up new senders, and senders that had their slots before it."""
    early, pushed, late = (machine.process() for _ in range(3))
    assert [reserve(pushed), reserve(early)] == [0, 1.1]
    pushed.push(5)
    machine.now += 1.1
    assert enter(early) == 3.9
    assert reserve(late) == 3.9
    machine.now += 3.9
    assert [enter(early), enter(late)] == [0, 1.05]


def test_a_push_is_bounded(machine: Machine) -> None:
    """No answer closes a space for longer than an hour, or shortens a wait."""
    machine.process().push(1e12)
    assert enter(machine.process()) == LONGEST_PUSH
    machine.process().push(1)
    assert enter(machine.process()) == LONGEST_PUSH


def test_killed_in_the_middle(machine: Machine) -> None:
    """A process killed with a slot leaves only that slot unused; one killed in a transaction leaves nothing."""
    reserve(machine.process())
    with sqlite3.connect(machine.path) as killed:
        killed.execute("BEGIN IMMEDIATE")
        killed.execute("DELETE FROM space")
        killed.rollback()  # as the system releases the lock, and the next reader undoes the journal
    killed.close()
    assert reserve(machine.process()) == 1.1
    assert machine.warnings == []


def test_after_a_reboot(machine: Machine) -> None:
    """A boot starts the clock again: rows from before it make nobody wait, however long the machine is up."""
    for uptime in (3.0, 999.0, 1001.0, 2000.0):
        machine.now, machine.booted_at = 1000.0, 1.7e9
        machine.process().push(3000)
        machine.now, machine.booted_at = uptime, 1.7e9 + 1100
        assert [reserve(machine.process()), enter(machine.process())] == [0, 0]


def test_a_wall_clock_that_is_set(machine: Machine) -> None:
    """A corrected wall clock changes nothing; a jump makes at most one process come too early."""
    reserve(machine.process())
    machine.booted_at += 2
    assert reserve(machine.process()) == 1.1
    machine.booted_at -= 1e6
    assert [reserve(machine.process()), reserve(machine.process())] == [0, 1.1]


@pytest.mark.parametrize(
    "row",
    [
        ("x", "y", "z"),
        (None, None, None),
        (b"1", b"2", b"3"),
        (1e300, 1000.0, 1.7e9),
        (1000.0, 1001.0 + LONGEST_WAIT, 1.7e9),
        (float("inf"), float("inf"), 1.7e9),
    ],
)
def test_garbage_in_a_row(machine: Machine, row: tuple[object, ...]) -> None:
    """A row of garbage is an empty queue."""
    reserve(machine.process())
    with sqlite3.connect(machine.path) as connection:
        connection.execute("UPDATE space SET next_slot = ?, closed_until = ?, booted_at = ?", row)
    connection.close()
    assert [reserve(machine.process()), enter(machine.process())] == [0, 0]


def test_a_file_that_is_no_database(machine: Machine) -> None:
    """A file of garbage is warned of once and thrown away; the next process paces again."""
    machine.path.parent.mkdir()
    machine.path.write_bytes(b"garbage" * 1000)
    pacer = machine.process()
    assert [reserve(pacer), reserve(pacer), enter(pacer)] == [0, 0, 0]
    (warning,) = machine.warnings
    assert warning == f"messages are not paced: {machine.path} cannot be used: file is not a database; it begins anew"
    assert [reserve(machine.process()), reserve(machine.process())] == [0, 1.1]


def test_a_file_of_another_kind(machine: Machine) -> None:
    """A database with other columns is not used, with a warning."""
    machine.path.parent.mkdir()
    with sqlite3.connect(machine.path) as connection:
        connection.execute("CREATE TABLE space (other)")
    connection.close()
    assert reserve(machine.process()) == 0
    assert "no such column" in machine.warnings[0]


def test_a_file_that_is_locked(machine: Machine) -> None:
    """If the file is locked, pacing waits no longer than the time that is left, and steps aside."""
    reserve(machine.process())
    with sqlite3.connect(machine.path) as stuck:
        stuck.execute("BEGIN IMMEDIATE")
        assert reserve(machine.process(), within=0.01) == 0
        assert "database is locked" in machine.warnings[0]
    stuck.close()


def test_garbage_that_cannot_be_thrown_away(machine: Machine) -> None:
    """Garbage that cannot be removed is not used either."""
    machine.path.parent.mkdir()
    machine.path.mkdir()
    (machine.path / "file").touch()
    assert reserve(machine.process()) == 0
    assert len(machine.warnings) == 1


def test_no_place_for_the_file(tmp_path: Path) -> None:
    """If the directory cannot be made, pacing steps aside with a warning."""
    (tmp_path / "state").write_text("a file")
    machine = Machine(tmp_path / "state" / "chatpost" / "pacing.sqlite3")
    pacer = machine.process()
    assert [reserve(pacer), reserve(pacer)] == [0, 0]
    assert len(machine.warnings) == 1
    assert str(machine.path) in machine.warnings[0]


def test_no_secret_on_disk(machine: Machine) -> None:
    """The file names a space by a hash, and nobody else can read it."""
    reserve(machine.process())
    assert b"AAAA" not in machine.path.read_bytes()
    assert machine.path.parent.stat().st_mode & 0o077 == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 3)), max_size=30))
def test_no_two_enter_within_a_second(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, float]]) -> None:
    """In any order of events, the gate lets no two senders through within a second."""
    machine = Machine(tmp_path_factory.mktemp("state") / "pacing.sqlite3")
    passed: list[float] = []
    for what, seconds in steps:
        pacer = machine.process()
        match what:
            case 0:
                reserve(pacer, within=1e9)
            case 1:
                pacer.push(seconds)
            case 2:
                pacer.sent()
            case _:
                if pacer.enter(60) == 0:
                    passed.append(machine.now)
        machine.now += seconds
    assert all(later - earlier > 0.999999 for earlier, later in pairwise(passed))


def test_threads_and_processes_at_once(machine: Machine) -> None:
    """No two senders get the same slot, however many reserve at once."""
    pacer = machine.process()
    got: list[float] = []
    threads = [
        threading.Thread(target=lambda: got.extend([reserve(pacer), reserve(machine.process())])) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [round(number * 1.1, 6) for number in range(20)]
    assert machine.warnings == []
