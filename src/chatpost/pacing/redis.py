"""The queues of spaces in a Redis that a fleet shares.

Pacing never holds up a message: after a failure, the pacer does not use the Redis, and the machine's own queue remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any

from chatpost.delivery.model import Place
from chatpost.errors import StorageError
from chatpost.pacing.queue import CONSTANTS, LONGEST_SLEEP, NOW, QueuePacer, QueueTurn, hash_space
from chatpost.redis_client import PREFIX, RedisClient, load_script

_LONGEST_TURN = 86_400.0  # seconds; no queue takes longer
_TIMEOUT = 0.5  # seconds that a step may take
_SCRIPT = ("chatpost.pacing", "queue.lua")


class RedisPacer(QueuePacer):
    """Stores queues in a Redis, by its clock or by ``clock``. Threads may share one.

    After a failure, the Redis is not used for ``retry_after`` seconds; ``warn`` gets the reason, at most once.
    ``timeout`` is in seconds per step.
    """

    def __init__(
        self,
        client: RedisClient,
        warn: Callable[[str], None],
        *,
        clock: Callable[[], float] | None = None,
        retry_after: float = inf,
        timeout: float = _TIMEOUT,
    ) -> None:
        super().__init__()
        self._client = client
        self._warn = warn
        self._clock = clock
        self._retry_after = retry_after
        self._timeout = timeout
        self._script = load_script(*_SCRIPT)
        self._failures = count()  # atomic, for threads and signal handlers

    def step(self, turn: QueueTurn, name: str, seconds: float = 0.0) -> Place:
        failed_at = self._client.failed_at  # the outbox shares the client
        if failed_at is not None and time.monotonic() - failed_at < self._retry_after:
            return NOW
        now = "" if self._clock is None else repr(self._clock())
        arguments = (name, now, turn.ticket, repr(turn.interval), repr(seconds), *CONSTANTS)
        try:
            answer = self._client.run(self._script, _keys(turn.space), arguments, self._timeout)
            if name != "poll":
                return NOW
            found = _read_place(answer)
            if found is None:
                raise self._client.reject(answer)
            turn.ticket, place = found
        except StorageError as failure:
            if next(self._failures) == 0:
                self._warn(f"messages are paced on this machine only: {failure}")
            return NOW
        return place


def check_queue(client: RedisClient) -> None:
    """Check that steps work, by leaving a queue; raises `StorageError`."""
    answer = client.run(load_script(*_SCRIPT), _keys(hash_space("")), ("leave", "", 0, "1.0", "0", *CONSTANTS))
    if answer != []:
        raise client.reject(answer)


def _keys(space: str) -> tuple[str, ...]:
    # The keys of a space share a hash tag, so that they are on the same node of a cluster.
    return tuple(f"{PREFIX}{{{space}}}:{part}" for part in ("gate", "waiting", "expiring"))


def _read_place(answer: Any) -> tuple[int, Place] | None:
    """Return the ticket and the place in an answer to ``poll``; None if it is invalid."""
    try:
        ticket, sleep, turn_in = map(float, answer)
    except (TypeError, ValueError):
        return None
    has_sense = 1 <= ticket <= 2.0**53 and 0 <= sleep <= LONGEST_SLEEP and 0 <= turn_in <= _LONGEST_TURN
    return (int(ticket), Place(sleep, max(sleep, turn_in))) if has_sense else None
