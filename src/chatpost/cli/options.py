"""Every option of the commands that post, in the sections in which `--help` shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.completion import complete_profile, complete_user
from chatpost.cli.settings import Option, Section, read_defaults
from chatpost.cli.types import (
    YEAR,
    Language,
    Link,
    MessageId,
    Pair,
    RequestId,
    Seconds,
    ThreadKey,
    ThreadName,
    UserId,
    Whole,
    Words,
)
from chatpost.cli.values import (
    FORMATS,
    Address,
    Card,
    Envelope,
    ExitOptions,
    FollowOptions,
    OutputOptions,
    Where,
)
from chatpost.content.cards import STATUSES, QuickCard
from chatpost.content.compose import Overflow, Style
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import ConfigurationError
from chatpost.outbox.options import EXPIRE_AFTER, FlushOptions, SpoolOptions
from chatpost.pacing.queue import DEFAULT_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.content.ci import CiRun
    from chatpost.profiles.file import Profile

_POLICY = RetryPolicy()


CONFIG = Option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # what is wrong with it is said when it is read
    metavar="FILE",
    in_profile=False,
    help="Read profiles from FILE.",
)

WHERE = Section(
    "Where to post",
    Where,
    (
        Option(
            "-p",
            "--profile",
            multiple=True,
            metavar="NAME",
            envvar=None,
            in_profile=False,
            shell_complete=complete_profile,
            help="Profile to post to; repeatable, to post to several spaces at once.",
        ),
        CONFIG,
    ),
)

_THREAD_KEY = Option("-k", "--thread-key", type=ThreadKey(), help="Your own name for the thread.")


def _address(*, fallback_new_thread: bool, thread_key: str | None, thread: Thread | None = None) -> Address:
    thread = thread or (Thread(key=thread_key) if thread_key else None)
    fallback, or_fail = MessageReplyOption.FALLBACK_TO_NEW_THREAD, MessageReplyOption.OR_FAIL
    return Address() if thread is None else Address(thread, fallback if fallback_new_thread else or_fail)


THREAD = Section(
    "Thread",
    _address,
    (
        _THREAD_KEY,
        Option("--thread", type=ThreadName(), help="Chat's name for the thread, or for a message in it."),
        Option(
            "--fallback-new-thread/--or-fail",
            default=True,
            help="If the thread does not exist, start one or fail.  [default: fallback-new-thread]",
        ),
    ),
    one_of=(("thread",), ("thread_key",)),
)

# The command `thread` always falls back to a new thread, and says so to --or-fail.
OPENING = Section(
    "Thread", _address, (_THREAD_KEY, Option("--fallback-new-thread/--or-fail", default=True, hidden=True))
)

EVERY = Option(
    "--every",
    type=Seconds(),
    default=5,
    show_default=True,
    help="Seconds between two replies, if the lines fit into one message.",
)

FOLLOWING = Section(
    "Following stdin",
    FollowOptions,
    (
        Option("--follow", is_flag=True, in_profile=False, help="Post each line of stdin as a reply, as it comes."),
        Option("--tee", is_flag=True, in_profile=False, help="Copy stdin to stdout; message names go to stderr."),
        EVERY,
        Option("--last", type=Words(), in_profile=False, help="With --follow, last message of the thread."),
    ),
)

STYLE = Section(
    "Text",
    Style,
    (
        Option("--code", is_flag=True, help="Show the text as code."),
        Option("--language", type=Language(), help="Show the text as code in this language."),
        Option("--markdown", is_flag=True, help="Read the text as Markdown (CommonMark), not as Chat's own markup."),
        Option(
            "--mention",
            type=UserId(),
            multiple=True,
            metavar="USER",
            shell_complete=complete_user,
            help="User id, name in [mentions], or all, to mention; repeatable.",
        ),
        Option("--allow-mentions", is_flag=True, help="Let <users/...> in piped text mention people."),
    ),
)

OVERFLOW = Section(
    "Text",
    Overflow,
    (
        Option(
            "--overflow",
            type=click.Choice(["split", "head", "tail", "fail"]),
            default="split",
            show_default=True,
            help="For text beyond 32,000 bytes: post several messages, its beginning, its end, or nothing.",
        ),
        Option(
            "--max-parts",
            type=Whole(1, 100),
            default=10,
            show_default=True,
            help="Messages that one text may make, at most.",
        ),
    ),
)


def make_card(
    *, field: Any, button: Any, ci: bool, card: str | None = None, secrets: Sequence[str] = (), **parts: str | None
) -> Card:
    """Return the card that the options make, without these secrets in what a CI says."""
    quick = QuickCard(**parts, fields=field, buttons=button, run=_ci_run(secrets) if ci else None)
    lacks_ci = ci and quick.run is None
    if lacks_ci and not quick.title:  # the CI would have given the title that these stand below
        quick = quick._replace(subtitle=None, icon=None)
    return Card(card, quick, lacks_ci)


def _ci_run(secrets: Sequence[str]) -> CiRun | None:
    from chatpost.content.ci import find_run  # few messages tell of a CI

    return find_run(os.environ, secrets)


CARD = Section(
    "Card",
    make_card,
    (
        Option("--title", type=Words(), help="Make a card with this title; the text is its paragraph."),
        Option("--subtitle", type=Words(), help="Line below the title."),
        Option("--icon", type=Link(), metavar="URL", help="Image beside the title."),
        Option("--status", type=click.Choice(list(STATUSES)), help="Coloured status on the card."),
        Option(
            "--field",
            type=Pair("LABEL=VALUE", Words(keeps_lines=True)),
            multiple=True,
            help="Labelled value; repeatable.",
        ),
        Option("--button", type=Pair("TEXT=URL", Link()), multiple=True, help="Button that opens a link; repeatable."),
        Option("--ci", is_flag=True, help="Add what the CI tells of its run: branch, commit, a button, and more."),
        Option(
            "--card",
            type=click.Path(allow_dash=True, dir_okay=False),
            metavar="FILE",
            in_profile=False,
            help="Read the card from a JSON file; - is stdin.",
        ),
    ),
    one_of=(("card",), ("title", "subtitle", "icon", "status", "field", "button", "ci")),
)

ENVELOPE = Section(
    "Delivery",
    Envelope,
    (
        Option("--silent", is_flag=True, help="Ask Chat to notify nobody; Chat may refuse."),
        Option(
            "--request-id",
            type=RequestId(),
            in_profile=False,
            help="Post only once, however often this id is used.  [default: random]",
        ),
        Option(
            "--message-id",
            type=MessageId(),
            in_profile=False,
            metavar="client-ID",
            help="Your own id for the message; it begins with client-.",
        ),
    ),
)

RETRYING = Section(
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


def _interval(*, pacing: bool, interval: float) -> float | None:
    return interval if pacing else None


PACING = Section(
    "Delivery",
    _interval,
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

FLUSHING = Section(
    "Flush",
    FlushOptions,
    (
        Option("--digest", is_flag=True, help="Join messages for the same thread into one."),
        Option("--watch", is_flag=True, in_profile=False, help="Stay, and post what comes."),
        CONFIG,
    ),
)

QUIET = Option("-q", "--quiet", is_flag=True, help="Hide retry messages and warnings.")
VERBOSE = Option("-v", "--verbose", is_flag=True, help="Show every attempt.")

SPOOLING = Section(
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

LIST_FORMAT = click.Option(
    ["-o", "--output"],
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format of the list.",
)
"""For the commands that list what there is."""


def output_option(default: str, *, in_profile: bool = True) -> Option:
    """Return the option for what is printed of each message."""
    formats = click.Choice(FORMATS)
    text = "Line to print for each message."
    return Option("-o", "--output", type=formats, default=default, show_default=True, in_profile=in_profile, help=text)


TELLING = Section(
    "Output",
    OutputOptions,
    (
        output_option("name"),
        QUIET,
        VERBOSE,
        Option("--dry-run", is_flag=True, in_profile=False, help="Print the request, secrets masked; send nothing."),
    ),
)

LENIENCY = Section(
    "Exit status",
    ExitOptions,
    (
        Option("--skip-empty", is_flag=True, help="If there is no text, post nothing and exit 0."),
        Option("--soft-fail", is_flag=True, help="Report a failure on stderr, but exit 0."),
    ),
)

POSTING = (STYLE, OVERFLOW, CARD, ENVELOPE, RETRYING, PACING, SPOOLING, TELLING, LENIENCY)
"""The sections of every posting command, except `WHERE` and `THREAD`."""


def defaults_of(profile: Profile) -> dict[str, Any]:
    """Check a profile's defaults as the options are checked; raises `ConfigurationError` that names the wrong key."""
    from chatpost.cli.job_options import CHANGE, REPORT  # not for a send without a profile

    where = f"{profile.path}: profiles.{profile.name}"
    values = read_defaults(where, profile.defaults, (WHERE, THREAD, FOLLOWING, CHANGE, REPORT, FLUSHING, *POSTING))
    for user in values.get("mention", ()):
        if not (user.isdigit() or user == "all" or user in profile.mentions):
            msg = f"{where}.mention has something that is no user's id, and no name in [mentions]"
            raise ConfigurationError(msg)
    return values
