"""An outbox in a SQLite file that all processes of a user share. No secret is in it: it names webhooks by profile.

A lock is one of the system's on a file beside it, so it dies with the process that holds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chatpost.database import transaction
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox.model import MOST_BYTES, MOST_MESSAGES, CoolDown
from chatpost.outbox.rows import from_row, pack, slot_of, to_row, with_content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from chatpost.database import Connection
    from chatpost.outbox.model import OutboxMessage, Step

_TIMEOUT = 10.0
# The contents are large, and stay aside, so that the messages can be listed without them.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY AUTOINCREMENT, space TEXT, size INTEGER, row TEXT)",
    "CREATE TABLE IF NOT EXISTS content (id INTEGER PRIMARY KEY, spooled TEXT, sent TEXT)",
    "CREATE TABLE IF NOT EXISTS cool_down (fingerprint TEXT PRIMARY KEY, failures INTEGER, retry_at REAL)",
)


class SqliteOutbox:
    """The outbox in the file at ``path``: a `chatpost.outbox.model.Outbox`. ``clock``: seconds since the epoch."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self.now = clock

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        """Store messages; return their ids. Raises `OutboxFull`."""
        expires_at = self.now() + expire_after
        with self._transaction() as file:
            count, size = file.execute("SELECT COUNT(*), TOTAL(size) FROM message").fetchone()
            size += sum(message.size for message in messages)
            if count + len(messages) > MOST_MESSAGES or size > MOST_BYTES:
                raise OutboxFull(count)
            timed = [each._replace(rules=each.rules._replace(expires_at=expires_at)) for each in messages]
            return [_insert(file, message).id for message in timed]

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        """Return the messages of a space, or all, by their ids, without their contents."""
        query, values = "SELECT id, space, row FROM message ORDER BY id", ()
        with self._transaction() as file:
            rows = file.execute(query, values).fetchall()
        return [from_row(*row) for row in rows if space in {None, row["space"]}]

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        """Return messages with their contents, without those that are not there."""
        whole = "SELECT spooled, sent FROM content WHERE id = ?"
        with self._transaction() as file:
            last = file.execute("SELECT MAX(seq) FROM sqlite_sequence WHERE name = 'message'").fetchone()[0]
            found = [(message, file.execute(whole, (message.id,)).fetchone()) for message in _find(file, space, ids)]
        if max(ids, default=0) > (last or 0):
            reason = "it has lost its messages"
            raise StorageError(self._path, reason)
        return [with_content(message, *contents) for message, contents in found if contents is not None]

    def change(self, space: str, ids: Sequence[int], step: Step) -> list[OutboxMessage] | None:
        """Change messages in one transaction."""
        with self._transaction() as file:
            found = {message.id: message for message in _find(file, space, ids)}
            changed = step(list(found.values()))
            if changed is None:
                return None
            stored = [message if message.id else _insert(file, message) for message in changed]
            _update(file, [message for message in stored if message != found.get(message.id, message)])
            gone = [(number,) for number in found.keys() - {message.id for message in stored}]
            if gone:
                file.executemany("DELETE FROM message WHERE id = ?", gone)
                file.executemany("DELETE FROM content WHERE id = ?", gone)
            return stored

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        """Keep others from posting to the space in this context; False if another process does so now."""
        path = self._path.with_name(f"outbox-{hashlib.sha256(space.encode()).hexdigest()[:16]}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise StorageError(path, (failure.strerror or "unknown error").lower()) from None
        try:
            yield _try_to_lock(file)
        finally:
            os.close(file)

    def cool_down(self, fingerprint: str) -> CoolDown:
        """Return the cool-down of a webhook."""
        query = "SELECT failures, retry_at FROM cool_down WHERE fingerprint = ?"
        with self._transaction() as file:
            row = file.execute(query, (fingerprint,)).fetchone()
        return CoolDown(*row) if row else CoolDown()

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown | None) -> None:
        """Store the cool-down of a webhook; None: there is none."""
        with self._transaction() as file:
            if cool_down is None:
                file.execute("DELETE FROM cool_down WHERE fingerprint = ?", (fingerprint,))
            else:
                file.execute("INSERT OR REPLACE INTO cool_down VALUES (?, ?, ?)", (fingerprint, *cool_down))

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._path, _SCHEMA, _TIMEOUT)


def _find(file: Connection, space: str, ids: Iterable[int]) -> list[OutboxMessage]:
    query = "SELECT id, space, row FROM message WHERE id = ? AND space = ?"
    rows = (file.execute(query, (number, space)).fetchone() for number in ids)
    return [from_row(*row) for row in rows if row is not None]


def _insert(file: Connection, message: OutboxMessage) -> OutboxMessage:
    if message.request is None:
        msg = "a new message has a content"
        raise ValueError(msg)
    values = (message.webhook.space, message.size, to_row(message))
    number = int(file.execute("INSERT INTO message (space, size, row) VALUES (?, ?, ?)", values).lastrowid or 0)
    file.execute("INSERT OR REPLACE INTO content (id, spooled) VALUES (?, ?)", (number, pack(message.request)))
    return message._replace(id=number)


def _update(file: Connection, messages: Iterable[OutboxMessage]) -> None:
    for message in messages:
        values = (message.webhook.space, message.size, to_row(message), message.id)
        file.execute("UPDATE message SET space = ?, size = ?, row = ? WHERE id = ?", values)
        if message.request is not None:
            content = (pack(message.request), message.id)
            file.execute(f"UPDATE content SET {slot_of(message)} = ? WHERE id = ?", content)


def _try_to_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
