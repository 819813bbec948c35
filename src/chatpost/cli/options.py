"""The options of the commands that post, in the sections of `--help`, and their values."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import click

from chatpost.chat.message import Thread
from chatpost.cli import types
from chatpost.cli.settings import Option, Section
from chatpost.content.cards import STATUSES, CardOptions
from chatpost.content.compose import Overflow
from chatpost.content.markup import Style
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import ConfigurationError
from chatpost.outbox.options import EXPIRE_AFTER, SpoolOptions
from chatpost.pacing.queue import DEFAULT_INTERVAL


def complete_profile(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a profile."""
    return [name for name in _names(ctx)[0] if name.startswith(incomplete)]


def complete_user(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a name in [mentions], or all."""
    return [name for name in (*_names(ctx)[1], "all") if name.startswith(incomplete)]


complete_file = click.Path().shell_complete


def _names(ctx: click.Context) -> tuple[list[str], list[str]]:
    """Return the names of profiles and in [mentions]; none if the profile file cannot be loaded."""
    from chatpost.directories import find_profile_file
    from chatpost.profiles.file import load_profiles  # not for --help

    path = find_profile_file(ctx.params.get("config"))
    with suppress(ConfigurationError, OSError):
        if path is not None and path.is_file():  # anything else, such as a pipe, could block forever
            file = load_profiles(path)
            return [*file.profiles], [*file.mentions]
    return [], []


class ProfileOptions(NamedTuple):
    """Names of the profiles to post to, and the profile file, None for the user's own."""

    profile: tuple[str, ...]
    config: Path | None


CONFIG = Option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # reading it raises a better error
    metavar="FILE",
    in_profile=False,
    callback=types.or_of_group,
    help="Read profiles from FILE.",
)
PROFILES = Section(
    "Where to post",
    ProfileOptions,
    Option(
        *("-p", "--profile"),
        multiple=True,
        metavar="NAME",
        envvar=None,
        in_profile=False,
        shell_complete=complete_profile,
        help="Profile to post to; repeatable, to post to several spaces at once.",
    ),
    CONFIG,
)


class ThreadOptions(NamedTuple):
    """Key or name of the thread, and whether to start one if it does not exist."""

    thread_key: str | None
    fallback_new_thread: bool
    thread: Thread | None = None


_THREAD_KEY = Option("-k", "--thread-key", type=types.THREAD_KEY, help="Your own name for the thread.")
_FALLBACK = "--fallback-new-thread/--or-fail"
THREAD = Section(
    "Thread",
    ThreadOptions,
    _THREAD_KEY,
    Option("--thread", type=types.THREAD_NAME, help="Chat's name for the thread, or for a message in it."),
    Option(_FALLBACK, default=True, help="If the thread does not exist, start one or fail."),
    one_of=(("thread",), ("thread_key",)),
)

# `thread` always falls back to a new thread, and has a message for --or-fail.
NEW_THREAD = Section("Thread", ThreadOptions, _THREAD_KEY, Option(_FALLBACK, default=True, hidden=True))

STYLE = Section(
    "Text",
    Style,
    Option("--code", is_flag=True, help="Show the text as code."),
    Option("--language", type=types.LANGUAGE, help="Show the text as code in this language."),
    Option("--markdown", is_flag=True, help="Read the text as Markdown (CommonMark), not as Chat's own markup."),
    Option(
        "--mention",
        type=types.USER,
        multiple=True,
        shell_complete=complete_user,
        help="User id, name in [mentions], or all, to mention; repeatable.",
    ),
    Option("--allow-mentions", is_flag=True, help="Let <users/...> in piped text mention people."),
)

OVERFLOW = Section(
    "Text",
    Overflow,
    Option(
        "--overflow",
        type=click.Choice(["split", "head", "tail", "fail"]),
        default="split",
        help="For text beyond 32,000 bytes: post several messages, its beginning, its end, or nothing.",
    ),
    Option("--max-parts", type=types.Whole(1, 100), default=10, help="Messages that one text may make, at most."),
)

CARD = Section(
    "Card",
    CardOptions,
    Option("--title", type=types.LINE, help="Make a card with this title; the text is its paragraph."),
    Option("--subtitle", type=types.LINE, help="Line below the title."),
    Option("--icon", type=types.LINK, help="Image beside the title."),
    Option("--status", type=click.Choice(list(STATUSES)), help="Coloured status on the card."),
    Option("--field", type=types.Pair("LABEL=VALUE", types.text), multiple=True, help="Labelled value; repeatable."),
    Option(
        "--button", type=types.Pair("TEXT=URL", types.link), multiple=True, help="Button that opens a link; repeatable."
    ),
    Option("--ci", is_flag=True, help="Add what the CI tells of its run: branch, commit, a button, and more."),
    Option(
        "--card",
        type=click.Path(allow_dash=True, dir_okay=False),
        metavar="FILE",
        in_profile=False,
        help="Read the card from a JSON file; - is stdin.",
    ),
    one_of=(("card",), ("title", "subtitle", "icon", "status", "field", "button", "ci")),
)


class RequestOptions(NamedTuple):
    """The request ID, None for a random one, and whether to suppress notifications."""

    request_id: str | None
    silent: bool


REQUEST = Section(
    "Delivery",
    RequestOptions,
    Option("--silent", is_flag=True, help="Ask Chat to notify nobody; Chat may refuse."),
    Option(
        "--request-id",
        type=types.REQUEST_ID,
        in_profile=False,
        help="Post only once, however often this id is used.  [default: random]",
    ),
)

_POLICY, _SECONDS = RetryPolicy(), types.Seconds()
RETRY = Section(
    "Delivery",
    RetryPolicy,
    Option("--timeout", type=_SECONDS, default=_POLICY.timeout, help="Seconds for each attempt."),
    Option(
        "--deadline",
        type=_SECONDS,
        default=_POLICY.deadline,
        help="Seconds in all, except reading stdin or running a job.",
    ),
    Option("--retries", type=types.Whole(0, 100), default=_POLICY.retries, help="Attempts after the first, at most."),
)


class PacingOptions(NamedTuple):
    """Whether to wait for a turn in the space, and the seconds between two messages to a space."""

    pacing: bool
    interval: float


PACING = Section(
    "Delivery",
    PacingOptions,
    Option("--pacing/--no-pacing", default=True, help="Queue with your other processes, and with your fleet's."),
    Option("--interval", type=_SECONDS, default=DEFAULT_INTERVAL, help="Seconds between two messages to the space."),
)

SPOOL = Section(
    "Outbox",
    SpoolOptions,
    Option("--spool", is_flag=True, help="If the message cannot be posted now, keep it in the outbox and exit 0."),
    Option("--spool-first", is_flag=True, help="Keep the message in the outbox at once, without trying."),
    Option(
        "--keep-for",
        type=types.Seconds(types.YEAR),
        default=EXPIRE_AFTER,
        help="Seconds after which a message in the outbox is not worth posting.",
    ),
)


class OutputOptions(NamedTuple):
    """Format of the line for each message on stdout, verbosity on stderr, and whether to print requests only."""

    output: str
    quiet: bool
    verbose: bool
    dry_run: bool


LINES = click.Choice(["name", "thread", "json", "none"])
QUIET = Option("-q", "--quiet", is_flag=True, help="Hide retry messages and warnings.")
VERBOSE = Option("-v", "--verbose", is_flag=True, help="Show every attempt.")
OUTPUT = Section(
    "Output",
    OutputOptions,
    Option("-o", "--output", type=LINES, default="name", help="Line to print for each message."),
    QUIET,
    VERBOSE,
    Option("--dry-run", is_flag=True, in_profile=False, help="Print the request, secrets masked; send nothing."),
)


class ExitOptions(NamedTuple):
    """Which outcomes exit with 0: an empty text, a failure."""

    skip_empty: bool
    soft_fail: bool


EXIT = Section(
    "Exit status",
    ExitOptions,
    Option("--skip-empty", is_flag=True, help="If there is no text, post nothing and exit 0."),
    Option("--soft-fail", is_flag=True, help="Report a failure on stderr, but exit 0."),
)

POSTING = (STYLE, OVERFLOW, CARD, REQUEST, RETRY, PACING, SPOOL, OUTPUT, EXIT)
"""The sections of every posting command, except `PROFILES` and `THREAD`."""


class PostOptions(NamedTuple):
    """The values of the sections in `POSTING` for one profile."""

    style: Style
    overflow: Overflow
    card: CardOptions
    request: RequestOptions
    retry: RetryPolicy
    pacing: PacingOptions
    spool: SpoolOptions
    output: OutputOptions
    exits: ExitOptions
