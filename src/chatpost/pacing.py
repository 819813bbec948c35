"""When a space may be posted to next, agreed between all processes of a user on a machine.

A space takes one request a second from all its webhooks, so each request first reserves a slot: the next free
instant of its space, kept in a SQLite file in the user's state directory. The reservation is one short
transaction; the wait that follows holds nothing, so that a process that is killed holds nobody up. The file
names spaces by a hash, and holds no secret.

Pacing never stands in a message's way: where the file cannot be used it steps aside, and says so.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from chatpost.errors import SpaceBusy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFAULT_INTERVAL = 1.1
"""Seconds between two requests to a space: its quota's second, and a tenth for the network's jitter."""

LONGEST_PUSH = 3600.0
"""Seconds a server can keep a space from everybody at a time."""

LONGEST_WAIT = 24 * 3600.0 + LONGEST_PUSH
"""Seconds beyond which a slot that is on file is no slot that anybody took."""

_LOCK_TIMEOUT = 2.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS slot (space TEXT PRIMARY KEY, free_at REAL, written_at REAL) WITHOUT ROWID"


class Pacer:
    """Reserves slots in the file at ``path``.

    ``clock`` is in seconds, never jumps, and is the same for all processes until the machine starts anew, as
    `time.monotonic` is on Linux and macOS. ``warn`` is told, at most once, why pacing has stepped aside.
    """

    def __init__(self, path: Path, clock: Callable[[], float], warn: Callable[[str], None]) -> None:
        self._path = path
        self._clock = clock
        self._warn = warn
        self._usable = True

    def reserve(self, space: str, interval: float, within: float) -> float:
        """Take the space's next slot, and return the seconds until it; the one after it comes ``interval`` later.

        Raises `SpaceBusy` where it is more than ``within`` seconds away, and then takes none.
        """

        def take(free_in: float) -> float:
            if free_in > within:
                raise SpaceBusy(free_in)
            return free_in + interval

        return self._change(space, take)

    def push(self, space: str, seconds: float) -> None:
        """Keep the space from everybody for so many seconds, as the server has asked for."""
        self._change(space, lambda free_in: max(free_in, min(seconds, LONGEST_PUSH)))

    def _change(self, space: str, change: Callable[[float], float]) -> float:
        """Set in how many seconds the space is free; return in how many it was, 0 where that cannot be known."""
        if not self._usable:
            return 0.0
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT, isolation_level=None)) as connection:
                return self._change_in(connection, hashlib.sha256(space.encode()).hexdigest()[:32], change)
        except sqlite3.OperationalError as failure:
            self._step_aside(str(failure))
        except sqlite3.DatabaseError as failure:
            self._path.unlink(missing_ok=True)
            self._step_aside(f"{failure}; it begins anew")
        except OSError as failure:
            self._step_aside(failure.strerror or "unknown error")
        return 0.0

    def _change_in(self, connection: sqlite3.Connection, space: str, change: Callable[[float], float]) -> float:
        # What a power cut could break costs a warning, not a message: no reason to wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        row = connection.execute("SELECT free_at, written_at FROM slot WHERE space = ?", (space,)).fetchone()
        now = self._clock()
        free_in = _free_in(row, now)
        try:
            changed = change(free_in)
        except SpaceBusy:
            connection.execute("ROLLBACK")
            raise
        connection.execute("INSERT OR REPLACE INTO slot VALUES (?, ?, ?)", (space, now + changed, now))
        connection.execute("COMMIT")
        return free_in

    def _step_aside(self, reason: str) -> None:
        self._usable = False
        self._warn(f"messages are not paced: {self._path} cannot be used: {reason}")


def _free_in(row: tuple[object, object] | None, now: float) -> float:
    """Return in how many seconds the space is free; 0 for garbage, and for what an earlier boot has written."""
    match row:
        case (float() as free_at, float() as written_at) if written_at <= now and free_at - now <= LONGEST_WAIT:
            return max(0.0, free_at - now)
    return 0.0
