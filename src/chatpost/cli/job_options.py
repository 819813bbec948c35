"""The options that only `run` has, in sections."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import click

from chatpost.cli.options import CARD, EVERY, QUIET, STYLE, VERBOSE, make_card, output_option
from chatpost.cli.settings import Option, Section
from chatpost.cli.types import YEAR, Seconds, Whole, Words
from chatpost.cli.values import Card, FollowOptions, OutputOptions
from chatpost.content.compose import Style
from chatpost.jobs.transitions import DAY, Rule


class JobOptions(NamedTuple):
    """How to run the job: for ``time_limit`` seconds at most, its streams in one (``merge``) or left alone."""

    time_limit: float | None
    merge: bool
    no_output: bool


class ReportOptions(NamedTuple):
    """Parts of the message: the job's ``name``, None for the command's own; ``tail`` lines of output; the command."""

    name: str | None
    tail: int
    show_command: bool


JOB = Section(
    "Job",
    JobOptions,
    (
        Option("--time-limit", type=Seconds(YEAR), in_profile=False, help="Seconds after which the job is ended."),
        Option("--merge", is_flag=True, in_profile=False, help="Pass stderr on as stdout, to keep their exact order."),
        Option("--no-output", is_flag=True, in_profile=False, help="Leave the job's output alone, and post none."),
    ),
)

REPORT = Section(
    "Message",
    ReportOptions,
    (
        Option("--name", type=Words(), in_profile=False, help="Name of the job.  [default: the command's]"),
        Option(
            "--tail",
            type=Whole(0, 10_000),
            default=20,
            show_default=True,
            help="Lines of the end of the output to post.",
        ),
        Option("--show-command", is_flag=True, help="Post the command line, too."),
    ),
)

CHANGE = Section(
    "When to post",
    Rule,
    (
        Option(
            "--on",
            type=click.Choice(["always", "failure", "change"]),
            default="always",
            show_default=True,
            help="Post each time, if the job fails, or if that changes.",
        ),
        Option(
            "--after",
            type=Whole(1, 1000),
            default=1,
            show_default=True,
            help="Failures in a row that make one to post.",
        ),
        Option(
            "--remind",
            type=Seconds(YEAR),
            default=DAY,
            help="With --on change, seconds until a lasting failure is posted again.  [default: 86400]",
        ),
    ),
)

# The output is always code.
STYLE_OF_JOB = Section(STYLE.heading, Style, tuple(option for option in STYLE.options if option.key != "code"))


def _card(**values: Any) -> Card:
    from chatpost.content.secrets import secrets_of  # not for a profile's defaults

    return make_card(**values, secrets=secrets_of(os.environ))


# The outcome is the card's status. What a CI says is cleaned as the job's output is.
CARD_OF_JOB = Section(
    "Card",
    _card,
    tuple(option for option in CARD.options if option.key not in {"card", "status"}),
)

FOLLOWING_JOB = Section(
    "Following the output",
    lambda *, follow, every: FollowOptions(follow, tee=False, last=None, every=every),
    (
        Option("--follow", is_flag=True, in_profile=False, help="Post the output as replies in a thread, as it comes."),
        EVERY,
    ),
)

TELLING_JOB = Section(
    "Output",
    OutputOptions,
    (
        # Nothing of ours stands between the job's own lines, unless it is asked for.
        output_option("none", in_profile=False),
        QUIET,
        VERBOSE,
        Option("--dry-run", is_flag=True, in_profile=False, hidden=True),
    ),
)
