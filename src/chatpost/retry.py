"""When to try again: the back-off, the deadline, and the loop that keeps both.

The loop is ours because pacing, the deadline and the facts that a person is shown all pass through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatpost.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.message import CreatedMessage

FIRST_WAIT = 1.0
"""Seconds before the first retry, before jitter: a space takes one request a second."""

LONGEST_WAIT = 16.0
"""Seconds beyond which the back-off does not grow."""

SHORTEST_ATTEMPT = 0.1
"""Seconds that every attempt is given: one is not begun where fewer are left."""


@dataclass(frozen=True)
class RetryPolicy:
    """``timeout`` seconds for one attempt, ``deadline`` seconds for all, at most ``retries`` after the first."""

    timeout: float = 20
    deadline: float = 60
    retries: int = 5


@dataclass(frozen=True)
class Attempt:
    """A fact: attempt ``number`` took ``seconds``; ``error`` is None where it posted.

    ``wait`` is the seconds until the next attempt, None where there is none.
    """

    number: int
    seconds: float
    error: DeliveryError | None = None
    wait: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a message: ``created``, or ``error`` after so many ``attempts``.

    ``maybe_posted``: no message was confirmed, but one of the attempts may have posted it.
    ``gave_up`` says why a failure that could be retried was not, for a person.
    """

    attempts: int
    created: CreatedMessage | None = None
    error: DeliveryError | None = None
    maybe_posted: bool = False
    gave_up: str | None = None


@dataclass(frozen=True)
class Timing:
    """The clock (monotonic, in seconds), the sleep and the randomness (from 0 to 1) that the loop lives by."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random: Callable[[], float]


def backoff(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after so many failures (1 or more): 1, 2, 4, 8, then 16, cut by up to a half.

    ``jitter`` from 0 to 1 says how much is cut. What the server asked for is the least there is.
    """
    grown = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return max(grown * (1 - jitter / 2), retry_after or 0.0)


def with_retries(
    post: Callable[[float], CreatedMessage],
    policy: RetryPolicy,
    timing: Timing,
    on_attempt: Callable[[Attempt], None],
) -> Outcome:
    """Call ``post(seconds it may take)`` until it posts, fails for good, or neither tries nor time are left.

    Every attempt is told to ``on_attempt`` before the wait that follows it. A wait never ends past the deadline.
    """
    start = timing.clock()
    maybe_posted = False
    number = 0
    while True:
        number += 1
        began = timing.clock()
        remaining = start + policy.deadline - began
        try:
            created = post(min(policy.timeout, max(remaining, SHORTEST_ATTEMPT)))
        except DeliveryError as failure:
            error = failure
        else:
            on_attempt(Attempt(number, timing.clock() - began))
            return Outcome(number, created)
        maybe_posted = maybe_posted or error.maybe_posted
        now = timing.clock()
        wait = backoff(number, timing.random(), error.retry_after)
        gave_up = _reason_to_stop(error, number, wait, start + policy.deadline - now, policy)
        final = gave_up is not None or not error.retryable
        on_attempt(Attempt(number, now - began, error, None if final else wait))
        if final:
            return Outcome(number, None, error, maybe_posted, gave_up)
        timing.sleep(wait)


def _reason_to_stop(
    error: DeliveryError, number: int, wait: float, remaining: float, policy: RetryPolicy
) -> str | None:
    if not error.retryable:
        return None
    if number > policy.retries:
        return f"gave up after {number} attempts" if number > 1 else "no retry was allowed"
    if wait + SHORTEST_ATTEMPT > remaining:
        return f"the next attempt, in {wait:.1f} s, would be past the deadline of {policy.deadline:g} s"
    return None
