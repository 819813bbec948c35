"""The history of a job, and the transition that its last run makes: pure functions, without a clock or a file.

A transition is reported once its message is posted or in the outbox; until then, the next run reports it.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import uuid4

DAY = 86_400


class NotifyRule(NamedTuple):
    """Which runs are reported: ``always``, each ``failure``, or each ``change``.

    A failure is reported after ``after_failures`` consecutive failures. With ``change``, a lasting failure is reported
    again every ``remind_every`` seconds. A success is reported only if the job ran at least ``longer_than`` seconds.
    """

    on: str = "always"
    after_failures: int = 1
    remind_every: float = DAY
    longer_than: float | None = None

    def is_too_short(self, seconds: float, *, failed: bool) -> bool:
        """Return whether a run of this duration is not reported."""
        return self.longer_than is not None and not failed and seconds < self.longer_than


class Transition(NamedTuple):
    """A change in the outcome of runs, for a report.

    ``kind`` is ``failure`` until one of the consecutive failures is reported, then ``still``; ``recovery`` for the
    success after failures, and ``success`` for any other. ``failures`` is the number of consecutive failures. They
    began ``failing_for`` seconds ago, at the time ``since``; before, the job ran without failures for ``well_for``
    seconds, None if unknown. ``thread_key`` is the key of their thread, with the rule ``change``.
    """

    kind: str
    failures: int = 0
    failing_for: float = 0.0
    well_for: float | None = None
    thread_key: str | None = None
    since: float = 0.0


class JobHistory(NamedTuple):
    """A job's runs so far. Times are in seconds since the epoch, None if there was no such event.

    ``failures`` is the number of consecutive failures since ``failing_since``; ``well_since``: the first success after
    earlier failures. ``recovered``: a success after these failures is not reported yet. ``reported_at``: when one of
    them was last reported, in the thread ``thread_key``.
    """

    failures: int = 0
    failing_since: float = 0.0
    well_since: float | None = None
    recovered: bool = False
    reported_at: float | None = None
    thread_key: str | None = None

    def after_run(self, now: float, *, failed: bool) -> JobHistory:
        """Return the history after another run."""
        if failed:
            is_first = not self.failures or self.recovered
            since = now if is_first else self.failing_since
            return self._replace(failures=1 if is_first else self.failures + 1, failing_since=since, recovered=False)
        if self.failures and not self.recovered:
            return self._replace(well_since=now, recovered=True)
        return self._replace(well_since=now if self.well_since is None else self.well_since)

    def transition(self, now: float, rule: NotifyRule) -> Transition | None:
        """Return the transition that the last run made, None if the rule does not report it."""
        is_failing = self.failures > 0 and not self.recovered
        is_over = self.recovered and (self.reported_at is not None or self.failures >= rule.after_failures)
        if is_failing:
            kind = "failure" if self.reported_at is None else "still"
            is_due = self.reported_at is None or now - self.reported_at >= rule.remind_every or rule.on != "change"
            is_reported = rule.on == "always" or (self.failures >= rule.after_failures and is_due)
        else:
            kind = "recovery" if is_over else "success"
            is_reported = rule.on == "always" or (rule.on == "change" and is_over)
        if not is_reported:
            return None
        failing_for = max(0.0, now - self.failing_since) if self.failures else 0.0
        well_for = None if self.well_since is None else max(0.0, self.failing_since - self.well_since)
        key = (self.thread_key or f"chatpost-{uuid4()}") if rule.on == "change" else None
        return Transition(kind, self.failures, failing_for, well_for if is_failing else None, key, self.failing_since)

    def reported(self, transition: Transition, now: float) -> JobHistory:
        """Return the history once the transition is reported, or needs no report."""
        if transition.kind in {"recovery", "success"}:
            if self.recovered or not self.failures:
                return JobHistory(well_since=self.well_since)
            return self._replace(reported_at=None)  # a run has failed since: its failure is the first in a row
        if not self.failures or self.failing_since != transition.since:
            return self  # a run has succeeded since
        return self._replace(reported_at=now, thread_key=transition.thread_key)
