"""A fleet's queues: each machine sends one sender at a time to the queue that the machines share.

The machine's own place is taken first, so a store that fails at any moment leaves the sender with its turn there.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from chatpost.delivery.model import FREE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatpost.delivery.model import Pacer, Place, Turn
    from chatpost.pacing.sqlite import SqlitePacer, SqliteTurn


class FleetPacer:
    """Paces by the machine's ``own`` store, and by the one that ``find_shared`` returns; either can be None."""

    def __init__(self, own: SqlitePacer | None, find_shared: Callable[[], Pacer | None]) -> None:
        self._own = own
        self._find_shared = find_shared
        self._is_found = False
        self._shared: Pacer | None = None
        self._lock = Lock()

    def turn(self, space: str, interval: float) -> FleetTurn:
        """Return a place, not taken yet, in the space's queues."""
        own = None if self._own is None else self._own.turn(space, interval)
        with self._lock:  # not before a message is paced: a program may have to print the store's URL
            if not self._is_found:
                self._shared, self._is_found = self._find_shared(), True
        shared = None if self._shared is None else self._shared.turn(space, interval)
        return FleetTurn(own, shared)

    def leave(self) -> None:
        """Give up all places: the command is cancelled."""
        for store in (self._own, self._shared):
            if store is not None:
                store.leave()


class FleetTurn:
    """A `chatpost.delivery.model.Turn` in the machine's own queue, then in the one that the machines share."""

    def __init__(self, own: SqliteTurn | None, shared: Turn | None) -> None:
        self._own = own
        self._shared = shared
        self._is_first = False  # of its machine

    def poll(self, within: float) -> Place:
        """Ask whether the turn has come; raises `SpaceBusy` if it comes too late."""
        if self._own is not None and not self._is_first:
            place = self._own.poll(within)
            if place.sleep:
                return place
            self._is_first = True
        place = FREE.poll(within) if self._shared is None else self._shared.poll(within)
        if place.sleep and self._own is not None:
            self._own.extend(place.sleep)
        return place

    def sent(self) -> None:
        """Count the interval from now."""
        for turn in self._both():
            turn.sent()

    def close_for(self, seconds: float | None) -> None:
        """Close the space to everybody."""
        for turn in self._both():
            turn.close_for(seconds)

    def leave(self) -> None:
        """Give up the places."""
        self._is_first = False
        for turn in self._both():
            turn.leave()

    def _both(self) -> Iterator[Turn]:
        return (turn for turn in (self._own, self._shared) if turn is not None)
