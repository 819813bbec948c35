"""When a space may be posted to next: the arithmetic of its queue, without a clock and without a store.

A space takes one request a second from all its webhooks. Each request therefore reserves a slot, the space's next free
instant, and waits for it. Then it passes the space's gate, which lets one request through and closes for a while. The
slots keep the queue fair and tell how long it is. The gate holds even if somebody comes late to a slot, or if the
server asked for a pause after others had reserved theirs.

All times are seconds from now.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chatpost.errors import SpaceBusy

DEFAULT_INTERVAL = 1.1
"""Seconds between two slots of a space: its quota's second, and a tenth for what happens on the way."""

SLACK = 0.05
"""Seconds that a request may be sent after its slot without keeping the next one waiting."""

LONGEST_PUSH = 3600.0
"""Seconds for which a server can close a space to everybody at a time."""

LONGEST_WAIT = 24 * 3600.0 + LONGEST_PUSH
"""A longer wait than this was not written by us."""


class Queue(NamedTuple):
    """A space's queue: its next free slot, and when its gate opens."""

    next_slot: float = 0.0
    opens: float = 0.0

    def reserve(self, interval: float, within: float) -> Queue:
        """Take the next slot, ``max(self)``; the one after it comes ``interval`` later.

        Raises `SpaceBusy` if the slot is more than ``within`` seconds away.
        """
        slot = max(self)
        if slot > within:
            raise SpaceBusy(slot)
        return self._replace(next_slot=slot + interval)

    def enter(self, interval: float) -> Queue:
        """Pass the gate, which closes behind; a gate that is closed stays as it is."""
        return self if self.opens else self._replace(opens=max(0.0, interval - SLACK))

    def sent(self, interval: float) -> Queue:
        """Count the interval from now: a request that passed the gate has only now gone out."""
        return self._replace(opens=max(self.opens, interval - SLACK))

    def push(self, seconds: float) -> Queue:
        """Close the space to everybody for so many seconds, at most `LONGEST_PUSH`."""
        shut = min(seconds, LONGEST_PUSH)
        return Queue(max(self.next_slot, shut), max(self.opens, shut))


class Turn(Protocol):
    """One sender's place in a space's queue."""

    def reserve(self, within: float) -> float:
        """Reserve a slot; return the seconds to wait for it. Raises `SpaceBusy` if they are more than ``within``."""

    def enter(self, within: float) -> float:
        """Return 0 if the request can be sent now, else the seconds after which to ask again.

        Returns within so many seconds.
        """

    def sent(self) -> None:
        """Note that the request goes out now."""

    def push(self, seconds: float | None) -> None:
        """Close the space to everybody for so many seconds; None: for one interval."""


class _Free:
    """The turn of a message that does not queue."""

    def reserve(self, _within: float) -> float:
        return 0.0

    def enter(self, _within: float) -> float:
        return 0.0

    def sent(self) -> None:
        pass

    def push(self, seconds: float | None) -> None:
        pass


FREE: Turn = _Free()
"""The turn of a message that does not queue: always now."""


class Pacer(Protocol):
    """Keeps the queues of all spaces."""

    def turn(self, space: str, interval: float) -> Turn:
        """Return a place, not reserved yet, in the queue of a space that takes a request every ``interval`` seconds."""
