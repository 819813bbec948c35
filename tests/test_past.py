from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from chatpost.content.secrets import masked, secrets_of
from chatpost.durations import duration
from chatpost.jobs.transitions import DAY, News, Past, Rule


def told_of(runs: str, rule: Rule, step: float = 60.0) -> list[tuple[int, str, int]]:
    """Run a job, once a ``step``; each letter is a success (s) or failure (f), in capitals if its message fails.

    Return the number, kind and failures of each outcome that was told.
    """
    past, told = Past(), []
    for number, run in enumerate(runs):
        now = number * step
        past = past.then(now, failed=run in "fF")
        news = past.news(now, rule)
        if news is not None and run.islower():
            told.append((number, news.kind, news.failures))
            past = past.told(news, now)
        elif news is None and past.recovered:
            past = past.told(News("recovery"), now)
    return told


@pytest.mark.parametrize(
    ("rule", "runs", "told"),
    [
        (Rule("change"), "sss", []),
        (Rule("change"), "f", [(0, "failure", 1)]),
        (Rule("change"), "sffss", [(1, "failure", 1), (3, "recovery", 2)]),
        (Rule("change"), "sFfs", [(2, "failure", 2), (3, "recovery", 2)]),
        (Rule("change"), "sfSss", [(1, "failure", 1), (3, "recovery", 1)]),
        (Rule("change"), "sfSf", [(1, "failure", 1)]),
        (Rule("change"), "sFs", [(2, "recovery", 1)]),
        (Rule("change", after=3), "ffsfffs", [(5, "failure", 3), (6, "recovery", 3)]),
        (Rule("change", remind=120), "ffffff", [(0, "failure", 1), (2, "still", 3), (4, "still", 5)]),
        (Rule("change", remind=120), "fFFFf", [(0, "failure", 1), (4, "still", 5)]),
        (Rule("failure"), "sfsff", [(1, "failure", 1), (3, "failure", 1), (4, "still", 2)]),
        (Rule("failure", after=2), "fffsf", [(1, "failure", 2), (2, "still", 3)]),
        (Rule("always"), "sffs", [(0, "success", 0), (1, "failure", 1), (2, "still", 2), (3, "recovery", 2)]),
    ],
)
def test_what_is_told(rule: Rule, runs: str, told: list[tuple[int, str, int]]) -> None:
    """A failure is told once until its recovery is; what could not be told is made up for."""
    assert told_of(runs, rule) == told


def test_times() -> None:
    """The time without a failure, and the time of the failures, are counted from the first of each."""
    past = Past()
    for now, failed in ((0, False), (DAY, False), (3 * DAY, True), (4 * DAY, True)):
        past = past.then(now, failed=failed)
    news = past.news(4 * DAY, Rule("change"))
    assert news is not None
    assert (news.well_for, news.failing_for, news.failures) == (3 * DAY, DAY, 2)


def test_a_failure_that_is_told_too_late() -> None:
    """If its recovery is told before the failure is, the failure leaves nothing behind: the next one is told."""
    failed = Past().then(1, failed=True)
    failure = failed.news(1, Rule("change"))
    recovered = failed.then(2, failed=False)
    recovery = recovered.news(2, Rule("change"))
    assert failure is not None
    assert recovery is not None
    past = recovered.told(recovery, 2).told(failure, 3).then(4, failed=True)
    news = past.news(4, Rule("change"))
    assert news is not None
    assert (news.kind, news.failures) == ("failure", 1)


def test_one_thread() -> None:
    """A failure, its reminders and its recovery have one thread; the next failure has another."""
    past, keys = Past(), []
    for now, failed in enumerate([True, True, False, True]):
        past = past.then(now, failed=failed)
        news = past.news(now, Rule("change", remind=1))
        assert news is not None
        keys.append(news.thread_key)
        past = past.told(news, now)
    assert keys[0] == keys[1] == keys[2] != keys[3]


@given(st.lists(st.booleans()), st.booleans())
def test_a_recovery_leaves_nothing(runs: list[bool], told: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """After a recovery that was told, a job's past is as if it had never failed."""
    past = Past()
    for now, failed in enumerate([*runs, False]):
        past = past.then(now, failed=failed)
        news = past.news(now, Rule("change"))
        if news is not None and (told or now == len(runs)):
            past = past.told(news, now)
    if not past.recovered:
        assert (past.failures, past.told_at, past.thread_key) == (0, None, None)


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
    """A time is told in its two largest units."""
    assert duration(seconds) == words


def test_secrets() -> None:
    """The values of variables named like secrets are masked, each line by itself, the longest first."""
    environment = {
        "GITHUB_TOKEN": "ghp_1234",
        "a_secret_b": "ghp_1234567",
        "PASSWORD": "short",
        "DEPLOY_KEY": "-----BEGIN\n  indented line\n",
        "KEYBOARD": "not a secret",
    }
    secrets = secrets_of(environment)
    assert secrets == ("indented line", "ghp_1234567", "-----BEGIN", "ghp_1234")
    assert masked("ghp_1234567 ghp_1234 short not a secret", secrets) == "*** *** short not a secret"
