"""The repeats of one message, and their transitions: pure functions, without a clock or a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

LEASE = 10.0
"""Seconds after which the claim of a dead delivery ends; a living one renews it."""

_LATEST = 1e11  # of any time: seconds of the year 5138
_MOST = 1_000_000_000  # repeats
_SKEW = 60.0  # seconds by which clocks of machines may differ


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
                bool not in map(type, value)
                and 0 < posted_at <= _LATEST
                and 0 <= number <= _MOST
                and 0 <= until <= _LATEST
            ):
                return cls(posted_at, number, claim, until)
            case [0 | 0.0, 0, str() as claim, int() | float() as until] if 0 <= until <= _LATEST:
                return cls(0.0, 0, claim, until)
        return cls()

    def is_recent(self, now: float, seconds: float) -> bool:
        """Return whether the message was posted in the last ``seconds``, or just now by another clock."""
        return -_SKEW <= now - self.posted_at < seconds

    def is_claimed(self, now: float) -> bool:
        """Return whether a delivery is posting the message. A longer claim means that a clock was set back."""
        return bool(self.claim) and 0 < self.claimed_until - now <= LEASE + _SKEW

    def add(self, now: float, seconds: float, claim: str) -> Repeats:
        """Count a repeat, claim the message, or return it unchanged while another delivery is posting it."""
        if self.is_claimed(now):
            return self
        if self.is_recent(now, seconds):
            return self._replace(number=min(self.number + 1, _MOST))
        return self._replace(claim=claim, claimed_until=now + LEASE)

    def renew(self, now: float, claim: str) -> Repeats:
        """Extend a claim."""
        return self._replace(claimed_until=now + LEASE) if self.claim == claim else self

    def end(self, now: float, claim: str, *, is_posted: bool) -> Repeats:
        """End a claim. ``is_posted``: the message was posted or stored in the outbox."""
        if self.claim != claim:  # it counted as dead, and another delivery took its place
            return self._replace(posted_at=now) if is_posted else self
        return Repeats(now) if is_posted else self._replace(claim="", claimed_until=0.0)


Step: TypeAlias = "Callable[[Repeats, float], Repeats]"
"""Returns the new state for the current one and the current time. It may be called more than once."""


class RepeatStore(Protocol):
    """Stores the repeats of messages by their keys, which are hashes. All calls raise `StorageError`."""

    def change(self, key: str, step: Step) -> tuple[Repeats, Repeats, float]:
        """Apply a step to a message's repeats, atomically; return them before and after, and the time."""
