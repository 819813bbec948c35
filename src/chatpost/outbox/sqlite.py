"""An outbox in a SQLite file that all processes of a user share. No secret is in it: it names webhooks by profile.

A lock is one of the system's on a file beside it, so it dies with the process that holds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from chatpost.database import transaction
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox.model import (
    AWAITED_FOR,
    FIRST_REST,
    LONGEST_REST,
    MOST_BYTES,
    MOST_MESSAGES,
    Entry,
    Head,
    State,
)
from chatpost.outbox.rows import entry_of, packed, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.database import Connection

_TIMEOUT = 10.0
# ``request`` is as it was kept, ``sealed`` as it was last sent.
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, written REAL, host TEXT, profile TEXT, config TEXT, fingerprint TEXT,
    space TEXT, thread TEXT, request TEXT, interval REAL, keep_until REAL, is_alone INTEGER, is_part INTEGER,
    state TEXT DEFAULT 'waiting', attempts INTEGER DEFAULT 0, error TEXT, digest INTEGER, created TEXT, sealed TEXT,
    is_uncertain INTEGER DEFAULT 0, is_awaited INTEGER, is_told INTEGER DEFAULT 0, posted_at REAL)""",
    "CREATE INDEX IF NOT EXISTS message_by_thread ON message (space, fingerprint, thread, id)",
    "CREATE TABLE IF NOT EXISTS rest (fingerprint TEXT PRIMARY KEY, failures INTEGER, until REAL) WITHOUT ROWID",
)
_WAITS = "state IN ('waiting', 'sealed') AND (digest IS NULL OR digest = id)"


class OutboxFile:
    """The outbox in the file at ``path``: a `chatpost.outbox.model.Outbox`. ``clock``: seconds since the epoch."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock

    def add(self, entries: Sequence[Entry], *, is_awaited: bool) -> list[int]:
        """Keep messages; return their ids. Raises `OutboxFull`."""
        with self._transaction() as file:
            held = "SELECT COUNT(*), TOTAL(LENGTH(request)) FROM message WHERE state != 'posted'"
            count, size = file.execute(held).fetchone()
            rows = [row_of(entry) | {"is_awaited": is_awaited} for entry in entries]
            size += sum(len(row["request"]) for row in rows)
            if count + len(rows) > MOST_MESSAGES or size > MOST_BYTES:
                raise OutboxFull(count)
            return [_insert(file, row) for row in rows]

    def withdraw(self, ids: Iterable[int]) -> list[int]:
        """Take messages out, unless others have put them into a digest; return the ids of those that stay."""
        stay = []
        with self._transaction() as file:
            for number in ids:
                others = "SELECT 1 FROM message AS other WHERE other.digest = message.digest AND other.id != message.id"
                own = f"DELETE FROM message WHERE id = ? AND state != 'posted' AND NOT EXISTS ({others})"
                if not file.execute(own, (number,)).rowcount:
                    stay.append(number)
        return stay

    def release(self, ids: Iterable[int]) -> None:
        """Say that nobody waits for the messages' answers any more."""
        with self._transaction() as file:
            file.executemany("UPDATE message SET is_awaited = 0 WHERE id = ?", [(number,) for number in ids])
            self._sweep(file)

    def get(self, id: int) -> Entry | None:  # noqa: A002 - the name that users know
        """Return a message; None if it has been taken out. Raises `StorageError` if the file has lost it."""
        with self._transaction() as file:
            row = file.execute("SELECT * FROM message WHERE id = ?", (id,)).fetchone()
            given = file.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
        if row is None and (given is None or given[0] < id):
            reason = "it has lost its messages"
            raise StorageError(self._path, reason)
        return None if row is None else entry_of(row)

    def entries(self) -> list[Entry]:
        """Return all messages that are not posted, in their order."""
        return self._read("state != 'posted' ORDER BY id")

    def states(self) -> dict[int, State]:
        """Return the states of all messages that are not posted, by their ids, in their order."""
        with self._transaction() as file:
            rows = file.execute("SELECT id, space, state FROM message WHERE state != 'posted' ORDER BY id")
            return {number: State(space, state) for number, space, state in rows}

    def waiting(self) -> list[str]:
        """Return the spaces in which messages wait."""
        with self._transaction() as file:
            return [space for (space,) in file.execute(f"SELECT DISTINCT space FROM message WHERE {_WAITS}")]

    def heads(self, space: str) -> list[Head]:
        """Return the first message of each thread of the space that waits to be posted."""
        heads = (
            "SELECT MIN(id) AS id, fingerprint, thread, profile, config FROM message"
            f" WHERE space = ? AND {_WAITS} GROUP BY fingerprint, thread"
        )
        with self._transaction() as file:
            return [Head(*row) for row in file.execute(heads, (space,))]

    def followers(self, head: Entry, most: int) -> list[Entry]:
        """Return the messages that wait in the same thread, from this one on."""
        where = f"space = ? AND fingerprint = ? AND thread = ? AND {_WAITS} AND id >= ? ORDER BY id LIMIT ?"
        return self._read(where, head.space, head.fingerprint, head.thread, head.id, most)

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        """Keep others from posting to the space in this context; False if another does so now."""
        path = self._path.with_name(f"outbox-{hashlib.sha256(space.encode()).hexdigest()[:16]}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise StorageError(path, (failure.strerror or "unknown error").lower()) from None
        try:
            yield _try_to_lock(file)
        finally:
            os.close(file)

    def seal(self, head: Entry, members: Sequence[Entry], request: CreateMessageRequest) -> bool:
        """Note that the members are sent now, as this request; False if one of them has been changed meanwhile."""
        unchanged = f"SELECT COUNT(*) FROM message WHERE id = ? AND fingerprint = ? AND space = ? AND {_WAITS}"
        # As of now it may be posted; `failed` and `refuse` know better.
        sealed = (
            "UPDATE message SET state = 'sealed', is_uncertain = 1, digest = ?, attempts = attempts + 1 WHERE id = ?"
        )
        with self._transaction() as file:
            for member in members:
                if not file.execute(unchanged, (member.id, member.fingerprint, member.space)).fetchone()[0]:
                    return False
            file.executemany(sealed, [(head.id, member.id) for member in members])
            file.execute("UPDATE message SET sealed = ? WHERE id = ?", (packed(request), head.id))
            return True

    def posted(self, head: Entry, created: CreatedMessage) -> None:
        """Note that the message, with its digest, is posted."""
        with self._transaction() as file:
            posted = "UPDATE message SET state = 'posted', created = ?, posted_at = ? WHERE id = ? OR digest = ?"
            file.execute(posted, (json.dumps(created), self._clock(), head.id, head.id))
            file.execute("DELETE FROM rest WHERE fingerprint = ?", (head.fingerprint,))
            self._sweep(file)

    def failed(self, head: Entry, error: str, *, maybe_posted: bool) -> None:
        """Note that an attempt has failed. If the message surely was not posted, it can be changed again."""
        with self._transaction() as file:
            failed = "UPDATE message SET error = ?, is_uncertain = ? WHERE id = ? OR digest = ?"
            file.execute(failed, (error, maybe_posted, head.id, head.id))
            if not maybe_posted:
                _unseal(file, head.id)

    def note(self, id: int, error: str) -> None:  # noqa: A002 - the name that users know
        """Note why a message cannot even be tried."""
        with self._transaction() as file:
            file.execute("UPDATE message SET error = ? WHERE id = ?", (error, id))

    def refuse(self, head: Entry, error: str) -> None:
        """Note that Chat will never take the message. A digest's messages are tried one by one, if none is posted."""
        with self._transaction() as file:
            file.execute("UPDATE message SET error = ? WHERE id = ? OR digest = ?", (error, head.id, head.id))
            members = file.execute("SELECT COUNT(*) FROM message WHERE digest = ?", (head.id,)).fetchone()[0]
            is_uncertain = head.is_uncertain or head.state == "sealed"  # as it was before this attempt
            certain = "UPDATE message SET is_uncertain = ? WHERE id = ? OR digest = ?"
            file.execute(certain, (is_uncertain, head.id, head.id))
            if members > 1 and not is_uncertain:
                file.execute("UPDATE message SET is_alone = 1 WHERE digest = ?", (head.id,))
                _unseal(file, head.id)
            else:
                file.execute("UPDATE message SET state = 'refused' WHERE id = ? OR digest = ?", (head.id, head.id))

    def expire(self, space: str, now: float, notice: Callable[[Sequence[Entry], float], Entry]) -> None:
        """Let messages expire, and keep a notice of those that the space has not been told of."""
        with self._transaction() as file:
            late = f"SELECT id FROM message WHERE space = ? AND keep_until < ? AND {_WAITS}"
            for (head,) in file.execute(late, (space, now)).fetchall():
                file.execute("UPDATE message SET state = 'expired' WHERE id = ? OR digest = ?", (head, head))
            untold = "SELECT * FROM message WHERE space = ? AND state = 'expired' AND NOT is_told ORDER BY id"
            expired = [entry_of(row) for row in file.execute(untold, (space,))]
            file.executemany("UPDATE message SET is_told = 1 WHERE id = ?", [(entry.id,) for entry in expired])
            for webhook in dict.fromkeys(entry.fingerprint for entry in expired):
                its = [entry for entry in expired if entry.fingerprint == webhook]
                _insert(file, row_of(notice(its, now)))

    def rest_until(self, fingerprint: str) -> float:
        """Return the time until which sends leave a webhook alone."""
        with self._transaction() as file:
            row = file.execute("SELECT until FROM rest WHERE fingerprint = ?", (fingerprint,)).fetchone()
            return float(row["until"]) if row else 0.0

    def rest(self, fingerprint: str, now: float) -> None:
        """Leave a webhook alone that has failed: the longer, the more often it has since it was last posted to."""
        with self._transaction() as file:
            row = file.execute("SELECT failures FROM rest WHERE fingerprint = ?", (fingerprint,)).fetchone()
            failures = row["failures"] if row else 0
            until = now + min(LONGEST_REST, FIRST_REST * 2.0 ** min(failures, 10))
            file.execute("INSERT OR REPLACE INTO rest VALUES (?, ?, ?)", (fingerprint, failures + 1, until))

    def retry(self, ids: Iterable[int], keep_until: float) -> None:
        """Let messages wait again, with their digests. One that may have been posted stays as it was sent."""
        again = (
            "UPDATE message SET state = CASE WHEN is_uncertain THEN 'sealed' ELSE 'waiting' END, is_told = 0,"
            " error = NULL, keep_until = ?, sealed = CASE WHEN is_uncertain THEN sealed END,"
            " digest = CASE WHEN is_uncertain THEN digest END WHERE id = ? AND state IN ('refused', 'expired')"
        )
        with self._transaction() as file:
            file.executemany(again, [(keep_until, number) for number in _with_digests(file, ids)])

    def move(self, ids: Iterable[int], webhook: Entry) -> None:
        """Give messages, with their digests, the webhook of this entry."""
        moved = (
            "UPDATE message SET profile = :profile, config = :config, fingerprint = :fingerprint, space = :space,"
            " error = NULL WHERE id = :id"
        )
        with self._transaction() as file:
            file.executemany(moved, [row_of(webhook) | {"id": number} for number in _with_digests(file, ids)])

    def drop(self, ids: Iterable[int]) -> int:
        """Take messages out, with their digests; return how many there were."""
        with self._transaction() as file:
            dropped = [(number,) for number in _with_digests(file, ids)]
            gone = "DELETE FROM message WHERE id = ? AND state != 'posted'"
            return file.executemany(gone, dropped).rowcount if dropped else 0

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._path, _SCHEMA, _TIMEOUT)

    def _read(self, where: str, *values: object) -> list[Entry]:
        with self._transaction() as file:
            return [entry_of(row) for row in file.execute(f"SELECT * FROM message WHERE {where}", values)]

    def _sweep(self, file: Connection) -> None:
        """Take out the messages that are posted, and whose answers nobody waits for."""
        done = "DELETE FROM message WHERE state = 'posted' AND (NOT is_awaited OR posted_at < ?)"
        file.execute(done, (self._clock() - AWAITED_FOR,))


def _try_to_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _with_digests(file: Connection, ids: Iterable[int]) -> list[int]:
    """Return the ids, and those of the messages that are sealed into a digest with them."""
    both = "SELECT id FROM message WHERE id = :id OR digest = (SELECT digest FROM message WHERE id = :id)"
    return list(dict.fromkeys(row[0] for number in ids for row in file.execute(both, {"id": number}).fetchall()))


def _unseal(file: Connection, head: int) -> None:
    waiting = "UPDATE message SET state = 'waiting', digest = NULL, sealed = NULL WHERE digest = ?"
    file.execute(waiting, (head,))


def _insert(file: Connection, row: Mapping[str, Any]) -> int:
    names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    return int(file.execute(f"INSERT INTO message ({names}) VALUES ({marks})", row).lastrowid or 0)
