"""Pacing: a space accepts one request a second, in order of arrival, and a killed sender does not block the others."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings, strategies as st

from chatpost.delivery.model import Place
from chatpost.errors import SpaceBusy
from chatpost.pacing.fleet import FleetPacer
from chatpost.pacing.queue import LEASE, LONGEST_CLOSURE, LONGEST_SLEEP, SHORT_SLEEP, SHORTEST_SLEEP, QueueTurn
from chatpost.pacing.redis import RedisPacer
from chatpost.pacing.sqlite import SqlitePacer, boot_id
from tests.redis_servers import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.delivery.model import Pacer, Turn

SPACE = "https://chat.googleapis.com/spaces/AAAA"
NOW = Place(0, 0)


class Senders:
    """Processes that post to spaces, with a clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.warnings: list[str] = []
        self.pacers: list[Pacer] = []

    def pacer(self) -> Pacer:
        """Return a pacer, as a new process would open it."""
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Advance the clock by these seconds, plus a microsecond for rounding."""
        self.now += seconds + 1e-6

    def process(self, space: str = SPACE, interval: float = 1.1) -> Turn:
        """Return a turn for a new process."""
        self.pacers.append(self.pacer())
        return self.pacers[-1].turn(space, interval)


class Machine(Senders):
    """The processes of one machine, which share a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.boot = "a boot"

    def pacer(self) -> SqlitePacer:
        """Return a pacer, as a new process would open it."""
        return SqlitePacer(self.path, lambda: self.now, lambda: self.boot, self.warnings.append)


class Fleet(Senders):
    """The processes of several machines, which share a Redis."""

    def __init__(self, redis: RedisProcess) -> None:
        super().__init__()
        self._client = redis.client()
        redis.call("FLUSHALL")

    def pacer(self) -> RedisPacer:
        """Return a pacer, as a new process would open it."""
        return RedisPacer(self._client, self.warnings.append, clock=lambda: self.now, timeout=30)


Make: TypeAlias = "Callable[[], Senders]"


@pytest.fixture(scope="module", params=["a file", "Redis"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that creates a group of senders with an empty queue."""
    if request.param == "Redis":
        redis: RedisProcess = request.getfixturevalue("shared_redis")
        return lambda: Fleet(redis)
    return lambda: Machine(tmp_path_factory.mktemp("state") / "chatpost" / "pacing.sqlite3")


@pytest.fixture
def senders(make: Make) -> Senders:
    return make()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "pacing.sqlite3")


def ask(turn: Turn, within: float = 60) -> Place:
    return Place(*(round(seconds, 3) for seconds in turn.poll(within)))


def post(turn: Turn) -> None:
    """Use a turn that is due."""
    assert ask(turn) == NOW
    turn.sent()


def test_first_come_first_served(senders: Senders) -> None:
    """Senders get their turns in the order in which they first poll, one interval apart, and know when."""
    first, second, third = (senders.process() for _ in range(3))
    post(first)
    assert ask(second).wait == 1.05
    assert ask(third).wait == 2.15
    senders.wait(1.05)
    assert ask(third).wait == 1.1
    post(second)
    senders.wait(1.05)
    post(third)


def test_a_free_space_is_not_waited_for(senders: Senders) -> None:
    """If a space has been idle for an interval, its next turn is immediate."""
    post(senders.process())
    senders.wait(1.05)
    post(senders.process())


def test_a_waiting_sender_asks_often(senders: Senders) -> None:
    """A sender sleeps until its turn, but no longer than two seconds or a tenth of its wait, and at most one minute."""
    post(senders.process())
    sleeps = [ask(senders.process()).sleep for _ in range(4)]
    assert sleeps == [1.05, SHORT_SLEEP, SHORT_SLEEP, SHORT_SLEEP]
    far = ask(senders.process(interval=100), within=1e9)
    assert far.sleep == round(far.wait / 10, 3)
    assert ask(senders.process(interval=5000), within=1e9).sleep == LONGEST_SLEEP


def test_spaces_do_not_share(senders: Senders) -> None:
    """Each space has a separate queue, and each sender a separate interval."""
    post(senders.process())
    post(senders.process("https://chat.googleapis.com/spaces/BBBB"))
    assert ask(senders.process()).wait == 1.05
    assert ask(senders.process(interval=5)).wait == 6.05


def test_a_long_interval_is_the_senders_own(senders: Senders) -> None:
    """A sender with a long interval keeps that distance itself, but does not impose it on others."""
    post(senders.process(interval=3600))
    assert ask(senders.process(interval=3600), within=1e9).wait == 3599.95
    senders.pacers[-1].leave()
    senders.wait(1.05)
    post(senders.process())


def test_a_turn_that_is_too_late(senders: Senders) -> None:
    """A turn after the deadline raises an error with the remaining time, and takes no place in the queue."""
    post(senders.process())
    late = senders.process()
    with pytest.raises(SpaceBusy) as busy:
        ask(late, within=1)
    assert str(busy.value) == "the space is busy for another 1.1 s"
    assert ask(senders.process()).wait == 1.05


def test_a_sender_that_leaves(senders: Senders) -> None:
    """A cancelled sender leaves the queue at once, and the senders behind it move up."""
    post(senders.process())
    queued = [senders.process() for _ in range(50)]
    for turn in queued:
        ask(turn)
    last = senders.process()
    assert ask(last).wait > 55
    for pacer in senders.pacers[:-1]:
        pacer.leave()
    assert ask(last).wait == 1.05


def test_a_sender_that_is_killed(senders: Senders) -> None:
    """A killed sender blocks others for a few seconds at most, both while it waits and during its turn."""
    post(senders.process())
    killed, next_one = senders.process(), senders.process()
    ask(killed)
    ask(next_one)
    senders.wait(1.05)
    assert ask(next_one).wait == 1.1
    senders.wait(LEASE + 0.01)
    assert ask(next_one) == NOW
    senders.wait(1.05)
    other = senders.process()
    assert ask(other) == Place(SHORTEST_SLEEP, SHORTEST_SLEEP)  # the killed sender may be sending
    senders.wait(LEASE - 1.05)
    post(other)


def test_a_sender_that_was_stopped_keeps_its_ticket(senders: Senders) -> None:
    """A sender whose place has expired stays ahead of the senders that arrived later."""
    post(senders.process())
    stopped, other, last = (senders.process() for _ in range(3))
    ask(stopped)
    senders.wait(10)
    assert ask(other) == NOW
    assert ask(last).wait == 1.05
    assert ask(stopped).wait == 1.05
    assert ask(last).wait == 2.15


def test_a_retry_comes_before_those_behind_it(senders: Senders) -> None:
    """A sender that retries keeps its ticket, and stays ahead of the senders that arrived later."""
    failed, later = senders.process(), senders.process()
    post(failed)
    ask(later)
    assert ask(failed).wait == 1.05
    senders.wait(1.05)
    assert ask(later).wait == 1.1
    post(failed)


def test_the_interval_starts_when_the_request_is_sent(senders: Senders) -> None:
    """While a sender connects, the gate stays closed, and then for one interval after the request is sent."""
    slow, next_one = senders.process(), senders.process()
    assert ask(slow) == NOW
    senders.wait(2)
    assert ask(next_one) == Place(SHORTEST_SLEEP, SHORTEST_SLEEP)
    slow.sent()
    assert ask(next_one).wait == 1.05


def test_a_turn_that_was_not_used(senders: Senders) -> None:
    """If a sender's connection fails before it sends anything, the gate opens again."""
    failed = senders.process()
    assert ask(failed) == NOW
    failed.leave()
    senders.wait(1.05)
    post(senders.process())


def test_a_push_holds_for_everybody(senders: Senders) -> None:
    """A 429 delays new senders and waiting senders."""
    pushed, early, late = (senders.process() for _ in range(3))
    post(pushed)
    ask(early)
    pushed.close_for(5)
    assert ask(early).wait == 5
    assert ask(late).wait == 6.1
    pushed.close_for(None)
    senders.wait(4)
    assert ask(early).wait == 1
    senders.wait(1)
    assert ask(late).wait == 1.1
    post(early)


def test_a_push_is_bounded(senders: Senders) -> None:
    """A server can close a space for at most one hour, and a shorter closure does not end a longer one."""
    senders.process().close_for(1e12)
    assert ask(senders.process(), within=1e9).wait == LONGEST_CLOSURE
    senders.process().close_for(1)
    assert ask(senders.process(), within=1e9).wait == LONGEST_CLOSURE + 1.1


def test_after_a_reboot(machine: Machine) -> None:
    """A reboot resets the clock. Rows from before it delay no sender, and the wall clock does not matter."""
    post(machine.process())
    machine.process().close_for(600)  # a valid time within this boot
    machine.boot = "another boot"
    machine.now = 3.0
    post(machine.process())


def test_a_boot_has_an_id() -> None:
    """The ID of the current boot is stable."""
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
    """An invalid row counts as an empty queue."""
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
    """If a process is killed in a transaction, the transaction is rolled back."""
    post(machine.process())
    killed = subprocess.run([sys.executable, "-c", KILLED, machine.path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert ask(machine.process()).wait == 1.05
    assert machine.warnings == []


@pytest.mark.parametrize("wrong", ["garbage", "another schema", "an older schema", "a directory for the journal"])
def test_a_file_that_is_not_ours(machine: Machine, wrong: str) -> None:
    """The pacer replaces a damaged file, a file with another schema and a blocked journal, and paces messages."""
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
    assert ask(second).wait == 1.05
    assert machine.warnings == []


def test_a_file_that_is_locked(machine: Machine) -> None:
    """If the file is locked, pacing waits no longer than the remaining time, then turns off with a warning."""
    post(machine.process())
    turn = machine.process()
    with sqlite3.connect(machine.path) as stuck:
        stuck.execute("BEGIN IMMEDIATE")
        assert ask(turn, within=0.01) == NOW
    stuck.close()
    assert ask(turn) == NOW  # once off, pacing stays off
    (warning,) = machine.warnings
    reasons = ("database is locked", "it did not answer within 0.1 s")  # either, depending on how busy the machine is
    assert warning in [f"messages are not paced: {machine.path} cannot be used: {reason}" for reason in reasons]


def test_a_file_that_cannot_be_replaced(machine: Machine) -> None:
    """If the file cannot be replaced, pacing turns off with one warning."""
    machine.path.mkdir(parents=True)
    (machine.path / "file").touch()
    turn = machine.process()
    assert [ask(turn), ask(turn)] == [NOW, NOW]
    assert len(machine.warnings) == 1


def test_no_place_for_the_file(tmp_path: Path) -> None:
    """If the directory cannot be created, pacing turns off with one warning."""
    (tmp_path / "state").write_text("a file")
    machine = Machine(tmp_path / "state" / "chatpost" / "pacing.sqlite3")
    turn = machine.process()
    assert [ask(turn), ask(turn)] == [NOW, NOW]
    assert len(machine.warnings) == 1
    assert str(machine.path) in machine.warnings[0]


def test_a_turn_that_is_not_used(senders: Senders) -> None:
    """A sender that leaves before it sends passes its turn to the next sender without a delay."""
    post(senders.process())
    senders.wait(2)
    unused = senders.process()
    assert unused.poll(60).sleep == 0
    unused.leave()
    assert senders.process().poll(60).sleep == 0


def test_a_late_request_counts(senders: Senders) -> None:
    """A late request counts, even if a second sender has passed the gate and then left."""
    late, other = senders.process(), senders.process()
    assert late.poll(60).sleep == 0
    senders.wait(4)
    assert other.poll(60).sleep == 0
    late.sent()
    other.leave()
    assert senders.process().poll(60).sleep > 0.9


def test_no_secret_on_disk(machine: Machine) -> None:
    """The file names a space only by a hash, and only its user can read it."""
    post(machine.process())
    assert b"AAAA" not in machine.path.read_bytes()
    assert machine.path.parent.stat().st_mode & 0o077 == 0


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["poll", "sent", "leave", "close_for"]), st.floats(0, 3))),
)
def test_no_two_pass_within_a_second(make: Make, steps: list[tuple[int, str, float]]) -> None:
    """In any sequence of events, two senders never pass the gate within a second, unless one leaves without sending."""
    machine = make()
    turns = [machine.process() for _ in range(5)]
    passed: list[float] = []
    unused: dict[int, float] = {}
    for who, what, seconds in steps:
        match what:
            case "poll":
                if turns[who].poll(1e9).sleep == 0:
                    passed.append(machine.now)
                    unused[who] = machine.now
            case "sent":
                turns[who].sent()
                unused.pop(who, None)
            case "leave":
                turns[who].leave()
                if who in unused:
                    passed.remove(unused.pop(who))
            case "close_for":
                turns[who].close_for(seconds)
        machine.wait(seconds)
    assert all(later - earlier > 0.999999 for earlier, later in pairwise(passed))
    assert machine.warnings == []


@given(st.lists(st.floats(0.0, 0.6), min_size=1, max_size=30), st.lists(st.integers(0, 29)))
@settings(max_examples=40)
def test_a_crowd(make: Make, delays: list[float], gone: list[int]) -> None:
    """Senders that poll as instructed post in order, at the space's pace, even if others are killed."""
    machine = make()
    start = machine.now
    turns = [machine.process() for _ in delays]
    asks_at = dict.fromkeys(range(len(turns)), start)
    sent: list[int] = []
    killed = set(gone)
    while asks_at:
        who = min(asks_at, key=lambda number: (asks_at[number], number))
        machine.now = max(machine.now, asks_at.pop(who))
        place = turns[who].poll(1e9)
        if place.sleep:
            if who not in killed:
                asks_at[who] = machine.now + place.sleep
        else:
            machine.wait(delays[who])
            turns[who].sent()
            sent.append(who)
    alive = [who for who in range(len(turns)) if who not in killed or who == 0]
    assert sent == alive
    assert machine.now - start <= sum(delays) + 1.05 * len(alive) + SHORTEST_SLEEP + (2 * SHORT_SLEEP + LEASE) * len(
        killed
    )


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["poll", "sent", "leave", "close_for"]), st.floats(0, 100))),
    st.lists(st.sampled_from([0.5, 1.1, 40.0]), min_size=5, max_size=5),
    st.sampled_from([1e9, 5.0]),
)
def test_both_pacers_agree(
    tmp_path_factory: pytest.TempPathFactory,
    shared_redis: RedisProcess,
    steps: list[tuple[int, str, float]],
    intervals: list[float],
    within: float,
) -> None:
    """In any sequence of events, the SQLite pacer and the Redis pacer return the same answers."""
    both: list[Senders] = [Machine(tmp_path_factory.mktemp("state") / "pacing.sqlite3"), Fleet(shared_redis)]
    turns = [[senders.process(interval=interval) for interval in intervals] for senders in both]
    for who, what, seconds in steps:
        answers = []
        for senders, its in zip(both, turns, strict=True):
            match what:
                case "poll":
                    try:
                        place = its[who].poll(within)
                    except SpaceBusy as busy:
                        answers.append(str(busy))
                    else:
                        answers.append(f"{place.sleep:.3f} {place.wait:.3f}")
                case "sent":
                    its[who].sent()
                case "leave":
                    its[who].leave()
                case "close_for":
                    its[who].close_for(seconds)
            senders.wait(seconds)
        assert len(set(answers)) <= 1
    assert both[0].warnings == both[1].warnings == []


def test_a_redis_that_has_lost_its_data(redis: RedisProcess) -> None:
    """If Redis loses its data, senders keep their tickets, and no two share one.

    A clock that jumps back delays no sender.
    """
    fleet = Fleet(redis)
    post(fleet.process())
    first, second = fleet.process(), fleet.process()
    ask(first)
    ask(second)
    redis.call("FLUSHALL")
    post(fleet.process())
    assert ask(first).wait == 1.05
    assert ask(second).wait == 2.15
    assert ask(fleet.process()).wait == 3.25
    fleet.now -= 500
    assert ask(first).wait == 1.05


def test_redis_has_its_own_clock(redis: RedisProcess) -> None:
    """The Redis pacer uses the clock of Redis, so the machines' clocks do not matter."""
    pacers = [RedisPacer(redis.client(), pytest.fail, timeout=30) for _ in range(2)]
    assert pacers[0].turn(SPACE, 60).poll(60).sleep == 0
    assert pacers[1].turn(SPACE, 60).poll(100).wait == pytest.approx(59.95, abs=30)


def test_keys_in_redis(redis: RedisProcess) -> None:
    """Keys name a space by a hash, which is also their cluster hash tag, and all keys expire."""
    fleet = Fleet(redis)
    post(fleet.process())
    ask(fleet.process())
    keys = [key.decode() for key in redis.call("KEYS", "*")]
    assert len(keys) == 3
    assert all(re.fullmatch(r"chatpost:\{[0-9a-f]{32}\}:[a-z]+", key) for key in keys)
    assert len({key.partition("}")[0] for key in keys}) == 1
    assert all(0 < redis.call("TTL", key) <= 2 * LONGEST_CLOSURE for key in keys)


def test_a_sender_that_holds_its_turn(machine: Machine) -> None:
    """A sender that has passed the gate can keep it closed while it waits for something else."""
    holder, other = machine.process(), machine.process()
    assert isinstance(holder, QueueTurn)
    assert ask(holder) == NOW
    holder.extend(20)
    machine.wait(20)
    assert ask(other) == Place(SHORTEST_SLEEP, SHORTEST_SLEEP)
    holder.sent()
    assert ask(other).wait == 1.05


class Queues:
    """A fleet: machines and their Redis, under one clock."""

    def __init__(self, redis: RedisProcess, tmp_path: Path) -> None:
        self.fleet = Fleet(redis)
        self.machines = [Machine(tmp_path / name / "pacing.sqlite3") for name in ("one", "other")]

    def process(self, machine: int) -> Turn:
        """Return a turn for a new process on a machine."""
        pacer = FleetPacer(self.machines[machine].pacer(), self.fleet.pacer)
        return pacer.turn(SPACE, 1.1)

    def wait(self, seconds: float) -> None:
        """Advance all clocks."""
        for senders in (self.fleet, *self.machines):
            senders.wait(seconds)


def test_a_fleet(redis: RedisProcess, tmp_path: Path) -> None:
    """The machines of a fleet share a queue, and each machine has one sender at a time in it."""
    queues = Queues(redis, tmp_path)
    first, second, third = queues.process(0), queues.process(1), queues.process(1)
    post(first)
    assert ask(second).wait == 1.05
    assert ask(third).wait > 0
    queues.wait(1.05)
    post(second)
    queues.wait(1.05)
    post(third)


def test_a_long_wait_in_a_fleet(redis: RedisProcess, tmp_path: Path) -> None:
    """While a machine's first sender waits in the fleet's queue, the senders behind it keep their order."""
    queues = Queues(redis, tmp_path)
    first = queues.process(0)
    post(first)
    first.close_for(100)
    waiting, behind = queues.process(1), queues.process(1)
    assert ask(waiting, within=1e9).wait == 100
    assert ask(behind).sleep > 0
    for _ in range(9):
        queues.wait(10)
        ask(waiting, within=1e9)
    assert ask(behind).sleep > 0
    queues.wait(10)
    post(waiting)


def test_a_redis_that_fails_while_a_sender_waits(tmp_path: Path) -> None:
    """If Redis fails while a sender waits, the sender posts, and only its machine paces the others."""
    with RedisProcess() as redis:
        queues = Queues(redis, tmp_path)
        post(queues.process(0))
        waiting, behind = queues.process(1), queues.process(1)
        assert ask(waiting).wait == 1.05
        redis.kill()
        post(waiting)
        assert ask(behind).wait == 1.05
        queues.wait(1.05)
        post(behind)
    assert len(queues.fleet.warnings) == 1
    assert all(
        warning.startswith("messages are paced on this machine only: unix://") for warning in queues.fleet.warnings
    )


def test_threads_and_processes_at_once(senders: Senders) -> None:
    """Concurrent senders never get the same turn."""
    got: list[float] = []
    post(senders.process())
    threads = [threading.Thread(target=lambda: got.append(ask(senders.process()).wait)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [round(1.05 + number * 1.1, 3) for number in range(20)]
    assert senders.warnings == []


def test_the_file_is_json(machine: Machine) -> None:
    """A queue is stored as JSON in one row, so that each step is one write."""
    post(machine.process())
    ask(machine.process())
    with sqlite3.connect(machine.path) as connection:
        ((boot, queue),) = connection.execute("SELECT boot, queue FROM space")
    connection.close()
    assert boot == machine.boot
    assert json.loads(queue)[4] == 2
