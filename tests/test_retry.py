from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.errors import BrokenAnswer, DeliveryError, NotAllowed, Unavailable
from chatpost.message import CreatedMessage
from chatpost.retry import LONGEST_WAIT, Attempt, Outcome, RetryPolicy, Timing, backoff, with_retries

if TYPE_CHECKING:
    from collections.abc import Iterable

CREATED = CreatedMessage("spaces/A/messages/T.M", "spaces/A/threads/T")


class World:
    """A clock that only waits and attempts move; what happens to each attempt is scripted."""

    def __init__(self, script: Iterable[DeliveryError | CreatedMessage], seconds: float = 0.0) -> None:
        self.now = 0.0
        self.script = list(script)
        self.seconds = seconds
        self.allowed: list[float] = []
        self.waits: list[float] = []
        self.attempts: list[Attempt] = []

    def post(self, allowed: float) -> CreatedMessage:
        self.allowed.append(allowed)
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
        return with_retries(self.post, policy, timing, self.attempts.append)


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
