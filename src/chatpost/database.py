"""SQLite files that processes share, each change a short transaction. The only importer of sqlite3.

The journal is a rollback journal: it is crash-safe everywhere, while the write-ahead log has a bug in versions that
systems still ship, and does not work on network disks.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from chatpost.errors import StorageError, system_reason

Connection: TypeAlias = sqlite3.Connection


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)  # a link could lead to another user's file


@contextmanager
def transaction(
    path: Path, schema: Sequence[str], timeout: float, *, is_durable: bool = True
) -> Iterator[sqlite3.Connection]:
    """Change the file in this context, in an exclusive transaction.

    Creates a missing file, which only its user can read, and its tables, by the statements of ``schema``. Waits at most
    ``timeout`` seconds for other transactions. ``is_durable``: the change is on the disk when the context ends. Raises
    `StorageError`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only the user may read it, even if another program created it.
        with open(path, "a+b", buffering=0, opener=_open_itself) as file_itself:
            if os.fstat(file_itself.fileno()).st_mode & 0o077:
                os.fchmod(file_itself.fileno(), 0o600)
        with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as file:
            file.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'OFF'}")
            file.execute("BEGIN IMMEDIATE")
            for statement in schema:
                file.execute(statement)
            file.row_factory = sqlite3.Row
            yield file
            file.execute("COMMIT")
    except sqlite3.Error as failure:
        reason = str(failure)
        is_transient = any(word in reason for word in ("locked", "busy", "full"))
        raise StorageError(path, reason, is_permanent=not is_transient) from None
    except OSError as failure:
        is_permanent = isinstance(failure, IsADirectoryError)
        raise StorageError(path, system_reason(failure), is_permanent=is_permanent) from None


class JsonTable(NamedTuple):
    """JSON values by key, in the table ``name`` of the file at ``path``; the other fields are as for `transaction`.

    Above ``most_rows``, the least recently changed value is deleted. A damaged or foreign file is renamed to
    ``.damaged``.
    """

    path: Path
    name: str
    timeout: float
    is_durable: bool = True
    most_rows: int | None = None

    def change(self, key: str, step: Callable[[Any], object]) -> None:
        """Replace a key's value with the result of ``step``, which gets None without one. Raises `StorageError`."""
        try:
            self._change(key, step)
        except StorageError as error:
            # A disk with a fault does not mean that the file has one.
            if not error.is_permanent or any(word in error.reason for word in ("I/O", "unable to open", "readonly")):
                raise
            with suppress(OSError):  # starting over is better than an error each time
                self.path.replace(self.path.with_suffix(".damaged"))
            self._change(key, step)

    def _change(self, key: str, step: Callable[[Any], object]) -> None:
        schema = f"CREATE TABLE IF NOT EXISTS {self.name} (hash TEXT PRIMARY KEY, value TEXT)"
        with transaction(self.path, [schema], self.timeout, is_durable=self.is_durable) as file:
            row = file.execute(f"SELECT * FROM {self.name} WHERE hash = ?", (key,)).fetchone()  # noqa: S608 - a constant
            value = None
            with suppress(ValueError, TypeError, RecursionError):  # another program's row
                value = json.loads(row[1]) if row else None
            file.execute(f"INSERT OR REPLACE INTO {self.name} VALUES (?, ?)", (key, json.dumps(step(value))))  # noqa: S608 - a constant
            if row is None and self.most_rows is not None:  # REPLACE gives a changed row the highest rowid
                last = f"SELECT rowid FROM {self.name} ORDER BY rowid DESC LIMIT -1 OFFSET ?"  # noqa: S608 - a constant
                file.execute(f"DELETE FROM {self.name} WHERE rowid IN ({last})", (self.most_rows,))  # noqa: S608 - a constant
