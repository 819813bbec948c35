"""The queues of spaces in a Redis that a fleet shares.

Pacing never stands in a message's way: after one failure the store is left alone for the rest of the process, and the
machine's own queue goes on.
"""

from __future__ import annotations

import hashlib
import time
from math import inf
from threading import Lock
from typing import TYPE_CHECKING

from chatpost.delivery.model import Place
from chatpost.delivery.redis_server import PREFIX, Script
from chatpost.errors import SpaceBusy, StorageError
from chatpost.pacing import queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.delivery.redis_server import RedisServer

TIMEOUT = 0.5
"""Seconds that a step may take."""

_CONSTANTS = (
    queue.SLACK,
    queue.LONGEST_CLOSURE,
    queue.SHORT_SLEEP,
    queue.LONGEST_SLEEP,
    queue.SHORTEST_SLEEP,
    queue.LEASE,
)


class RedisPacer:
    """Keeps queues in a Redis, by its own clock or by ``clock``. Threads may share one.

    ``warn`` is called, at most once, with the reason why it is left alone for ``retry_after`` seconds. ``timeout`` is
    in seconds, for each step.
    """

    def __init__(
        self,
        server: RedisServer,
        warn: Callable[[str], None],
        *,
        clock: Callable[[], float] | None = None,
        retry_after: float = inf,
        timeout: float = TIMEOUT,
    ) -> None:
        self._server = server
        self._warn = warn
        self._clock = clock
        self._retry_after = retry_after
        self._timeout = timeout
        self._script = Script.load("queue.lua")
        self._lock = Lock()
        self._has_warned = False
        self.holders: set[RedisTurn] = set()

    def turn(self, space: str, interval: float) -> RedisTurn:
        """Return a place, not taken yet, in the space's queue."""
        return RedisTurn(self, _hashed(space), interval)

    def leave(self) -> None:
        """Leave all queues: the command is cancelled."""
        for turn in list(self.holders):
            turn.leave()

    def step(self, step: str, space: str, ticket: int, interval: float, seconds: float = 0.0) -> list[bytes]:
        """Take a step in the queue of a space, given by its hash; return nothing while the store is left alone."""
        failed_at = self._server.failed_at  # the outbox may have asked it, too
        if failed_at is not None and time.monotonic() - failed_at < self._retry_after:
            return []
        now = "" if self._clock is None else repr(self._clock())
        try:
            arguments = (step, now, ticket, repr(interval), repr(seconds), *_CONSTANTS)
            answer: list[bytes] = self._server.run(self._script, _keys(space), arguments, self._timeout)
        except StorageError as failure:
            with self._lock:
                has_warned, self._has_warned = self._has_warned, True
            if not has_warned:
                self._warn(f"messages are paced by this machine alone: {failure}")
            return []
        return answer


def check_queue(server: RedisServer) -> None:
    """Take a step in a queue, to see whether that can be done; raises `StorageError`."""
    nobody = ("leave", "", 0, "1.0", "0", *_CONSTANTS)
    server.run(Script.load("queue.lua"), _keys(_hashed("")), nobody)


def _hashed(space: str) -> str:
    return hashlib.sha256(space.encode()).hexdigest()[:32]


def _keys(space: str) -> tuple[str, ...]:
    # The keys of a space share a tag, so that they are on the same server of a cluster.
    return tuple(f"{PREFIX}{{{space}}}:{part}" for part in ("gate", "waiting", "expiring"))


class RedisTurn:
    """A `chatpost.delivery.model.Turn` in the store; ``space`` is the space's hash."""

    def __init__(self, store: RedisPacer, space: str, interval: float) -> None:
        self._store = store
        self._space = space
        self._interval = interval
        self._ticket = 0

    def poll(self, within: float) -> Place:
        """Ask whether the turn has come."""
        self._store.holders.add(self)  # from now on: a signal can come in between
        answer = self._step("poll", within)
        if not answer:
            return Place(0.0, 0.0)
        ticket, sleep, turn_in = map(float, answer)
        self._ticket, place = int(ticket), Place(sleep, turn_in)
        if place.wait > within:
            self._store.holders.discard(self)
            raise SpaceBusy(place.wait)
        return place

    def sent(self) -> None:
        """Count the interval from now."""
        self._store.holders.discard(self)
        self._step("sent")

    def close_for(self, seconds: float | None) -> None:
        """Close the space to everybody."""
        self._step("close_for", seconds or self._interval)

    def leave(self) -> None:
        """Give up the place."""
        if self in self._store.holders:
            self._store.holders.discard(self)
            self._step("leave")

    def _step(self, step: str, seconds: float = 0.0) -> list[bytes]:
        return self._store.step(step, self._space, self._ticket, self._interval, seconds)
