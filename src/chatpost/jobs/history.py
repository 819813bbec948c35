"""Job history in SQLite, one row per job. Runs of a job may be concurrent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chatpost.database import transaction
from chatpost.errors import StorageError
from chatpost.jobs.transitions import JobHistory, NotifyRule, Transition

_TIMEOUT = 5.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS job (hash TEXT PRIMARY KEY, history TEXT) WITHOUT ROWID"


class HistoryFile:
    """The history file at ``path``. A job is identified by its name or its command line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_run(self, job: str, now: float, rule: NotifyRule, *, failed: bool, seconds: float) -> Transition | None:
        """Add a run that took ``seconds``; return the transition to report, or None. Raises `StorageError`."""
        transition: Transition | None = None

        def add(history: JobHistory) -> JobHistory:
            nonlocal transition
            history = history.after_run(now, failed=failed)
            transition = None if rule.is_too_short(seconds, failed=failed) else history.transition(now, rule)
            if transition is None:
                # The rule does not report this recovery, so a later run must not report it, either.
                return history.reported(Transition("recovery"), now) if history.recovered else history
            if transition.kind == "failure":  # concurrent runs share the thread
                return history._replace(thread_key=transition.thread_key)
            return history

        self._change(job, add)
        return transition

    def mark_reported(self, job: str, transition: Transition, now: float) -> None:
        """Record that the transition is reported. Raises `StorageError`."""
        self._change(job, lambda history: history.reported(transition, now))

    def _change(self, job: str, change: Callable[[JobHistory], JobHistory]) -> None:
        # Hashed, since a command line can contain a secret.
        name = hashlib.sha256(job.encode(errors="surrogateescape")).hexdigest()
        try:
            self._change_in_file(name, change)
        except StorageError as error:
            if not error.is_permanent:
                raise
            with suppress(OSError):  # starting over is better than a warning in every run
                self._path.replace(self._path.with_suffix(".damaged"))
            self._change_in_file(name, change)

    def _change_in_file(self, name: str, change: Callable[[JobHistory], JobHistory]) -> None:
        with transaction(self._path, [_SCHEMA], _TIMEOUT) as file:
            row = file.execute("SELECT history FROM job WHERE hash = ?", (name,)).fetchone()
            try:
                history = JobHistory._make(json.loads(row[0])) if row else JobHistory()
            except (ValueError, TypeError):  # another program's row
                history = JobHistory()
            file.execute("INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(change(history))))
