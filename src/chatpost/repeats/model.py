"""The repeats of one message, and their transitions: pure functions, without a clock or a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

_LATEST = 1e11  # of any time: seconds of the year 5138
_MOST = 1_000_000_000  # repeats
_LONGEST_CLAIM = 2 * 86_400.0  # seconds: a deadline is at most a day


class Repeats(NamedTuple):
    """The repeats of a message. Times are in seconds since the epoch.

    The message was last posted at ``posted_at`` (0: never) and repeated ``number`` times since. ``claim`` is the ID of
    the delivery that is posting it (empty: none); after ``claimed_until``, that delivery counts as dead.
    """

    posted_at: float = 0.0
    number: int = 0
    claim: str = ""
    claimed_until: float = 0.0

    @classmethod
    def parse(cls, value: Any) -> Repeats:
        """Parse an untrusted JSON value; an invalid one counts as never posted."""
        match value:
            case [int() | float() as posted_at, int() as number, str() as claim, int() | float() as until] if (
                0 <= posted_at <= _LATEST and 0 <= number <= _MOST and 0 <= until <= _LATEST
            ):
                return cls(posted_at, number, claim, until)
        return cls()

    def is_recent(self, now: float, seconds: float) -> bool:
        """Return whether the message was posted in the last ``seconds``. A time in the future is not recent."""
        return 0 <= now - self.posted_at < seconds

    def is_claimed(self, now: float) -> bool:
        """Return whether a delivery is posting the message. A longer claim means that a clock was set back."""
        return bool(self.claim) and 0 < self.claimed_until - now <= _LONGEST_CLAIM

    def add(self, now: float, seconds: float, claim: str, claimed_until: float) -> Repeats:
        """Count a repeat, claim the message, or return it unchanged while another delivery is posting it."""
        if self.is_claimed(now):
            return self
        if self.is_recent(now, seconds):
            return self._replace(number=min(self.number + 1, _MOST))
        return self._replace(claim=claim, claimed_until=claimed_until)

    def end(self, claim: str, posted_at: float | None) -> Repeats:
        """End a claim. ``posted_at`` is when the message was posted or stored in the outbox, None if it was not."""
        if self.claim != claim:  # it counted as dead, and another delivery took its place
            return self if posted_at is None else self._replace(posted_at=posted_at)
        return Repeats(posted_at) if posted_at is not None else self._replace(claim="", claimed_until=0.0)


Step: TypeAlias = "Callable[[Repeats], Repeats]"
"""Returns the new state for the current one. It may be called more than once."""


class RepeatStore(Protocol):
    """Stores the repeats of messages by their keys, which are hashes. All calls raise `StorageError`."""

    def change(self, key: str, step: Step) -> tuple[Repeats, Repeats]:
        """Apply a step to a message's repeats, atomically; return them before and after it."""
