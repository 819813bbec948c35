"""The options that only some commands have (`thread --follow`, `outbox flush`, `run`)."""

from __future__ import annotations

from typing import NamedTuple

import click

from chatpost.cli import types
from chatpost.cli.options import CARD, CONFIG, LINES, OUTPUT, QUIET, STYLE, VERBOSE, OutputOptions
from chatpost.cli.settings import Option, Section
from chatpost.jobs.transitions import DAY, NotifyRule
from chatpost.outbox.options import FlushOptions


class FollowOptions(NamedTuple):
    """Whether to post lines as replies, the seconds between two replies, and the thread's ``last`` message.

    ``tee``: copy stdin to stdout.
    """

    follow: bool
    every: float
    tee: bool = False
    last: str | None = None


_EVERY = Option(
    "--every", type=types.Seconds(), default=5, help="Seconds between two replies, if the lines fit into one message."
)

FOLLOW = Section(
    "Following stdin",
    FollowOptions,
    Option("--follow", is_flag=True, in_profile=False, help="Post each line of stdin as a reply, as it comes."),
    Option("--tee", is_flag=True, in_profile=False, help="Copy stdin to stdout; message names go to stderr."),
    _EVERY,
    Option("--last", type=types.LINE, in_profile=False, help="With --follow, last message of the thread."),
)

FOLLOW_JOB = Section(
    "Following the output",
    FollowOptions,
    Option("--follow", is_flag=True, in_profile=False, help="Post the output as replies in a thread, as it comes."),
    _EVERY,
)

FLUSH = Section(
    "Flush",
    FlushOptions,
    Option("--digest", is_flag=True, help="Join messages for the same thread into one."),
    Option("--watch", is_flag=True, in_profile=False, help="Stay, and post what comes."),
    CONFIG,
)

LIST_FORMAT = Option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", envvar=None, help="Format of the list."
)


class JobOptions(NamedTuple):
    """Time limit in seconds, whether to redirect stderr to stdout, and whether to leave the output uncaptured."""

    time_limit: float | None
    merge: bool
    no_output: bool


class ReportOptions(NamedTuple):
    """Name of the job, None for the command's; lines of output to post; whether to post the command line."""

    name: str | None
    tail: int
    show_command: bool


_LONG_SECONDS = types.Seconds(types.YEAR)

JOB = Section(
    "Job",
    JobOptions,
    Option("--time-limit", type=_LONG_SECONDS, in_profile=False, help="Seconds after which the job is ended."),
    Option("--merge", is_flag=True, in_profile=False, help="Pass stderr on as stdout, to keep their exact order."),
    Option("--no-output", is_flag=True, in_profile=False, help="Leave the job's output alone, and post none."),
)

REPORT = Section(
    "Message",
    ReportOptions,
    Option("--name", type=types.LINE, in_profile=False, help="Name of the job.  [default: the command's]"),
    Option("--tail", type=types.Whole(0, 10_000), default=20, help="Lines of the end of the output to post."),
    Option("--show-command", is_flag=True, help="Post the command line, too."),
)

_ON = click.Choice(["always", "failure", "change"])

NOTIFY = Section(
    "When to post",
    NotifyRule,
    Option("--on", type=_ON, default="always", help="Post each time, if the job fails, or if that changes."),
    Option("--after", type=types.Whole(1, 1000), default=1, help="Failures in a row that make one to post."),
    Option(
        "--remind",
        type=_LONG_SECONDS,
        default=DAY,
        help="With --on change, seconds until a lasting failure is posted again.",
    ),
)

# The output is always code, and the card's status is the outcome.
STYLE_OF_JOB = STYLE.without("code")
CARD_OF_JOB = CARD.without("card", "status")

OUTPUT_OF_JOB = Section(
    OUTPUT.heading,
    OutputOptions,
    # The job's stdout must stay as it is.
    Option("-o", "--output", type=LINES, default="none", in_profile=False, help="Line to print for each message."),
    QUIET,
    VERBOSE,
    Option("--dry-run", is_flag=True, in_profile=False, hidden=True),
)
