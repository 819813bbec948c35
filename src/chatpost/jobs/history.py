"""The pasts of jobs in a SQLite file, one row a job. Two runs of a job at once each count."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from chatpost.database import transaction
from chatpost.errors import StorageError
from chatpost.jobs.transitions import News, Past

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.database import Connection
    from chatpost.jobs.transitions import Rule

_TIMEOUT = 5.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS job (hash TEXT PRIMARY KEY, past TEXT) WITHOUT ROWID"


class History:
    """The pasts of jobs in the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, job: str, now: float, rule: Rule, *, failed: bool) -> News | None:
        """Add a run that has ended; return what is worth telling of it. Raises `StorageError`."""
        news: News | None = None

        def add(past: Past) -> Past:
            nonlocal news
            past = past.then(now, failed=failed)
            news = past.news(now, rule)
            if news is not None and news.kind == "failure":  # runs at the same time share the thread
                past = past._replace(thread_key=news.thread_key)
            is_settled = news is None and past.recovered  # nobody is to be told of this recovery
            return past.told(News("recovery"), now) if is_settled else past

        self._change(job, add)
        return news

    def told(self, job: str, news: News, now: float) -> None:
        """Note that the news is told. Raises `StorageError`."""
        self._change(job, lambda past: past.told(news, now))

    def _change(self, job: str, change: Callable[[Past], Past]) -> None:
        name = hashlib.sha256(
            job.encode(errors="surrogateescape")
        ).hexdigest()  # it can be a command line, with a secret in it
        try:
            self._change_in_file(name, change)
        except StorageError as error:
            if not error.is_permanent:
                raise
            self._set_aside()
            self._change_in_file(name, change)

    def _change_in_file(self, name: str, change: Callable[[Past], Past]) -> None:
        with transaction(self._path, [_SCHEMA], _TIMEOUT) as file:
            file.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(change(_read(file, name)))))

    def _set_aside(self) -> None:
        """Put a damaged file aside: to know the past is not worth a warning in every run."""
        with suppress(OSError):
            self._path.replace(self._path.with_suffix(".damaged"))


def _read(file: Connection, name: str) -> Past:
    """Read a job's past; without a row, or with one that is not ours, it has none."""
    row = file.execute("SELECT past FROM job WHERE hash = ?", (name,)).fetchone()
    try:
        failures, failing_since, well_since, recovered, told_at, thread_key = json.loads(row[0]) if row else Past()
        well_since, told_at = (None if time is None else float(time) for time in (well_since, told_at))
        thread_key = None if thread_key is None else str(thread_key)
        return Past(int(failures), float(failing_since), well_since, bool(recovered), told_at, thread_key)
    except (ValueError, TypeError):
        return Past()
