"""The options of a message's way to Chat, its report and the exit status, in sections, and the values they make."""

from __future__ import annotations

from typing import NamedTuple

import click

from chatpost.cli.settings import Option, Section
from chatpost.cli.types import YEAR, RequestId, Seconds, Whole
from chatpost.delivery.retry import RetryPolicy
from chatpost.outbox.options import EXPIRE_AFTER, SpoolOptions
from chatpost.pacing.queue import DEFAULT_INTERVAL

_POLICY = RetryPolicy()


class RequestOptions(NamedTuple):
    """The request id, None for a random one, and whether Chat is asked not to notify people."""

    request_id: str | None
    silent: bool


REQUEST = Section(
    "Delivery",
    RequestOptions,
    (
        Option("--silent", is_flag=True, help="Ask Chat to notify nobody; Chat may refuse."),
        Option(
            "--request-id",
            type=RequestId(),
            in_profile=False,
            help="Post only once, however often this id is used.  [default: random]",
        ),
    ),
)

RETRY = Section(
    "Delivery",
    RetryPolicy,
    (
        Option(
            "--timeout", type=Seconds(), default=_POLICY.timeout, show_default=True, help="Seconds for each attempt."
        ),
        Option(
            "--deadline",
            type=Seconds(),
            default=_POLICY.deadline,
            show_default=True,
            help="Seconds in all, except reading stdin or running a job.",
        ),
        Option(
            "--retries",
            type=Whole(0, 100),
            default=_POLICY.retries,
            show_default=True,
            help="Attempts after the first, at most.",
        ),
    ),
)


class PacingOptions(NamedTuple):
    """Whether a message waits for its space's turn, and the seconds between two messages to the space."""

    pacing: bool
    interval: float


PACING = Section(
    "Delivery",
    PacingOptions,
    (
        Option(
            "--pacing/--no-pacing",
            default=True,
            help="Queue with your other processes, and with your fleet's.  [default: pacing]",
        ),
        Option(
            "--interval",
            type=Seconds(),
            default=DEFAULT_INTERVAL,
            show_default=True,
            help="Seconds between two messages to the space.",
        ),
    ),
)

SPOOL = Section(
    "Outbox",
    SpoolOptions,
    (
        Option("--spool", is_flag=True, help="If the message cannot be posted now, keep it in the outbox and exit 0."),
        Option("--spool-first", is_flag=True, help="Keep the message in the outbox at once, without trying."),
        Option(
            "--keep-for",
            type=Seconds(YEAR),
            default=EXPIRE_AFTER,
            help="Seconds after which a message in the outbox is not worth posting.  [default: 259200]",
        ),
    ),
)


class OutputOptions(NamedTuple):
    """The data on stdout (``output`` is one of `FORMATS`), and how much to say on stderr.

    ``dry_run``: print the request and send nothing.
    """

    output: str
    quiet: bool
    verbose: bool
    dry_run: bool


FORMATS = ("name", "thread", "json", "none")
"""The formats of a message's line on stdout."""


class OutputOption(Option):
    """The option for the format of a message's line on stdout."""

    def __init__(self, default: str, *, in_profile: bool = True) -> None:
        kind = click.Choice(FORMATS)
        text = "Line to print for each message."
        super().__init__(
            "-o", "--output", type=kind, default=default, show_default=True, in_profile=in_profile, help=text
        )


QUIET = Option("-q", "--quiet", is_flag=True, help="Hide retry messages and warnings.")
VERBOSE = Option("-v", "--verbose", is_flag=True, help="Show every attempt.")

OUTPUT = Section(
    "Output",
    OutputOptions,
    (
        OutputOption("name"),
        QUIET,
        VERBOSE,
        Option("--dry-run", is_flag=True, in_profile=False, help="Print the request, secrets masked; send nothing."),
    ),
)


class ExitOptions(NamedTuple):
    """Which outcomes exit with 0: an empty text, a failure."""

    skip_empty: bool
    soft_fail: bool


EXIT = Section(
    "Exit status",
    ExitOptions,
    (
        Option("--skip-empty", is_flag=True, help="If there is no text, post nothing and exit 0."),
        Option("--soft-fail", is_flag=True, help="Report a failure on stderr, but exit 0."),
    ),
)
