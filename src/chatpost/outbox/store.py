"""The interface of a message store. A message is stored before its first attempt and deleted after Chat's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeAlias

from chatpost.outbox.model import OutboxMessage

MOST_MESSAGES = 10_000
"""Maximum number of messages in an outbox."""

MOST_BYTES = 100_000_000
"""Maximum size of all messages in an outbox."""

FIRST_COOL_DOWN = 60.0
"""Seconds of the cool-down after the first failure of a webhook; doubled after each further failure."""

LONGEST_COOL_DOWN = 3600.0
"""Maximum seconds of a cool-down."""

Step: TypeAlias = "Callable[[list[OutboxMessage]], list[OutboxMessage] | None]"
"""Takes messages as they are now; returns them as they should be, or None for no change.

The store deletes messages that are left out, and adds those with the id 0. It stores a ``request`` that is not None as
the message's content. A step may be called more than once, so it must be pure.
"""


class CoolDown(NamedTuple):
    """The failures of a webhook since its last success; sends do not use it until ``retry_at``."""

    failures: int = 0
    retry_at: float = 0.0

    def after_failure(self, now: float) -> CoolDown:
        """Return the cool-down after one more failure."""
        seconds = min(LONGEST_COOL_DOWN, FIRST_COOL_DOWN * 2.0 ** min(self.failures, 10))
        return CoolDown(self.failures + 1, now + seconds)


class Outbox(Protocol):
    """Stores messages. A change is on the disk when the call returns. All calls raise `StorageError`."""

    def now(self) -> float:
        """Return the time by the outbox's clock, in seconds since the epoch."""

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        """Store messages, which expire after these seconds; return their ids. Raises `OutboxFull`."""

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        """Return the messages of a space, or all messages, by id, without their contents."""

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        """Return messages with their contents; skips those that no longer exist.

        Raises `StorageError` if the outbox has lost its messages: it never assigned one of the ids.
        """

    def change(
        self, space: str, ids: Sequence[int], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        """Apply a step to messages, without their contents, atomically; return its result, with the ids of new ones.

        ``answered`` is the fingerprint of a webhook whose cool-down ends.
        """

    def lock(self, space: str) -> AbstractContextManager[bool]:
        """Lock a space for posting in this context; False if another process has the lock."""

    def cool_down(self, fingerprint: str) -> CoolDown:
        """Return the cool-down of a webhook."""

    def flushed_at(self) -> float:
        """Return the time of the last successful flush by the outbox's clock, 0 if unknown."""

    def mark_flushed(self) -> None:
        """Record that a flush has succeeded."""

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown) -> None:
        """Store the cool-down of a webhook."""
