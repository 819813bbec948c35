"""When to try again, and when to stop: pure functions."""

from __future__ import annotations

from typing import NamedTuple

from chatpost.errors import DeliveryError

FIRST_WAIT = 1.0
"""Seconds before the first retry, before jitter: a space takes one request a second."""

LONGEST_BACKOFF = 16.0
"""Seconds beyond which the back-off does not grow."""

SHORTEST_ATTEMPT = 0.1
"""Seconds that every attempt gets. With less time left, none is begun."""


class RetryPolicy(NamedTuple):
    """``timeout`` seconds for one attempt, ``deadline`` seconds in all, at most ``retries`` after the first attempt."""

    timeout: float = 20
    deadline: float = 60
    retries: int = 5


def backoff(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after so many failures (1 or more): 1, 2, 4, 8, then 16, less up to a half.

    ``jitter`` from 0 to 1 says how much is taken off. The wait is never shorter than the server asked for.
    """
    grown = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return max(grown * (1 - jitter / 2), retry_after or 0.0)


def decide(
    error: DeliveryError, attempts: int, jitter: float, left: float, policy: RetryPolicy
) -> tuple[float | None, str | None]:
    """Return the seconds to wait after a failed attempt, or None and why there is no retry, with ``left`` seconds."""
    if not error.retryable:
        return None, None
    if attempts > policy.retries:
        return None, f"gave up after {attempts} attempts" if attempts > 1 else "no retry was allowed"
    wait = backoff(attempts, jitter, error.retry_after)
    if wait + SHORTEST_ATTEMPT > left:
        return None, f"the next attempt, in {wait:.1f} s, would be {past_deadline(policy)}"
    return wait, None


def past_deadline(policy: RetryPolicy) -> str:
    """Return ``past the deadline of N s``."""
    return f"past the deadline of {policy.deadline:g} s"
