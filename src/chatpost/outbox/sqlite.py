"""An outbox in a SQLite file that all processes of a user share. It has no secrets: webhooks are named by profile.

A space's lock is a `flock` on a file beside it, which ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from chatpost.database import Connection, transaction
from chatpost.directories import state_file
from chatpost.errors import OutboxFull, StorageError, system_reason
from chatpost.outbox.model import OutboxMessage
from chatpost.outbox.rows import content_of, from_rows, to_row
from chatpost.outbox.store import MOST_BYTES, MOST_MESSAGES, CoolDown, Outbox, Step
from chatpost.profiles.sources import RedisConfig

_TIMEOUT = 10.0
# The contents are large, so they have a separate table, which listing the messages does not read.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT, size INTEGER, row TEXT)",
    "CREATE TABLE IF NOT EXISTS content (id INTEGER PRIMARY KEY, spooled TEXT, sent TEXT)",
    "CREATE TABLE IF NOT EXISTS cool_down (fingerprint TEXT PRIMARY KEY, failures INTEGER, retry_at REAL)",
    "CREATE TABLE IF NOT EXISTS flush (succeeded_at REAL)",  # at most one row
)
_GIVEN = "id IN (SELECT value FROM json_each(?))"  # a list of ids as JSON


def open_outbox(redis: RedisConfig) -> Outbox:
    """Return the outbox in the fleet's Redis if it is configured there, else the user's on this machine.

    Raises `ConfigurationError`, or `StorageError` if the user has no home directory.
    """
    if redis.outbox != "local" and redis.has_outbox():
        from chatpost.outbox.redis import RedisOutbox  # few commands use a Redis

        return RedisOutbox(redis.client())
    return SqliteOutbox(state_file("outbox.sqlite3"), time.time)


class SqliteOutbox:
    """A `chatpost.outbox.store.Outbox` in the file at ``path``. ``clock`` returns seconds since the epoch."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self.now = clock
        self._transaction = partial(transaction, path, _SCHEMA, _TIMEOUT)

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        expires_at = self.now() + expire_after
        with self._transaction() as file:
            count, size = file.execute("SELECT COUNT(*), TOTAL(size) FROM message").fetchone()
            size += sum(message.size for message in messages)
            if count + len(messages) > MOST_MESSAGES or size > MOST_BYTES:
                raise OutboxFull(count)
            timed = [each._replace(id=0, rules=each.rules._replace(expires_at=expires_at)) for each in messages]
            return [_write(file, message).id for message in timed]

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        chosen = "SELECT id, space, row FROM message WHERE ?1 IS NULL OR space = ?1 ORDER BY id"
        with self._transaction() as file:
            rows = file.execute(chosen, (space,)).fetchall()
        return from_rows(rows)

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        contents = "SELECT id, space, row, spooled, sent FROM message JOIN content USING (id)"
        with self._transaction() as file:
            last = file.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'message'").fetchone()[0] or 0
            rows = file.execute(
                f"{contents} WHERE {_GIVEN} AND space = ? ORDER BY id", (json.dumps(ids), space)
            ).fetchall()
        if max(ids, default=0) > last:
            reason = "it has lost its messages"
            raise StorageError(self._path, reason)
        return from_rows(rows)

    def change(
        self, space: str, ids: Sequence[int], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        chosen = f"SELECT id, space, row FROM message WHERE {_GIVEN} AND space = ? ORDER BY id"
        with self._transaction() as file:
            found = from_rows(file.execute(chosen, (json.dumps(ids), space)).fetchall())
            changed = step(found)
            if changed is None:
                return None
            before = {message.id: message for message in found}
            stored = [each if each == before.pop(each.id, None) else _write(file, each) for each in changed]
            for table in ("message", "content"):
                file.execute(f"DELETE FROM {table} WHERE {_GIVEN}", (json.dumps(list(before)),))
            file.execute("DELETE FROM cool_down WHERE fingerprint = ?", (answered,))
            return stored

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        path = self._path.with_name(f"outbox-{hashlib.sha256(space.encode()).hexdigest()[:16]}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as failure:
            raise StorageError(path, system_reason(failure)) from None
        try:
            is_locked = False
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_locked = True
            yield is_locked
        finally:
            os.close(file)

    def cool_down(self, fingerprint: str) -> CoolDown:
        with self._transaction() as file:
            chosen = "SELECT failures, retry_at FROM cool_down WHERE fingerprint = ?"
            row = file.execute(chosen, (fingerprint,)).fetchone()
        return CoolDown(*row) if row else CoolDown()

    def flushed_at(self) -> float:
        with self._transaction() as file:
            row = file.execute("SELECT succeeded_at FROM flush").fetchone()
        return row[0] if row else 0.0

    def mark_flushed(self) -> None:
        with self._transaction() as file:
            file.execute("DELETE FROM flush")
            file.execute("INSERT INTO flush VALUES (?)", (self.now(),))

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown) -> None:
        with self._transaction() as file:
            file.execute("INSERT OR REPLACE INTO cool_down VALUES (?, ?, ?)", (fingerprint, *cool_down))


def _write(file: Connection, message: OutboxMessage) -> OutboxMessage:
    """Insert or update a message; return it with its id."""
    values = (message.id or None, message.webhook.space, message.size, to_row(message))
    number = file.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?)", values).lastrowid or 0
    if content := content_of(message):
        slot, text = content
        file.execute("INSERT OR IGNORE INTO content (id) VALUES (?)", (number,))
        file.execute(f"UPDATE content SET {slot} = ? WHERE id = ?", (text, number))
    return message._replace(id=number)
