from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.chat.message import CreatedMessage
from chatpost.delivery.retry import (
    LONGEST_WAIT,
    Attempt,
    Outcome,
    Pause,
    Progress,
    RetryPolicy,
    Timing,
    backoff,
    with_retries,
)
from chatpost.errors import BrokenAnswer, DeliveryError, NotAllowed, SpaceBusy, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CREATED = CreatedMessage("spaces/A/messages/T.M", "spaces/A/threads/T")


class World:
    """A clock that only waits and attempts move; what happens to each attempt is scripted."""

    def __init__(self, script: Iterable[DeliveryError | CreatedMessage], seconds: float = 0.0) -> None:
        self.now = 0.0
        self.progress = Progress()
        self.script = list(script)
        self.seconds = seconds
        self.allowed: list[float] = []
        self.waits: list[float] = []
        self.attempts: list[Attempt] = []
        self.pauses: list[float] = []
        self.slots: list[float] = []
        self.gates: list[float] = []

    def tell(self, fact: Attempt | Pause) -> None:
        if isinstance(fact, Pause):
            self.pauses.append(fact.seconds)
        else:
            self.attempts.append(fact)

    def reserve(self, within: float) -> float:
        slot = self.slots.pop(0) if self.slots else 0.0
        if slot > within:
            raise SpaceBusy(slot)
        return slot

    def enter(self, _within: float) -> float:
        return self.gates.pop(0) if self.gates else 0.0

    def post(self, allowed: float, on_sending: Callable[[], None]) -> CreatedMessage:
        self.allowed.append(allowed)
        on_sending()
        self.now += min(self.seconds, allowed)
        step = self.script.pop(0)
        if isinstance(step, DeliveryError):
            raise step
        return step

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def run(self, policy: RetryPolicy) -> Outcome:
        timing = Timing(clock=lambda: self.now, sleep=self.sleep, random=lambda: 0.0)
        return with_retries(self, policy, timing, self.tell, self.progress, started=0.0)


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_backoff_is_clamped(failures: int, jitter: float, retry_after: float | None) -> None:
    """A wait is at least what the server asked for, and without that between half a second and the longest wait."""
    wait = backoff(failures, jitter, retry_after)
    assert wait >= (retry_after or 0.5)
    assert wait <= max(LONGEST_WAIT, retry_after or 0)


def test_backoff_doubles() -> None:
    """Without jitter the waits are 1, 2, 4, 8, 16, 16 seconds; jitter cuts up to a half of each."""
    assert [backoff(n, 0.0) for n in range(1, 7)] == [1, 2, 4, 8, 16, 16]
    assert [backoff(n, 1.0) for n in range(1, 4)] == [0.5, 1, 2]


def test_posts_after_failures() -> None:
    """What fails in passing is tried again until it posts; each attempt is told, with the wait behind it."""
    world = World([Unavailable("a"), BrokenAnswer("b"), CREATED])
    outcome = world.run(RetryPolicy())
    assert outcome == Outcome(3, CREATED)
    assert world.waits == [1, 2]
    assert [(a.number, str(a.error or ""), a.wait) for a in world.attempts] == [(1, "a", 1), (2, "b", 2), (3, "", None)]


def test_final_failure_is_not_retried() -> None:
    """A final answer ends it at once."""
    world = World([NotAllowed("no", code=403)])
    outcome = world.run(RetryPolicy())
    assert (outcome.attempts, str(outcome.error), outcome.gave_up) == (1, "no", None)
    assert world.waits == []


@pytest.mark.parametrize(("retries", "said"), [(0, "no retry was allowed"), (2, "gave up after 3 attempts")])
def test_attempts_are_limited(retries: int, said: str) -> None:
    """There are at most as many attempts as retries were allowed, and one."""
    world = World([Unavailable("a")] * 10)
    outcome = world.run(RetryPolicy(retries=retries))
    assert (outcome.attempts, outcome.gave_up) == (retries + 1, said)


def test_never_waits_for_what_it_cannot_reach() -> None:
    """A wait that would end at or past the deadline is not begun."""
    world = World([Unavailable("a", retry_after=600.0)])
    outcome = world.run(RetryPolicy(deadline=60))
    assert (outcome.attempts, world.waits) == (1, [])
    assert outcome.gave_up == "the next attempt, in 600.0 s, would be past the deadline of 60 s"


@given(st.floats(0.2, 100), st.floats(0.2, 100), st.floats(0, 50), st.integers(0, 20))
def test_keeps_the_deadline(deadline: float, timeout: float, seconds: float, retries: int) -> None:
    """No attempt is allowed more than is left, and all is over by the deadline."""
    world = World([Unavailable("a")] * 30, seconds)
    world.run(RetryPolicy(timeout, deadline, retries))
    assert world.now <= deadline
    assert all(0 < allowed <= min(timeout, deadline) for allowed in world.allowed)


def test_one_uncertain_attempt_makes_the_outcome_uncertain() -> None:
    """A message may stand there if any attempt may have posted it, whatever the last one said."""
    world = World([Unavailable("a", maybe_posted=True), NotAllowed("no")])
    assert world.run(RetryPolicy()).maybe_posted
    assert not World([Unavailable("a"), NotAllowed("no")]).run(RetryPolicy()).maybe_posted


def test_waits_for_the_spaces_turn() -> None:
    """Every attempt, a retry too, waits for the space's turn, and is told of the wait."""
    world = World([Unavailable("a"), CREATED])
    world.slots = [3.0, 0.5]
    assert world.run(RetryPolicy()).created == CREATED
    assert world.waits == [3.0, 1, 0.5]
    assert world.pauses == [3.0, 0.5]


def test_waits_at_a_gate_that_is_closed() -> None:
    """Where the space is closed when a message's turn comes, it waits on, but not past the deadline."""
    world = World([CREATED])
    world.slots, world.gates = [3.0], [0.5, 0.25]
    assert world.run(RetryPolicy()).created == CREATED
    assert world.pauses == world.waits == [3.0, 0.5, 0.25]
    world = World([])
    world.slots, world.gates = [3.0], [60.0]
    outcome = world.run(RetryPolicy())
    assert (outcome.attempts, world.waits) == (0, [3.0])
    assert isinstance(outcome.error, SpaceBusy)


def test_does_not_wait_for_a_turn_past_the_deadline() -> None:
    """Where the space's turn is past the deadline it ends at once; what was tried before still counts."""
    world = World([])
    world.slots = [60.0]
    outcome = world.run(RetryPolicy())
    assert (outcome.attempts, world.waits, world.attempts) == (0, [], [])
    assert f"{outcome.error}; {outcome.gave_up}".endswith("is free in 60.0 s; past the deadline of 60 s")
    world = World([Unavailable("a", maybe_posted=True)])
    world.slots = [0.0, 60.0]
    outcome = world.run(RetryPolicy())
    assert (outcome.attempts, outcome.maybe_posted) == (1, True)
    assert f"{outcome.error}; {outcome.gave_up}" == "a; the next attempt would be past the deadline of 60 s"


def test_progress_can_be_read_on_the_way() -> None:
    """While an attempt sends, the message may be posted; once an answer says it is not, it may not."""
    world = World([Unavailable("a"), NotAllowed("b")])
    seen: list[tuple[int, bool]] = []
    post = world.post

    def watched(allowed: float, on_sending: Callable[[], None]) -> CreatedMessage:
        seen.append((world.progress.attempts, world.progress.maybe_posted))
        try:
            return post(allowed, on_sending)
        finally:
            seen.append((world.progress.attempts, world.progress.maybe_posted))

    world.post = watched  # type: ignore[method-assign]
    world.run(RetryPolicy())
    assert seen == [(1, False), (1, True), (2, False), (2, True)]
    assert not world.progress.maybe_posted
