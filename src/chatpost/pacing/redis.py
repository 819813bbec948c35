"""The queues of spaces in a Redis that a fleet shares.

Pacing never holds up a message: after a failure the Redis is left alone, and the machine's own queue goes on.
"""

from __future__ import annotations

import time
from math import inf
from threading import RLock
from typing import TYPE_CHECKING, Any

from chatpost.delivery.model import Place
from chatpost.errors import SpaceBusy, StorageError
from chatpost.pacing import queue
from chatpost.redis_client import PREFIX, Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.redis_client import RedisClient

TIMEOUT = 0.5
"""Seconds that a step may take."""

_LONGEST_WAIT = 1e9  # seconds: a longer one is no answer of ours
_MOST_TICKETS = 2.0**53
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

    After a failure the Redis is left alone for ``retry_after`` seconds; ``warn`` gets the reason, at most once.
    ``timeout`` is in seconds, for each step. ``holders`` are the turns that have a place.
    """

    def __init__(
        self,
        client: RedisClient,
        warn: Callable[[str], None],
        *,
        clock: Callable[[], float] | None = None,
        retry_after: float = inf,
        timeout: float = TIMEOUT,
    ) -> None:
        self._client = client
        self._warn = warn
        self._clock = clock
        self._retry_after = retry_after
        self._timeout = timeout
        self._script = _load_script()
        self._lock = RLock()  # the handler of a signal leaves the queues
        self._has_warned = False
        self.holders: set[RedisTurn] = set()

    def turn(self, space: str, interval: float) -> RedisTurn:
        """Return a place, not taken yet, in the queue of a space."""
        return RedisTurn(self, queue.hash_space(space), interval)

    def leave(self) -> None:
        """Leave all queues: the command is cancelled."""
        for turn in list(self.holders):
            turn.leave()

    def step(
        self, step: str, space: str, ticket: int, interval: float, seconds: float = 0.0
    ) -> tuple[int, Place] | None:
        """Take a step in the queue of a space, given by its hash.

        Return the ticket and the place after ``poll``; None after other steps, and while the Redis is left alone.
        """
        failed_at = self._client.failed_at  # the outbox may have asked it, too
        if failed_at is not None and time.monotonic() - failed_at < self._retry_after:
            return None
        now = "" if self._clock is None else repr(self._clock())
        arguments = (step, now, ticket, repr(interval), repr(seconds), *_CONSTANTS)
        try:
            answer = self._client.run(self._script, _keys(space), arguments, self._timeout)
            place = _read_place(answer) if step == "poll" else None
            if step == "poll" and place is None:
                raise self._client.reject(answer)
        except StorageError as failure:
            with self._lock:
                has_warned, self._has_warned = self._has_warned, True
            if not has_warned:
                self._warn(f"messages are paced by this machine alone: {failure}")
            return None
        return place


def check_queue(client: RedisClient) -> None:
    """Leave a queue, to see whether steps can be taken; raises `StorageError`."""
    answer = client.run(_load_script(), _keys(queue.hash_space("")), ("leave", "", 0, "1.0", "0", *_CONSTANTS))
    if answer != []:
        raise client.reject(answer)


def _load_script() -> Script:
    return Script.load("chatpost.pacing", "queue.lua")


def _keys(space: str) -> tuple[str, ...]:
    # The keys of a space share a tag, so that they are on the same server of a cluster.
    return tuple(f"{PREFIX}{{{space}}}:{part}" for part in ("gate", "waiting", "expiring"))


def _read_place(answer: Any) -> tuple[int, Place] | None:
    """Return the ticket and the place in an answer to ``poll``; None if it makes no sense."""
    try:
        ticket, sleep, turn_in = map(float, answer)
        has_sense = 1 <= ticket <= _MOST_TICKETS and 0 <= sleep <= queue.LONGEST_SLEEP and 0 <= turn_in <= _LONGEST_WAIT
    except (TypeError, ValueError):
        return None
    return (int(ticket), Place(sleep, turn_in)) if has_sense else None


class RedisTurn:
    """A `chatpost.delivery.model.Turn` in a Redis; ``space`` is the space's hash."""

    def __init__(self, pacer: RedisPacer, space: str, interval: float) -> None:
        self._pacer = pacer
        self._space = space
        self._interval = interval
        self._ticket = 0

    def poll(self, within: float) -> Place:
        """Ask whether the turn has come; raises `SpaceBusy` if it is more than ``within`` seconds away."""
        self._pacer.holders.add(self)  # from now on: a signal can come in between
        answer = self._step("poll", within)
        if answer is None:
            return Place(0.0, 0.0)
        self._ticket, place = answer
        if place.wait > within:
            self._pacer.holders.discard(self)
            raise SpaceBusy(place.wait)
        return place

    def sent(self) -> None:
        """Note that the request goes out now."""
        self._pacer.holders.discard(self)
        self._step("sent")

    def close_for(self, seconds: float | None) -> None:
        """Close the space to all senders for this time; None: for one interval."""
        self._step("close_for", seconds or self._interval)

    def leave(self) -> None:
        """Give up the place, or the turn that was not used."""
        if self in self._pacer.holders:
            self._pacer.holders.discard(self)
            self._step("leave")

    def _step(self, step: str, seconds: float = 0.0) -> tuple[int, Place] | None:
        return self._pacer.step(step, self._space, self._ticket, self._interval, seconds)
