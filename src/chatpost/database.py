"""Files that processes share: SQLite's, changed in one short transaction at a time. The only importer of sqlite3.

The journal is SQLite's oldest kind: it is safe after a crash everywhere, while its write-ahead log has a bug in
versions that systems still ship, and does not work on network disks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

from chatpost.errors import StorageError, system_reason

Connection: TypeAlias = sqlite3.Connection


@contextmanager
def transaction(
    path: Path, schema: Sequence[str], timeout: float, *, is_durable: bool = True
) -> Iterator[sqlite3.Connection]:
    """Change the file in this context: all or nothing, and nobody else at the same time.

    A missing file is made, for its user alone; ``schema`` are the statements that make its tables. Others are waited
    for at most ``timeout`` seconds. ``is_durable``: when the context ends, the change is on the disk. Raises
    `StorageError`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Nobody else may read it, whoever has made it.
        with open(path, "a+b", buffering=0, opener=partial(os.open, mode=0o600)) as file_itself:
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
