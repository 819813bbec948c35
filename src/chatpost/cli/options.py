"""The options of the commands that post, in the sections in which `--help` shows them, and the values they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from chatpost.cli.completion import complete_profile, complete_user
from chatpost.cli.delivery_options import (
    EXIT,
    OUTPUT,
    PACING,
    REQUEST,
    RETRY,
    SPOOL,
    ExitOptions,
    OutputOptions,
    PacingOptions,
    RequestOptions,
)
from chatpost.cli.settings import Option, Section
from chatpost.cli.types import Language, Link, Pair, ThreadKey, ThreadName, UserId, Whole, Words
from chatpost.content.cards import STATUSES, CardOptions
from chatpost.content.compose import Overflow, Style

if TYPE_CHECKING:
    from chatpost.chat.message import Thread
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.outbox.options import SpoolOptions


class ProfileOptions(NamedTuple):
    """The profiles to post to, by name, and the file to read them from, None for the user's own."""

    profile: tuple[str, ...]
    config: Path | None


CONFIG = Option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # reading it gives the better message
    metavar="FILE",
    in_profile=False,
    help="Read profiles from FILE.",
)

PROFILES = Section(
    "Where to post",
    ProfileOptions,
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


class ThreadOptions(NamedTuple):
    """The thread of a message, by key or by name, and whether to start one if it does not exist."""

    thread_key: str | None
    fallback_new_thread: bool
    thread: Thread | None = None


_THREAD_KEY = Option("-k", "--thread-key", type=ThreadKey(), help="Your own name for the thread.")

THREAD = Section(
    "Thread",
    ThreadOptions,
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

# The command `thread` always falls back to a new thread, and rejects --or-fail in words of its own.
NEW_THREAD = Section(
    "Thread", ThreadOptions, (_THREAD_KEY, Option("--fallback-new-thread/--or-fail", default=True, hidden=True))
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


CARD = Section(
    "Card",
    CardOptions,
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


POSTING = (STYLE, OVERFLOW, CARD, REQUEST, RETRY, PACING, SPOOL, OUTPUT, EXIT)
"""The sections of every posting command, except `PROFILES` and `THREAD`."""


class PostOptions(NamedTuple):
    """The values of the sections in `POSTING`, as they are for one profile."""

    style: Style
    overflow: Overflow
    card: CardOptions
    request: RequestOptions
    retry: RetryPolicy
    pacing: PacingOptions
    spool: SpoolOptions
    output: OutputOptions
    exits: ExitOptions
