"""The options of the commands that post, in the sections of `--help`, and their values."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from chatpost.chat.message import Thread
from chatpost.cli import types
from chatpost.cli.completion import complete_profile, complete_user
from chatpost.cli.settings import Option, Section
from chatpost.content.cards import STATUSES, CardOptions
from chatpost.content.compose import Overflow
from chatpost.content.markup import Style
from chatpost.delivery.model import DEFAULT_INTERVAL
from chatpost.delivery.retry import RetryPolicy
from chatpost.formatting import Seconds
from chatpost.outbox.options import EXPIRE_AFTER, SpoolOptions


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
    help="Use FILE as the profile file.",
)
ONE_PROFILE = "--follow posts to a single thread: use one profile"
PROFILES = Section(
    "Destination",
    ProfileOptions,
    Option(
        *("-p", "--profile"),
        multiple=True,
        metavar="NAME",
        envvar=None,
        in_profile=False,
        shell_complete=complete_profile,
        help="Profile to post to. Repeat to post to several spaces at once.",
    ),
    CONFIG,
)


class ThreadOptions(NamedTuple):
    """Key or name of the thread, and whether to start one if it does not exist."""

    thread_key: str | None
    fallback_new_thread: bool
    thread: Thread | None = None


_THREAD_KEY = Option(
    "-k",
    "--thread-key",
    type=types.THREAD_KEY,
    help="Key that you choose for the thread; messages with the same key share it.",
)
_FALLBACK = "--fallback-new-thread/--or-fail"
THREAD = Section(
    "Thread",
    ThreadOptions,
    _THREAD_KEY,
    Option(
        "--thread",
        type=types.THREAD_NAME,
        help="Chat's name for the thread, a link to it, or the name of a message in it.",
    ),
    Option(_FALLBACK, default=True, help="If the thread does not exist, start a new one, or fail."),
    one_of=(("thread",), ("thread_key",)),
)

# `thread` always falls back to a new thread, and has a message for --or-fail.
NEW_THREAD = Section("Thread", ThreadOptions, _THREAD_KEY, Option(_FALLBACK, default=True, hidden=True))

STYLE = Section(
    "Text",
    Style,
    Option("--code", is_flag=True, help="Format the text as code."),
    Option("--language", type=types.LANGUAGE, help="Format the text as code in this language."),
    Option("--markdown", is_flag=True, help="Parse the text as Markdown (CommonMark) instead of Chat's markup."),
    Option(
        "--mention",
        type=types.USER,
        multiple=True,
        shell_complete=complete_user,
        help="User to mention: user ID, name in [mentions], or all. Repeatable.",
    ),
    Option("--allow-mentions", is_flag=True, help="Allow <users/...> in piped text to mention people."),
)

OVERFLOW = Section(
    "Text",
    Overflow,
    Option(
        "--overflow",
        type=click.Choice(["split", "head", "tail", "fail"]),
        default="split",
        help="For text over 32,000 bytes: split it, post its head or tail, or fail.",
    ),
    Option("--max-parts", type=types.Whole(1, 100), default=10, help="Maximum number of messages per text."),
)

CARD = Section(
    "Card",
    CardOptions,
    Option("--title", type=types.LINE, help="Create a card with this title; the text becomes its body."),
    Option("--subtitle", type=types.LINE, help="Line below the title."),
    Option("--icon", type=types.LINK, help="Image next to the title."),
    Option("--status", type=click.Choice(list(STATUSES)), help="Coloured status of the card."),
    Option("--image", type=types.IMAGE, help="Image below the text; requires an https URL."),
    Option("--field", type=types.Pair("LABEL=VALUE", types.text), multiple=True, help="Labelled value. Repeatable."),
    Option("--button", type=types.Pair("TEXT=URL", types.link), multiple=True, help="Link button. Repeatable."),
    Option("--ci", is_flag=True, help="Add details of the CI run and a link to it."),
    Option(
        "--as",
        type=click.Choice(["card", "text"]),
        field="form",
        help="Format of the title, status, image, fields and buttons.  [default: card]",
    ),
    Option(
        "--card",
        type=click.Path(allow_dash=True, dir_okay=False),
        metavar="FILE",
        in_profile=False,
        help="Read the card from a JSON file, or from stdin if FILE is -.",
    ),
    one_of=(("card",), ("title", "subtitle", "icon", "status", "image", "field", "button", "ci", "as")),
)


class RequestOptions(NamedTuple):
    """The request ID, None for a random one, and whether to suppress notifications."""

    request_id: str | None
    silent: bool


REQUEST = Section(
    "Delivery",
    RequestOptions,
    Option("--silent", is_flag=True, help="Suppress notifications. Chat may reject this for webhooks."),
    Option(
        "--request-id",
        type=types.REQUEST_ID,
        in_profile=False,
        help="Idempotency key: Chat creates at most one message per ID.  [default: random]",
    ),
)

_POLICY, _DURATION = RetryPolicy(), types.Duration()
RETRY = Section(
    "Delivery",
    RetryPolicy,
    Option("--timeout", type=_DURATION, default=Seconds(_POLICY.timeout), help="Timeout of each attempt."),
    Option(
        "--deadline",
        type=_DURATION,
        default=Seconds(_POLICY.deadline),
        help="Total time limit, except for reading stdin or running a job.",
    ),
    Option("--retries", type=types.Whole(0, 100), default=_POLICY.retries, help="Maximum number of retries."),
)


class PacingOptions(NamedTuple):
    """Whether to wait for a turn in the space, and the seconds between two messages to a space."""

    pacing: bool
    interval: float


PACING = Section(
    "Delivery",
    PacingOptions,
    Option("--pacing/--no-pacing", default=True, help="Take turns with other processes that post to the space."),
    Option("--interval", type=_DURATION, default=Seconds(DEFAULT_INTERVAL), help="Time between messages to a space."),
)

SPOOL = Section(
    "Outbox",
    SpoolOptions,
    Option("--spool", is_flag=True, help="If posting fails for now, store the message in the outbox."),
    Option("--spool-only", is_flag=True, help="Store the message in the outbox without trying to post it."),
    Option(
        "--expire-after",
        type=types.Duration(types.YEAR, "366d"),
        default=Seconds(EXPIRE_AFTER),
        help="Expire the message if it is still in the outbox after this long.",
    ),
)


class OnceOptions(NamedTuple):
    """For how many seconds to suppress repeats, None for never, and the key that identifies them."""

    once_per: float | None
    once_key: str | None


ONCE = Section(
    "Repeats",
    OnceOptions,
    Option(
        "--once-per",
        type=types.Duration(types.YEAR, "366d"),
        help="Post the message at most once per DURATION, and count its repeats.",
    ),
    Option(
        "--once-key",
        type=types.LINE,
        metavar="KEY",
        in_profile=False,
        help="Treat messages with the same key as repeats.  [default: compare text and card]",
    ),
    requires=(("once_key", "once_per"),),
)


class OutputOptions(NamedTuple):
    """Format of the line for each message on stdout, verbosity on stderr, and whether to print requests only."""

    output: str
    quiet: bool
    verbose: bool
    dry_run: bool


LINES = click.Choice(["name", "thread", "json", "none"])
QUIET = Option("-q", "--quiet", is_flag=True, help="Suppress retry messages, warnings and notes.")
VERBOSE = Option("-v", "--verbose", is_flag=True, help="Show every attempt.")
OUTPUT = Section(
    "Output",
    OutputOptions,
    Option("-o", "--output", type=LINES, default="name", help="Data to print for each message."),
    QUIET,
    VERBOSE,
    Option("--dry-run", is_flag=True, in_profile=False, help="Print the request, secrets masked, without sending it."),
)


class ExitOptions(NamedTuple):
    """Which outcomes exit with 0: an empty text, a failure."""

    skip_empty: bool
    soft_fail: bool


EXIT = Section(
    "Exit status",
    ExitOptions,
    Option("--skip-empty", is_flag=True, help="If the text is empty, post nothing and exit 0."),
    Option("--soft-fail", is_flag=True, help="Exit 0 even if posting fails; report the failure on stderr."),
)

POSTING = (STYLE, OVERFLOW, CARD, REQUEST, RETRY, PACING, SPOOL, ONCE, OUTPUT, EXIT)
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
    once: OnceOptions
    output: OutputOptions
    exits: ExitOptions
