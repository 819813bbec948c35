"""Job history in SQLite, one row per job. Runs of a job may be concurrent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from chatpost.database import JsonTable
from chatpost.jobs.transitions import JobHistory, NotifyRule, Transition

_TIMEOUT = 5.0


class HistoryFile:
    """The history file at ``path``. A job is identified by its name or its command line."""

    def __init__(self, path: Path) -> None:
        self._table = JsonTable(path, "job", _TIMEOUT)

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
        def apply(value: object) -> JobHistory:
            try:
                history = JobHistory._make(value) if isinstance(value, list) else JobHistory()
            except TypeError:  # another program's row
                history = JobHistory()
            return change(history)

        # Hashed, since a command line can contain a secret.
        self._table.change(hashlib.sha256(job.encode(errors="surrogateescape")).hexdigest(), apply)
