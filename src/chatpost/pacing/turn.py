"""A sender's place in a space's queue, wherever a pacer keeps the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatpost.errors import SpaceBusy
from chatpost.pacing.queue import hash_space

if TYPE_CHECKING:
    from chatpost.delivery.model import Place


class QueuePacer:
    """Keeps the queues of spaces. ``holders`` are the turns that have a place."""

    def __init__(self) -> None:
        self.holders: set[QueueTurn] = set()

    def turn(self, space: str, interval: float) -> QueueTurn:
        """Return a place, not taken yet, in the queue of a space."""
        return QueueTurn(self, hash_space(space), interval)

    def leave(self) -> None:
        """Leave all queues: the command is cancelled."""
        for turn in list(self.holders):
            turn.leave()

    def step(self, turn: QueueTurn, name: str, seconds: float = 0.0) -> Place:
        """Take a step of `chatpost.pacing.queue.Queue`, or step aside: then it is everyone's turn."""
        raise NotImplementedError


class QueueTurn:
    """A `chatpost.delivery.model.Turn`. ``space`` is the space's hash, and ``ticket`` 0 before the first poll."""

    def __init__(self, pacer: QueuePacer, space: str, interval: float) -> None:
        self._pacer = pacer
        self.space = space
        self.interval = interval
        self.ticket = 0

    def poll(self, within: float) -> Place:
        """Ask whether the turn has come; raises `SpaceBusy` if it is more than ``within`` seconds away."""
        self._pacer.holders.add(self)  # from now on: a signal can come in between
        place = self._pacer.step(self, "poll", within)
        if place.wait > within:
            self._pacer.holders.discard(self)
            raise SpaceBusy(place.wait)
        return place

    def extend(self, seconds: float) -> None:
        """Keep the turn that has come for this time."""
        self._pacer.step(self, "extend", seconds)

    def sent(self) -> None:
        """Note that the request goes out now."""
        self._pacer.holders.discard(self)
        self._pacer.step(self, "sent")

    def close_for(self, seconds: float | None) -> None:
        """Close the space to all senders for this time; None: for one interval."""
        self._pacer.step(self, "close_for", seconds or self.interval)

    def leave(self) -> None:
        """Give up the place, or the turn that was not used."""
        if self in self._pacer.holders:
            self._pacer.holders.discard(self)
            self._pacer.step(self, "leave")
