"""A job's past, and whether it makes the job's outcome worth telling: arithmetic, without a clock and without a file.

An outcome counts as told only when its message is posted or kept: if that fails, the next run makes up for it.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import uuid4

DAY = 86_400.0


class Rule(NamedTuple):
    """Which outcomes are told: ``always``, each ``failure``, or each ``change``.

    Only from the failure number ``after`` in a row on is one told. With ``change`` a failure is told again, while the
    job goes on failing, every ``remind`` seconds.
    """

    on: str = "always"
    after: int = 1
    remind: float = DAY


class News(NamedTuple):
    """The part of an outcome that is worth telling.

    ``kind`` is ``failure`` until a failure in a row has been told and ``still`` from then on, ``recovery`` for the
    success after failures, and ``success`` for any other. ``failures`` is their number in a row, which began
    ``failing_for`` seconds ago; before them, there was none for ``well_for`` seconds, None if that is not known.
    ``thread_key``, with the rule ``change``, is that of the thread of these failures, which began at ``since``.
    """

    kind: str
    failures: int = 0
    failing_for: float = 0.0
    well_for: float | None = None
    thread_key: str | None = None
    since: float = 0.0


class Past(NamedTuple):
    """A job's past. Times are seconds since the epoch, None if there was no such event.

    ``failures`` in a row since ``failing_since``; ``well_since``: the first success after the failures before these.
    ``recovered``: after these failures there was a success, which has not been told. ``told_at``: when one of these
    failures was last told, in the thread ``thread_key``.
    """

    failures: int = 0
    failing_since: float = 0.0
    well_since: float | None = None
    recovered: bool = False
    told_at: float | None = None
    thread_key: str | None = None

    def then(self, now: float, *, failed: bool) -> Past:
        """Return the past after another run has ended."""
        if failed:
            is_first = not self.failures or self.recovered
            since = now if is_first else self.failing_since
            return self._replace(failures=1 if is_first else self.failures + 1, failing_since=since, recovered=False)
        if self.failures and not self.recovered:
            return self._replace(well_since=now, recovered=True)
        return self._replace(well_since=now if self.well_since is None else self.well_since)

    def news(self, now: float, rule: Rule) -> News | None:
        """Return what is worth telling of the last run."""
        is_failing = self.failures > 0 and not self.recovered
        is_over = self.recovered and (self.told_at is not None or self.failures >= rule.after)
        if is_failing:
            kind = "failure" if self.told_at is None else "still"
            is_due = self.told_at is None or now - self.told_at >= rule.remind or rule.on != "change"
            is_told = rule.on == "always" or (self.failures >= rule.after and is_due)
        else:
            kind = "recovery" if is_over else "success"
            is_told = rule.on == "always" or (rule.on == "change" and is_over)
        if not is_told:
            return None
        failing_for = max(0.0, now - self.failing_since) if self.failures else 0.0
        well_for = None if self.well_since is None else max(0.0, self.failing_since - self.well_since)
        key = (self.thread_key or f"chatpost-{uuid4()}") if rule.on == "change" else None
        return News(kind, self.failures, failing_for, well_for if is_failing else None, key, self.failing_since)

    def told(self, news: News, now: float) -> Past:
        """Return the past once the news is told, or needs no telling."""
        if news.kind in {"recovery", "success"}:
            # Another run may have failed since: then its failure is the first in a row.
            return (
                Past(well_since=self.well_since) if self.recovered or not self.failures else self._replace(told_at=None)
            )
        if not self.failures or self.failing_since != news.since:  # another run has ended these failures meanwhile
            return self
        return self._replace(told_at=now, thread_key=news.thread_key)
