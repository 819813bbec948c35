from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from chatpost.formatting import format_duration, parse_duration
from chatpost.jobs.transitions import DAY, JobHistory, NotifyRule, Transition


def reported_of(runs: str, rule: NotifyRule, step: float = 60.0) -> list[tuple[int, str, int]]:
    """Run a job once per ``step``. A letter is a success (s) or failure (f), in capitals if its report fails.

    Return the run's number, kind and failure count of each reported outcome.
    """
    history, reported = JobHistory(), []
    for number, run in enumerate(runs):
        now = number * step
        history = history.after_run(now, failed=run in "fF")
        transition = history.transition(now, rule)
        if transition is not None and run.islower():
            reported.append((number, transition.kind, transition.failures))
            history = history.reported(transition, now)
        elif transition is None and history.recovered:
            history = history.reported(Transition("recovery"), now)
    return reported


@pytest.mark.parametrize(
    ("rule", "runs", "reported"),
    [
        (NotifyRule("change"), "sss", []),
        (NotifyRule("change"), "f", [(0, "failure", 1)]),
        (NotifyRule("change"), "sffss", [(1, "failure", 1), (3, "recovery", 2)]),
        (NotifyRule("change"), "sFfs", [(2, "failure", 2), (3, "recovery", 2)]),
        (NotifyRule("change"), "sfSss", [(1, "failure", 1), (3, "recovery", 1)]),
        (NotifyRule("change"), "sfSf", [(1, "failure", 1)]),
        (NotifyRule("change"), "sFs", [(2, "recovery", 1)]),
        (NotifyRule("change", after_failures=3), "ffsfffs", [(5, "failure", 3), (6, "recovery", 3)]),
        (NotifyRule("change", remind_every=120), "ffffff", [(0, "failure", 1), (2, "still", 3), (4, "still", 5)]),
        (NotifyRule("change", remind_every=120), "fFFFf", [(0, "failure", 1), (4, "still", 5)]),
        (NotifyRule("failure"), "sfsff", [(1, "failure", 1), (3, "failure", 1), (4, "still", 2)]),
        (NotifyRule("failure", after_failures=2), "fffsf", [(1, "failure", 2), (2, "still", 3)]),
        (NotifyRule("always"), "sffs", [(0, "success", 0), (1, "failure", 1), (2, "still", 2), (3, "recovery", 2)]),
    ],
)
def test_reported_runs(rule: NotifyRule, runs: str, reported: list[tuple[int, str, int]]) -> None:
    """A failure is reported once until its recovery. The next run repeats a report that could not be posted."""
    assert reported_of(runs, rule) == reported


def test_times() -> None:
    """The times without failures and with failures each start at the first such run."""
    history = JobHistory()
    for now, failed in ((0, False), (DAY, False), (3 * DAY, True), (4 * DAY, True)):
        history = history.after_run(now, failed=failed)
    transition = history.transition(4 * DAY, NotifyRule("change"))
    assert transition is not None
    assert (transition.well_for, transition.failing_for, transition.failures) == (3 * DAY, DAY, 2)


def test_a_failure_that_is_reported_too_late() -> None:
    """If a recovery is reported before its failure, chatpost forgets the failure and reports the next one as new."""
    failed = JobHistory().after_run(1, failed=True)
    failure = failed.transition(1, NotifyRule("change"))
    recovered = failed.after_run(2, failed=False)
    recovery = recovered.transition(2, NotifyRule("change"))
    assert failure is not None
    assert recovery is not None
    history = recovered.reported(recovery, 2).reported(failure, 3).after_run(4, failed=True)
    transition = history.transition(4, NotifyRule("change"))
    assert transition is not None
    assert (transition.kind, transition.failures) == ("failure", 1)


def test_one_thread() -> None:
    """A failure, its reminders and its recovery share a thread. The next failure starts a new one."""
    history, keys = JobHistory(), []
    for now, failed in enumerate([True, True, False, True]):
        history = history.after_run(now, failed=failed)
        transition = history.transition(now, NotifyRule("change", remind_every=1))
        assert transition is not None
        keys.append(transition.thread_key)
        history = history.reported(transition, now)
    assert keys[0] == keys[1] == keys[2] != keys[3]


@given(st.lists(st.booleans()), st.booleans())
def test_a_recovery_leaves_nothing(runs: list[bool], reported: bool) -> None:  # noqa: FBT001 - given by hypothesis
    """After a reported recovery, a job's history is the same as if the job had never failed."""
    history = JobHistory()
    for now, failed in enumerate([*runs, False]):
        history = history.after_run(now, failed=failed)
        transition = history.transition(now, NotifyRule("change"))
        if transition is not None and (reported or now == len(runs)):
            history = history.reported(transition, now)
    if not history.recovered:
        assert (history.failures, history.reported_at, history.thread_key) == (0, None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (3.24, "3.2 s"),
        (12.4, "12 s"),
        (59.9, "1 min"),
        (724, "12 min 4 s"),
        (2700.5, "45 min"),
        (7200, "2 h"),
        (7325, "2 h 2 min"),
        (DAY, "1 day"),
        (1.5 * DAY, "1 day 12 h"),
        (30 * DAY, "30 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration is shown in its two largest units."""
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (".5", 0.5),
        ("90s", 90),
        ("5m", 300),
        (" 2h\n", 7200),
        ("3d", 3 * DAY),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d1h1m1.5s", DAY + 3661.5),
    ],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    """A duration is a number of seconds, or numbers with units, the largest unit first."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "s", "5 m", "30m1h", "1h1h", "-1", "+1s", "1e3", "nan", "inf", "5 parsecs", "\u0661s"]
)
def test_invalid_durations(text: str) -> None:
    """Anything else is not a duration, and the error shows how to write one."""
    with pytest.raises(ValueError, match=r"is not a duration: use 90s, 5m, 2h or 3d$"):
        parse_duration(text)
