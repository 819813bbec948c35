"""What each store of messages does. A message is stored before its first attempt, and deleted after Chat's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeAlias

from chatpost.outbox.model import OutboxMessage

MOST_MESSAGES = 10_000
"""Messages that an outbox holds."""

MOST_BYTES = 100_000_000
"""Bytes of messages that an outbox holds."""

FIRST_COOL_DOWN = 60.0
"""Seconds of the cool-down after the first failure of a webhook; they double with each failure."""

LONGEST_COOL_DOWN = 3600.0
"""Seconds beyond which the cool-down does not grow."""

Step: TypeAlias = "Callable[[list[OutboxMessage]], list[OutboxMessage] | None]"
"""Changes messages: is given them as they are now, and returns what they become, or None to leave them alone.

A message that is left out is deleted, and one with the id 0 is added. A ``request`` that is not None is stored as the
message's content. A step can be called several times, so it changes nothing else.
"""


class CoolDown(NamedTuple):
    """The failures of a webhook since it last took a message; until ``retry_at``, sends do not try it."""

    failures: int = 0
    retry_at: float = 0.0

    def after_failure(self, now: float) -> CoolDown:
        """Return the cool-down after one more failure."""
        seconds = min(LONGEST_COOL_DOWN, FIRST_COOL_DOWN * 2.0 ** min(self.failures, 10))
        return CoolDown(self.failures + 1, now + seconds)


class Outbox(Protocol):
    """Stores messages. Every change is on the disk when the call returns. All calls raise `StorageError`."""

    def now(self) -> float:
        """Return the time by the outbox's clock, in seconds since the epoch."""

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        """Store messages that expire after these seconds; return their ids. Raises `OutboxFull`."""

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        """Return the messages of a space, or all, in the order of their ids, without their contents."""

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        """Return messages with their contents, without those that are not there.

        Raises `StorageError` if the outbox has lost its messages: it does not know an id.
        """

    def change(
        self, space: str, ids: Sequence[int], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        """Change messages, all or none, and without a change of others in between; return the step's result.

        The messages have no contents. If a webhook, given by its fingerprint, has ``answered``, its cool-down ends.
        """

    def lock(self, space: str) -> AbstractContextManager[bool]:
        """Keep others from posting to the space in this context; False if another process does so now."""

    def cool_down(self, fingerprint: str) -> CoolDown:
        """Return the cool-down of a webhook."""

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown) -> None:
        """Store the cool-down of a webhook."""
