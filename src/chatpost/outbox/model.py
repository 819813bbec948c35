"""Messages that wait for a better time, and the outbox that keeps them: what every store of them does.

A message is on the disk, under its request id, before it is tried, and leaves the outbox when Chat has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest

MOST_MESSAGES = 10_000
"""Messages that an outbox holds."""

MOST_BYTES = 100_000_000
"""Bytes of messages that an outbox holds."""

AWAITED_FOR = 3600.0
"""Seconds after which the sender of a posted message is taken for dead."""

FIRST_REST = 60.0
"""Seconds for which sends leave a webhook alone that has failed; they double with each failure."""

LONGEST_REST = 3600.0
"""Seconds beyond which that does not grow."""


class Entry(NamedTuple):
    """A message in the outbox, from ``host``. Times are seconds since the epoch.

    ``profile``, in the file ``config``, names its webhook, None for the one in CHATPOST_URL; ``fingerprint`` tells
    whether that is still the same. ``space`` is where it posts to, ``thread`` is the same for all messages of a thread.
    ``is_alone``: it goes into no digest. ``is_part``: it goes on from the message before.

    ``state`` is ``waiting``; ``sealed`` if it is being sent, or may have been posted, so that ``request`` is not
    changed any more; ``posted``, with the answer ``created``; ``refused`` by Chat; or ``expired``. ``is_uncertain``: it
    may have been posted. ``error`` is that of the last of its ``attempts``. ``digest`` is the id of the first message
    of the digest that it goes with.
    """

    written: float
    host: str
    profile: str | None
    config: str | None
    fingerprint: str
    space: str
    thread: str
    request: CreateMessageRequest
    interval: float | None
    keep_until: float
    is_alone: bool = False
    is_part: bool = False
    id: int = 0
    state: str = "waiting"
    attempts: int = 0
    error: str | None = None
    digest: int | None = None
    is_uncertain: bool = False
    created: CreatedMessage | None = None


class State(NamedTuple):
    """The space and the state of a message."""

    space: str
    state: str

    @property
    def waits(self) -> bool:
        """Whether the message is still to be posted."""
        return self.state in {"waiting", "sealed"}


class Head(NamedTuple):
    """The first message of a thread that waits, without its content."""

    id: int
    fingerprint: str
    thread: str
    profile: str | None
    config: str | None


class Outbox(Protocol):
    """Keeps messages. Every change is on the disk when the call returns. All calls raise `StorageError`."""

    def add(self, entries: Sequence[Entry], *, is_awaited: bool) -> list[int]:
        """Keep messages; return their ids. Raises `StorageError` if there is no room.

        ``is_awaited``: the caller wants to know their answers, and calls `release` in the end.
        """

    def withdraw(self, ids: Iterable[int]) -> list[int]:
        """Take messages out, unless others have put them into a digest; return the ids of those that stay."""

    def release(self, ids: Iterable[int]) -> None:
        """Say that nobody waits for the messages' answers any more."""

    def get(self, id: int) -> Entry | None:  # noqa: A002 - the name that users know
        """Return a message; None if it has been taken out. Raises `StorageError` if the outbox has lost it."""

    def entries(self) -> list[Entry]:
        """Return all messages that are not posted, in their order."""

    def states(self) -> dict[int, State]:
        """Return the states of all messages that are not posted, by their ids, in their order."""

    def waiting(self) -> list[str]:
        """Return the spaces in which messages wait."""

    def heads(self, space: str) -> list[Head]:
        """Return the first message of each thread of the space that waits to be posted."""

    def followers(self, head: Entry, most: int) -> list[Entry]:
        """Return the messages that wait in the same thread, from this one on."""

    def lock(self, space: str) -> AbstractContextManager[bool]:
        """Keep others from posting to the space in this context; False if another does so now."""

    def seal(self, head: Entry, members: Sequence[Entry], request: CreateMessageRequest) -> bool:
        """Note that the members are sent now, as this request; False if one of them has been changed meanwhile."""

    def posted(self, head: Entry, created: CreatedMessage) -> None:
        """Note that the message, with its digest, is posted."""

    def failed(self, head: Entry, error: str, *, maybe_posted: bool) -> None:
        """Note that an attempt has failed. If the message surely was not posted, it can be changed again."""

    def note(self, id: int, error: str) -> None:  # noqa: A002 - the name that users know
        """Note why a message cannot even be tried."""

    def refuse(self, head: Entry, error: str) -> None:
        """Note that Chat will never take the message. A digest's messages are tried one by one, if none is posted."""

    def expire(self, space: str, now: float, notice: Callable[[Sequence[Entry], float], Entry]) -> None:
        """Let messages expire, and keep a notice of those that the space has not been told of."""

    def rest_until(self, fingerprint: str) -> float:
        """Return the time until which sends leave a webhook alone."""

    def rest(self, fingerprint: str, now: float) -> None:
        """Leave a webhook alone that has failed: the longer, the more often it has since it was last posted to."""

    def retry(self, ids: Iterable[int], keep_until: float) -> None:
        """Let messages wait again, with their digests. One that may have been posted stays as it was sent."""

    def move(self, ids: Iterable[int], webhook: Entry) -> None:
        """Give messages, with their digests, the webhook of this entry."""

    def drop(self, ids: Iterable[int]) -> int:
        """Take messages out, with their digests; return how many there were."""
