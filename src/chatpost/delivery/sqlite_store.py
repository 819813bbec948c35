"""The queues of spaces in a SQLite file that all of a user's processes on a machine share.

Each step is one short transaction and nothing is held between them, so a process that is killed holds up nobody. The
file names spaces by a hash, and holds no secret.

Pacing never stands in a message's way: if the file cannot be used, the store steps aside and says so.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from chatpost.delivery.pacing import LONGEST_WAIT, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAME_BOOT = 30.0
"""Seconds by which the wall clock may have been set while the machine is up; beyond them it counts as rebooted."""

_LOCK_TIMEOUT = 2.0
_SHORT_LOCK_TIMEOUT = 0.3
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS space (hash TEXT PRIMARY KEY, next_slot REAL, closed_until REAL, booted_at REAL) "
    "WITHOUT ROWID"
)


class SqliteStore:
    """Keeps queues in the file at ``path``. Threads may share one.

    ``clock`` is in seconds, never jumps, and is the same for all processes until the machine reboots, as
    `time.monotonic` is on Linux and macOS. ``wall_clock`` is in seconds of the epoch, and tells one boot from another.
    ``warn`` is called, at most once, with the reason why the store has stepped aside.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float], wall_clock: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self._path = path
        self._clock = clock
        self._booted_at = wall_clock() - clock()
        self._warn = warn
        self._usable = True

    def turn(self, space: str, interval: float) -> SqliteTurn:
        """Return a place in the space's queue."""
        return SqliteTurn(self, hashlib.sha256(space.encode()).hexdigest()[:32], interval)

    def change(self, name: str, change: Callable[[Queue], Queue], within: float = _SHORT_LOCK_TIMEOUT) -> Queue:
        """Change a queue, and return how it was; an empty one if that cannot be known.

        Waits for a locked file no longer than ``within`` seconds.
        """
        if not self._usable:
            return Queue()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            timeout = min(within, _LOCK_TIMEOUT)
            with closing(sqlite3.connect(self._path, timeout=timeout, isolation_level=None)) as connection:
                return self._change_in(connection, name, change)
        except sqlite3.OperationalError as failure:
            self._step_aside(str(failure))
        except sqlite3.DatabaseError as failure:
            with suppress(OSError):
                self._path.unlink()
            self._step_aside(f"{failure}; it begins anew")
        except OSError as failure:
            self._step_aside(failure.strerror or "unknown error")
        return Queue()

    def _change_in(self, connection: sqlite3.Connection, name: str, change: Callable[[Queue], Queue]) -> Queue:
        # A power cut can cost a warning, never a message: no reason to wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        row = connection.execute("SELECT next_slot, closed_until, booted_at FROM space WHERE hash = ?", (name,))
        now = self._clock()
        before = self._read(row.fetchone(), now)
        # An exception leaves the transaction open, and closing the connection then undoes it.
        after = change(before)
        written = (name, now + after.next_slot, now + after.opens, self._booted_at)
        connection.execute("INSERT OR REPLACE INTO space VALUES (?, ?, ?, ?)", written)
        connection.execute("COMMIT")
        return before

    def _read(self, row: tuple[object, ...] | None, now: float) -> Queue:
        """Read a row as seconds from now. Garbage, or a row from before a reboot, is an empty queue."""
        match row:
            case (float() as next_slot, float() as closed_until, float() as booted_at) if (
                abs(booted_at - self._booted_at) < SAME_BOOT and max(next_slot, closed_until) - now <= LONGEST_WAIT
            ):
                return Queue(max(0.0, next_slot - now), max(0.0, closed_until - now))
        return Queue()

    def _step_aside(self, reason: str) -> None:
        self._usable = False
        self._warn(f"messages are not paced: {self._path} cannot be used: {reason}")


class SqliteTurn(NamedTuple):
    """A `chatpost.delivery.pacing.Turn` in the store; ``name`` is the space's hash."""

    store: SqliteStore
    name: str
    interval: float

    def reserve(self, within: float) -> float:
        """Reserve a slot."""
        return max(self.store.change(self.name, lambda queue: queue.reserve(self.interval, within), within))

    def enter(self, within: float) -> float:
        """Pass the gate if it is open."""
        return self.store.change(self.name, lambda queue: queue.enter(self.interval), within).opens

    def sent(self) -> None:
        """Count the interval from now."""
        self.store.change(self.name, lambda queue: queue.sent(self.interval))

    def push(self, seconds: float | None) -> None:
        """Close the space to everybody."""
        self.store.change(self.name, lambda queue: queue.push(seconds or self.interval))
