"""The options that only some commands have (`thread --follow`, `outbox flush`, `run`)."""

from __future__ import annotations

from typing import NamedTuple

import click

from chatpost.cli import types
from chatpost.cli.options import CARD, CONFIG, LINES, OUTPUT, QUIET, STYLE, VERBOSE, OutputOptions
from chatpost.cli.settings import Option, Section
from chatpost.formatting import Seconds
from chatpost.jobs.transitions import DAY, NotifyRule
from chatpost.outbox.options import FlushOptions


class FollowOptions(NamedTuple):
    """Whether to post lines as replies, the seconds between two replies, and the thread's ``closing`` message.

    ``tee``: copy stdin to stdout.
    """

    follow: bool
    every: float
    tee: bool = False
    closing: str | None = None


_EVERY = Option(
    "--every",
    type=types.Duration(),
    default=Seconds(5),
    help="Collect lines for this long before each reply.",
)

FOLLOW = Section(
    "Follow stdin",
    FollowOptions,
    Option("--follow", is_flag=True, in_profile=False, help="Post the lines of stdin as replies, as they arrive."),
    Option("--tee", is_flag=True, in_profile=False, help="Copy stdin to stdout, and print message names on stderr."),
    _EVERY,
    Option("--closing", type=types.LINE, in_profile=False, help="Final message once stdin ends, with --follow."),
)

FOLLOW_JOB = Section(
    "Follow the output",
    FollowOptions,
    Option("--follow", is_flag=True, in_profile=False, help="Post the output as replies in a thread, as it arrives."),
    _EVERY,
)

FLUSH = Section(
    "Flush",
    FlushOptions,
    Option("--digest", is_flag=True, help="Combine messages of the same thread into one."),
    Option("--watch", is_flag=True, in_profile=False, help="Keep running and post new messages as they arrive."),
    CONFIG,
)

LIST_FORMAT = Option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", envvar=None, help="Output format."
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


_LONG_DURATION = types.Duration(types.YEAR, "366d")

JOB = Section(
    "Job",
    JobOptions,
    Option("--time-limit", type=_LONG_DURATION, in_profile=False, help="Stop the job after this long."),
    Option("--merge", is_flag=True, in_profile=False, help="Merge the job's stderr into stdout, to keep their order."),
    Option("--no-output", is_flag=True, in_profile=False, help="Do not capture or post the job's output."),
)

REPORT = Section(
    "Message",
    ReportOptions,
    Option("--name", type=types.LINE, in_profile=False, help="Name of the job.  [default: the command]"),
    Option("--tail", type=types.Whole(0, 10_000), default=20, help="Number of the last output lines to post."),
    Option("--show-command", is_flag=True, help="Include the command line."),
)

_ON = click.Choice(["always", "failure", "change"])

NOTIFY = Section(
    "Notification",
    NotifyRule,
    Option("--on", type=_ON, default="always", help="Post every run, failures, or changes of the outcome."),
    Option(
        "--after-failures",
        type=types.Whole(1, 1000),
        default=1,
        help="Failures in a row before posting.",
    ),
    Option(
        "--remind-every",
        type=_LONG_DURATION,
        default=Seconds(DAY),
        help="Interval between reminders of a lasting failure, with --on change.",
    ),
    Option(
        "--longer-than",
        type=_LONG_DURATION,
        default=None,
        help="Post only if the job failed or ran at least this long.",
    ),
)

# The output is always code, and the card's status is the outcome.
STYLE_OF_JOB = STYLE.without("code")
CARD_OF_JOB = CARD.without("card", "status")

OUTPUT_OF_JOB = Section(
    OUTPUT.heading,
    OutputOptions,
    # The job's stdout must stay as it is.
    Option("-o", "--output", type=LINES, default="none", in_profile=False, help="Data to print for each message."),
    QUIET,
    VERBOSE,
    Option("--dry-run", is_flag=True, in_profile=False, hidden=True),
)
