"""The queues of spaces in a SQLite file that all of a user's processes on a machine share.

Each step is one short transaction, with no lock in between. The file names spaces by a hash, and holds no secret. A
file that is damaged, or not ours, is replaced.

Pacing never holds up a message: if the file cannot be used, or the disk hangs, the pacer warns and steps aside.
"""

from __future__ import annotations

import json
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from chatpost.concurrency import run_with_timeout
from chatpost.database import transaction
from chatpost.delivery.model import Place
from chatpost.errors import SpaceBusy, StorageError
from chatpost.pacing.queue import Queue, Waiter, hash_space

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_STEP = 2.0
"""Seconds to wait for the file, or for the disk, before stepping aside; at most half of the time that is left."""

_SHORTEST_STEP = 0.1
_SCHEMA = "CREATE TABLE IF NOT EXISTS space (hash TEXT PRIMARY KEY, boot TEXT, queue TEXT) WITHOUT ROWID"


class SqlitePacer:
    """Keeps queues in the file at ``path``. Threads may share one.

    ``clock`` is in seconds, never jumps, and is the same for all processes until the machine reboots, as
    `time.monotonic` is on Linux and macOS. ``boot`` is an id of this boot of the machine. ``warn`` is called, at most
    once, with the reason why the pacer has stepped aside. ``holders`` are the turns that have a place.
    """

    def __init__(self, path: Path, clock: Callable[[], float], boot: str, warn: Callable[[str], None]) -> None:
        self._path = path
        self._clock = clock
        self._boot = boot
        self._warn = warn
        self._usable = True
        self.holders: set[SqliteTurn] = set()

    def turn(self, space: str, interval: float) -> SqliteTurn:
        """Return a place, not taken yet, in the queue of a space."""
        return SqliteTurn(self, hash_space(space), interval)

    def leave(self) -> None:
        """Leave all queues: the command is cancelled."""
        for turn in list(self.holders):
            turn.leave()

    def change(self, name: str, change: Callable[[Queue, float], Queue], left: float = inf) -> None:
        """Change the queue ``name`` by a function of the queue and the time, or step aside.

        ``left`` is the seconds that are left for the message.
        """
        if not self._usable:
            return
        limit = max(_SHORTEST_STEP, min(left / 2, LONGEST_STEP))
        try:
            reason = run_with_timeout(limit, lambda: self._try_to_change(name, change, limit))
        except TimeoutError:
            reason = f"it does not answer within {limit:.1f} s"
        if reason is not None:
            self._usable = False
            self._warn(f"messages are not paced: {self._path} cannot be used: {reason}")

    def _try_to_change(self, name: str, change: Callable[[Queue, float], Queue], limit: float) -> str | None:
        """Return the reason why the file cannot be used, or None."""
        try:
            try:
                self._change_in_file(name, change, limit)
            except StorageError as failure:
                if not failure.is_permanent:
                    return failure.reason
                self._remove_file()
                self._change_in_file(name, change, limit)
        except StorageError as failure:
            return failure.reason
        return None

    def _remove_file(self) -> None:
        """Remove a file that is damaged or has another schema, and anything in the place of its journal."""
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            with suppress(OSError):
                path.unlink()
            with suppress(OSError):
                path.rmdir()

    def _change_in_file(self, name: str, change: Callable[[Queue, float], Queue], limit: float) -> None:
        timeout = 0.9 * limit  # so that its reason is told
        # A power cut can cost a warning, never a message: no reason to wait for the disk.
        with transaction(self._path, [_SCHEMA], timeout, is_durable=False) as file:
            row = file.execute("SELECT boot, queue FROM space WHERE hash = ?", (name,)).fetchone()
            now = self._clock()
            queue = _read(row[1]).at(now) if row is not None and row[0] == self._boot else Queue()
            written = (name, self._boot, json.dumps(change(queue, now)))
            file.execute("INSERT OR REPLACE INTO space VALUES (?, ?, ?)", written)


def boot_id() -> str:
    """Return an id of this boot of the machine, so that times of an earlier boot are not taken for this one's."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
    except OSError:
        return _boot_session_of_macos()


def _boot_session_of_macos() -> str:
    """Return the kernel's own id of the boot session; empty on a system without one."""
    import ctypes  # not for Linux

    try:
        system = ctypes.CDLL(None)
        value, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        failed = system.sysctlbyname(b"kern.bootsessionuuid", value, ctypes.byref(size), None, 0)
    except (AttributeError, OSError):
        return ""
    return "" if failed else value.value.decode(errors="replace")


def _read(written: str) -> Queue:
    """Read a queue. Invalid data gives an empty queue."""
    try:
        sent_at, closed_until, sender, sender_until, tickets, waiting, sent_before = json.loads(written)
        waiters = tuple(Waiter(int(ticket), float(interval), float(until)) for ticket, interval, until in waiting)
        times = float(sent_at), float(closed_until)
        queue = Queue(*times, int(sender), float(sender_until), int(tickets), waiters, float(sent_before))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return Queue()
    numbers = [*times, queue.sent_before, queue.sender_until, *(x for _, *both in waiters for x in both)]
    return queue if all(map(isfinite, numbers)) else Queue()


class SqliteTurn:
    """A `chatpost.delivery.model.Turn` in the file; ``name`` is the space's hash."""

    def __init__(self, pacer: SqlitePacer, name: str, interval: float) -> None:
        self._pacer = pacer
        self._name = name
        self._interval = interval
        self._ticket = 0

    def poll(self, within: float) -> Place:
        """Ask whether the turn has come; raises `SpaceBusy` if it is more than ``within`` seconds away."""
        place = Place(0.0, 0.0)

        def poll(queue: Queue, now: float) -> Queue:
            nonlocal place
            queue, self._ticket, place = queue.poll(now, self._ticket, self._interval)
            return queue.leave(self._ticket) if place.wait > within else queue

        self._pacer.holders.add(self)  # from now on: a signal can come in between
        self._pacer.change(self._name, poll, within)
        if place.wait > within:
            self._pacer.holders.discard(self)
            raise SpaceBusy(place.wait)
        return place

    def extend(self, seconds: float) -> None:
        """Keep the turn that has come for this time."""
        self._pacer.change(self._name, lambda queue, now: queue.extend(now, self._ticket, seconds))

    def sent(self) -> None:
        """Note that the request goes out now."""
        self._pacer.holders.discard(self)
        self._pacer.change(self._name, lambda queue, now: queue.sent(now, self._ticket))

    def close_for(self, seconds: float | None) -> None:
        """Close the space to all senders for this time; None: for one interval."""
        self._pacer.change(self._name, lambda queue, now: queue.close_for(now, seconds or self._interval))

    def leave(self) -> None:
        """Give up the place, or the turn that was not used."""
        if self in self._pacer.holders:
            self._pacer.holders.discard(self)
            self._pacer.change(self._name, lambda queue, _: queue.leave(self._ticket))
