"""The options that only some commands have (`thread --follow`, `outbox flush`, `run`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from chatpost.cli import types
from chatpost.cli.options import CARD, CONFIG, LINES, OUTPUT, QUIET, RETRY, SPOOL, STYLE, VERBOSE, OutputOptions
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


class MailOptions(NamedTuple):
    """The options of sendmail that have an effect.

    ``mode``: ``m`` reads a mail, ``p`` lists the outbox. ``queue`` is not None: flush the outbox. ``in_headers``: the
    recipients are in the headers, too. ``letters`` are those of ``-o``. ``ignores_dots``: a line that is a dot does not
    end the mail.
    """

    in_headers: bool
    ignores_dots: bool
    letters: tuple[str, ...]
    mode: str
    queue: str | None

    @property
    def ends_at_dot(self) -> bool:
        """Whether a line that is a dot ends the mail."""
        return not (self.ignores_dots or "i" in self.letters)


def _of_sendmail(*declarations: str, **attributes: Any) -> Option:
    """Return an option that has no variable, and no place in a profile."""
    return Option(*declarations, envvar=None, in_profile=False, **attributes)


SENDMAIL = Section(
    "Options of sendmail",
    MailOptions,
    _of_sendmail("in_headers", "-t", is_flag=True, help="Read recipients from the headers To, Cc and Bcc, too."),
    _of_sendmail("ignores_dots", "-i", is_flag=True, help="Do not end the mail at a line with only a dot."),
    _of_sendmail("letters", "-o", metavar="LETTER", multiple=True, help="-oi is -i; others are ignored."),
    _of_sendmail("mode", "-b", metavar="MODE", default="m", help="-bm reads a mail; -bp lists the outbox."),
    _of_sendmail("queue", "-q", is_flag=False, flag_value="", default=None, help="Flush the outbox."),
)

IGNORED = Section(
    SENDMAIL.heading,
    tuple,
    _of_sendmail(
        *("ignored", "-f", "-F", "-r", "-B", "-N", "-R", "-V", "-O", "-L", "-C", "-X", "-A"),
        metavar="VALUE",
        multiple=True,
        help="Ignored.",
    ),
    _of_sendmail("ignored_flags", "-G", "-m", "-n", "-U", is_flag=True, help="Ignored."),
)

MENTION = STYLE.without("code", "language", "markdown", "allow_mentions")
RETRY_MAIL = RETRY.replacing(Option("--deadline", type=types.Duration(), default=Seconds(10), help="Total time limit."))
SPOOL_MAIL = SPOOL.replacing(
    Option("--spool/--no-spool", default=True, help="If posting fails for now, store the message in the outbox.")
)
OUTPUT_OF_MAIL = Section(
    OUTPUT.heading,
    lambda verbose, dry_run: OutputOptions("none", quiet=not verbose, verbose=verbose, dry_run=dry_run),
    *(option for option in OUTPUT.options if option.key in {"verbose", "dry_run"}),
)
