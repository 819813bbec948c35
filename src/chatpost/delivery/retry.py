"""When to try again: the back-off, the deadline, and the loop that keeps both.

The loop is ours because pacing, the deadline and the facts that a person is shown all pass through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from chatpost.errors import DeliveryError, SpaceBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.chat.message import CreatedMessage

FIRST_WAIT = 1.0
"""Seconds before the first retry, before jitter: a space takes one request a second."""

LONGEST_WAIT = 16.0
"""Seconds beyond which the back-off does not grow."""

SHORTEST_ATTEMPT = 0.1
"""Seconds that every attempt is given: one is not begun where fewer are left."""


class RetryPolicy(NamedTuple):
    """``timeout`` seconds for one attempt, ``deadline`` seconds for all, at most ``retries`` after the first."""

    timeout: float = 20
    deadline: float = 60
    retries: int = 5


class Attempt(NamedTuple):
    """A fact: attempt ``number`` took ``seconds``; ``error`` is None where it posted.

    ``wait`` is the seconds until the next attempt, None where there is none.
    """

    number: int
    seconds: float
    error: DeliveryError | None = None
    wait: float | None = None


class PartPosted(NamedTuple):
    """A fact: part ``number`` of the ``of`` that a long text has is posted."""

    number: int
    of: int


class Pause(NamedTuple):
    """A fact: the space is free in ``seconds``, and until then nothing is asked of Chat."""

    seconds: float


class Progress:
    """How far a message has come; may be read at any time, from any thread.

    ``attempts`` were begun. ``maybe_posted``: one of them may have posted it, and no answer has said so yet.
    ``created`` is the message, the first of several parts, once an answer has. ``parts_posted`` are so far. ``is_over``
    is for who waits for the outcome to set.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.parts_posted = 0
        self.maybe_posted = False
        self.created: CreatedMessage | None = None
        self.is_over = False

    def sending(self) -> None:
        """From here on, until an answer tells, the message may have been posted."""
        self.maybe_posted = True


class Outcome(NamedTuple):
    """What became of a message: ``created``, or ``error`` after so many ``attempts``; of a long text, maybe both.

    ``maybe_posted``: no message was confirmed, but one of the attempts may have posted it.
    ``gave_up`` says why a failure that could be retried was not, for a person.
    """

    attempts: int
    created: CreatedMessage | None = None
    error: DeliveryError | None = None
    maybe_posted: bool = False
    gave_up: str | None = None


class Route(Protocol):
    """The way of one message to Chat."""

    def reserve(self, within: float) -> float:
        """Reserve the next request; return the seconds to wait before it. Raises `SpaceBusy` beyond ``within``."""

    def enter(self, within: float) -> float:
        """Return 0 where the request can be made now, else the seconds after which to ask again.

        The answer comes within so many seconds.
        """

    def post(self, seconds: float, on_sending: Callable[[], None]) -> CreatedMessage:
        """Make one attempt of at most so many seconds; raises `DeliveryError`.

        ``on_sending`` is called when the message begins to go out.
        """


class Timing(NamedTuple):
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
    route: Route,
    policy: RetryPolicy,
    timing: Timing,
    tell: Callable[[Attempt | Pause], None],
    progress: Progress,
    started: float,
) -> Outcome:
    """Post until it succeeds, fails for good, or neither tries nor time are left.

    ``started`` is when the deadline's seconds began. Every attempt is told of before the wait that follows it. No
    wait ends past the deadline.
    """
    until = started + policy.deadline
    error: DeliveryError | None = None
    attempts = 0
    while True:
        try:
            _wait_for_turn(route, until - SHORTEST_ATTEMPT, timing, tell)
        except SpaceBusy as busy:
            # What an attempt came to says more than that there is no time for another.
            why = f"the next attempt would be {_past_deadline(policy)}" if error else _past_deadline(policy)
            return Outcome(progress.attempts, None, error or busy, progress.maybe_posted, why)
        maybe_posted_before = progress.maybe_posted
        attempts += 1
        progress.attempts += 1
        began = timing.clock()
        try:
            created = route.post(min(policy.timeout, max(until - began, SHORTEST_ATTEMPT)), progress.sending)
        except DeliveryError as failure:
            error = failure
        else:
            progress.created = progress.created or created
            progress.parts_posted += 1
            progress.maybe_posted = False
            tell(Attempt(attempts, timing.clock() - began))
            return Outcome(progress.attempts, created)
        progress.maybe_posted = maybe_posted_before or error.maybe_posted
        now = timing.clock()
        wait = backoff(attempts, timing.random(), error.retry_after)
        gave_up = _reason_to_stop(error, attempts, wait, until - now, policy)
        final = gave_up is not None or not error.retryable
        tell(Attempt(attempts, now - began, error, None if final else wait))
        if final:
            return Outcome(progress.attempts, None, error, progress.maybe_posted, gave_up)
        timing.sleep(wait)


def _wait_for_turn(route: Route, until: float, timing: Timing, tell: Callable[[Pause], None]) -> None:
    def left() -> float:
        return max(0.0, until - timing.clock())

    wait = route.reserve(left())
    while True:
        if wait > 0:
            tell(Pause(wait))
            timing.sleep(wait)
        wait = route.enter(left())
        if not wait:
            return
        if wait > left():
            raise SpaceBusy(wait)


def _reason_to_stop(
    error: DeliveryError, attempts: int, wait: float, remaining: float, policy: RetryPolicy
) -> str | None:
    if not error.retryable:
        return None
    if attempts > policy.retries:
        return f"gave up after {attempts} attempts" if attempts > 1 else "no retry was allowed"
    if wait + SHORTEST_ATTEMPT > remaining:
        return f"the next attempt, in {wait:.1f} s, would be {_past_deadline(policy)}"
    return None


def _past_deadline(policy: RetryPolicy) -> str:
    return f"past the deadline of {policy.deadline:g} s"
