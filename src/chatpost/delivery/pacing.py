"""When a space may be posted to next, agreed between all processes of a user on a machine.

A space takes one request a second from all its webhooks. Each request therefore reserves a slot, the next free
instant of its space, and waits for it; then it passes the space's gate, which lets one through and closes for a
while. The slots keep the queue fair and tell how long it is; the gate holds even where somebody comes late to a slot,
or where the server asked for a pause that those who already have theirs knew nothing of.

Both are kept in a SQLite file in the user's state directory. Each step is one short transaction and nothing is held
between them, so that a process that is killed holds nobody up. The file names spaces by a hash, and holds no secret.

Pacing never stands in a message's way: where the file cannot be used it steps aside, and says so.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from chatpost.errors import SpaceBusy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEFAULT_INTERVAL = 1.1
"""Seconds between two slots of a space: its quota's second, and a tenth for what happens on the way."""

SLACK = 0.05
"""Seconds that a request may be sent later than its slot without keeping the next one waiting."""

LONGEST_PUSH = 3600.0
"""Seconds a server can keep a space from everybody at a time."""

LONGEST_WAIT = 24 * 3600.0 + LONGEST_PUSH
"""Seconds beyond which what is on file is nothing that anybody wrote."""

SAME_BOOT = 30.0
"""Seconds by which the wall clock may have been set while a machine is up; beyond them it counts as started anew."""

_LOCK_TIMEOUT = 2.0
_SHORT_LOCK_TIMEOUT = 0.3
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS space (hash TEXT PRIMARY KEY, next_slot REAL, closed_until REAL, booted_at REAL) "
    "WITHOUT ROWID"
)


class _Space(NamedTuple):
    """In how many seconds a space's next slot is, and its gate opens."""

    next_slot: float = 0.0
    opens: float = 0.0


class Pacer:
    """Reserves slots and keeps gates in the file at ``path``. Threads may share one.

    ``clock`` is in seconds, never jumps, and is the same for all processes until the machine starts anew, as
    `time.monotonic` is on Linux and macOS; ``wall_clock`` is in seconds of the epoch, and tells one start from
    another. ``warn`` is told, at most once, why pacing has stepped aside.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float], wall_clock: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self._path = path
        self._clock = clock
        self._booted_at = wall_clock() - clock()
        self._warn = warn
        self._usable = True

    def reserve(self, space: str, interval: float, within: float) -> float:
        """Take the space's next slot, and return the seconds until it; the one after it comes ``interval`` later.

        Raises `SpaceBusy` where it is more than ``within`` seconds away, and then takes none.
        """

        def take(now: _Space) -> _Space:
            slot = max(now)
            if slot > within:
                raise SpaceBusy(slot)
            return now._replace(next_slot=slot + interval)

        return max(self._change(space, take, within))

    def enter(self, space: str, interval: float, within: float) -> float:
        """Pass the gate, which closes behind; return 0, or the seconds until it opens where it is closed.

        Asking takes no longer than ``within`` seconds, even where the file is locked.
        """

        def pass_if_open(now: _Space) -> _Space:
            return now if now.opens else now._replace(opens=max(0.0, interval - SLACK))

        return self._change(space, pass_if_open, within).opens

    def push(self, space: str, seconds: float) -> None:
        """Keep the space from everybody for so many seconds."""
        shut = min(seconds, LONGEST_PUSH)
        self._change(space, lambda now: _Space(max(now.next_slot, shut), max(now.opens, shut)))

    def sent(self, space: str, interval: float) -> None:
        """Keep the gate closed from now on: a request that passed it has only now been sent."""
        self._change(space, lambda now: now._replace(opens=max(now.opens, interval - SLACK)))

    def _change(self, space: str, change: Callable[[_Space], _Space], within: float = _SHORT_LOCK_TIMEOUT) -> _Space:
        """Write what becomes of a space; return how it was, free where that cannot be known."""
        if not self._usable:
            return _Space()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            timeout = min(within, _LOCK_TIMEOUT)
            with closing(sqlite3.connect(self._path, timeout=timeout, isolation_level=None)) as connection:
                return self._change_in(connection, hashlib.sha256(space.encode()).hexdigest()[:32], change)
        except sqlite3.OperationalError as failure:
            self._step_aside(str(failure))
        except sqlite3.DatabaseError as failure:
            with suppress(OSError):
                self._path.unlink()
            self._step_aside(f"{failure}; it begins anew")
        except OSError as failure:
            self._step_aside(failure.strerror or "unknown error")
        return _Space()

    def _change_in(self, connection: sqlite3.Connection, name: str, change: Callable[[_Space], _Space]) -> _Space:
        # What a power cut could break costs a warning, not a message: no reason to wait for the disk.
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

    def _read(self, row: tuple[object, ...] | None, now: float) -> _Space:
        """Read a row as seconds from now; garbage, and what an earlier boot has written, is a space that is free."""
        match row:
            case (float() as next_slot, float() as closed_until, float() as booted_at) if (
                abs(booted_at - self._booted_at) < SAME_BOOT and max(next_slot, closed_until) - now <= LONGEST_WAIT
            ):
                return _Space(max(0.0, next_slot - now), max(0.0, closed_until - now))
        return _Space()

    def _step_aside(self, reason: str) -> None:
        self._usable = False
        self._warn(f"messages are not paced: {self._path} cannot be used: {reason}")
