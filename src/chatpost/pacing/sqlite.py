"""The queues of spaces in a SQLite file that all of a user's processes on a machine share.

Each step is one short transaction, with no lock in between. The file names spaces by a hash and has no secrets. A file
that is damaged, or of another program, is replaced.

Pacing never holds up a message: if the file cannot be used, or the disk hangs, the pacer warns, and pacing stops.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chatpost.concurrency import run_with_timeout
from chatpost.database import transaction
from chatpost.delivery.model import Place
from chatpost.directories import state_file
from chatpost.errors import StorageError
from chatpost.pacing.queue import NOW, Queue, QueuePacer, QueueTurn

# Seconds to wait for the file or the disk before pacing stops; at most half of the remaining time.
_SHORTEST_STEP, _LONGEST_STEP = 0.1, 2.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS space (hash TEXT PRIMARY KEY, boot TEXT, queue TEXT) WITHOUT ROWID"


def user_pacer(warn: Callable[[str], None]) -> SqlitePacer | str:
    """Return the pacer of the user's processes on this machine, or the reason why there is no file for it."""
    try:
        return SqlitePacer(state_file("pacing.sqlite3"), time.monotonic, boot_id, warn)
    except StorageError as error:
        return error.reason


class SqlitePacer(QueuePacer):
    """Stores queues in the file at ``path``. Threads may share one.

    ``clock`` is in seconds, never jumps, and is the same for all processes until the machine reboots, as
    `time.monotonic` is on Linux and macOS. ``boot`` returns an id of this boot of the machine. ``warn`` is called at
    most once, with the reason why pacing has stopped.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float], boot: Callable[[], str], warn: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._path = path
        self._clock = clock
        self._boot = boot
        self._warn = warn
        self._usable = True

    def step(self, turn: QueueTurn, name: str, seconds: float = 0.0) -> Place:
        if not self._usable:
            return NOW
        limit = max(_SHORTEST_STEP, min(seconds / 2, _LONGEST_STEP)) if name == "poll" else _LONGEST_STEP
        try:
            return run_with_timeout(limit, lambda: self._take(turn, name, seconds, limit))
        except TimeoutError:
            reason = f"it did not answer within {limit:.1f} s"
        except StorageError as failure:
            reason = failure.reason
        self._usable = False
        self._warn(f"messages are not paced: {self._path} cannot be used: {reason}")
        return NOW

    def _take(self, turn: QueueTurn, name: str, seconds: float, limit: float) -> Place:
        try:
            return self._take_in_file(turn, name, seconds, limit)
        except StorageError as failure:
            if not failure.is_permanent:
                raise
        # The file is damaged or has another schema: remove it, and anything in the place of its journal.
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            with suppress(OSError):
                path.unlink()
            with suppress(OSError):
                path.rmdir()
        return self._take_in_file(turn, name, seconds, limit)

    def _take_in_file(self, turn: QueueTurn, name: str, seconds: float, limit: float) -> Place:
        timeout, boot = 0.9 * limit, self._boot()  # less than the limit, so that the warning has SQLite's reason
        # Not durable: a power failure may cost a warning, but never a message.
        with transaction(self._path, [_SCHEMA], timeout, is_durable=False) as file:
            row = file.execute("SELECT boot, queue FROM space WHERE hash = ?", (turn.space,)).fetchone()
            now = self._clock()
            queue = Queue.parse(row[1]).at(now) if row is not None and row[0] == boot else Queue()
            # Read the ticket only now: a signal handler may run before the first poll ends.
            queue, turn.ticket, place = queue.step(name, now, turn.ticket, turn.interval, seconds)
            file.execute("INSERT OR REPLACE INTO space VALUES (?, ?, ?)", (turn.space, boot, json.dumps(queue)))
        return place


def boot_id() -> str:
    """Return an id of this boot of the machine, which marks times of its clock; empty on systems without one."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
    import ctypes  # on macOS

    value, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    with suppress(AttributeError, OSError):
        if not ctypes.CDLL(None).sysctlbyname(b"kern.bootsessionuuid", value, ctypes.byref(size), None, 0):
            return value.value.decode(errors="replace")
    return ""
