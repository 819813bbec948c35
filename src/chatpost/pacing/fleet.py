"""A fleet's queues: each machine has at most one sender at a time in the queue that the machines share.

A sender first waits for its turn on its own machine, so it still has that turn if the shared queue fails.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from chatpost.delivery.model import FREE, Pacer, Place, Turn
from chatpost.pacing.queue import QueueTurn

if TYPE_CHECKING:
    from chatpost.pacing.sqlite import SqlitePacer


class FleetPacer:
    """Paces by the machine's ``own`` pacer, then by the pacer that ``find_shared`` returns; either may be None."""

    def __init__(self, own: SqlitePacer | None, find_shared: Callable[[], Pacer | None]) -> None:
        self._own = own
        self._find_shared: Callable[[], Pacer | None] | None = find_shared
        self._shared: Pacer | None = None
        self._lock = Lock()

    def turn(self, space: str, interval: float) -> Turn:
        own = None if self._own is None else self._own.turn(space, interval)
        with self._lock:  # only when a message is paced: the URL may come from a program
            if self._find_shared is not None:
                self._shared, self._find_shared = self._find_shared(), None
        return _FleetTurn(own, FREE if self._shared is None else self._shared.turn(space, interval))

    def leave(self) -> None:
        for pacer in (self._own, self._shared):
            if pacer is not None:
                pacer.leave()


class _FleetTurn:
    """A `chatpost.delivery.model.Turn` in the machine's own queue, then in the shared queue."""

    def __init__(self, own: QueueTurn | None, shared: Turn) -> None:
        self._own = own
        self._shared = shared
        self._turns: tuple[Turn, ...] = (shared,) if own is None else (own, shared)
        self._has_own = False

    def poll(self, within: float) -> Place:
        if self._own is not None and not self._has_own:
            place = self._own.poll(within)
            if place.sleep:
                return place
            self._has_own = True
        place = self._shared.poll(within)
        if place.sleep and self._own is not None:
            self._own.extend(place.sleep)
        return place

    def sent(self) -> None:
        for turn in self._turns:
            turn.sent()

    def close_for(self, seconds: float | None) -> None:
        for turn in self._turns:
            turn.close_for(seconds)

    def leave(self) -> None:
        self._has_own = False
        for turn in self._turns:
            turn.leave()
