"""When to retry and when to give up: pure functions."""

from __future__ import annotations

from typing import NamedTuple

from chatpost.errors import DeliveryError

FIRST_WAIT = 1.0
"""Seconds before the first retry, without jitter: a space accepts one request per second."""

LONGEST_BACKOFF = 16.0
"""Maximum seconds of the backoff."""

SHORTEST_ATTEMPT = 0.1
"""Minimum seconds for an attempt; with less time left, none is made."""


class RetryPolicy(NamedTuple):
    """``timeout`` is in seconds per attempt, ``deadline`` in seconds overall; ``retries`` follow the first attempt."""

    timeout: float = 20
    deadline: float = 60
    retries: int = 5


def backoff(failures: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after 1 or more failures in a row: 1, 2, 4, 8, then 16, less up to half by jitter.

    ``jitter`` is from 0 to 1. The wait is at least ``retry_after``, the seconds that the server asked for.
    """
    grown = min(LONGEST_BACKOFF, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return max(grown * (1 - jitter / 2), retry_after or 0.0)


def decide(
    error: DeliveryError, attempts: int, jitter: float, left: float, policy: RetryPolicy
) -> tuple[float | None, str | None]:
    """Return the seconds until the retry; or None, and the reason if there could have been one.

    ``left`` is in seconds, until the deadline.
    """
    if not error.retryable:
        return None, None
    if attempts > policy.retries:
        return None, f"gave up after {attempts} attempts" if attempts > 1 else "no retries were allowed"
    wait = backoff(attempts, jitter, error.retry_after)
    if wait + SHORTEST_ATTEMPT > left:
        return None, f"the next attempt, in {wait:.1f} s, would be {past_deadline(policy)}"
    return wait, None


def past_deadline(policy: RetryPolicy) -> str:
    """Return ``past the deadline of N s``."""
    return f"past the deadline of {policy.deadline:g} s"
