"""Every option of the commands that post, in the sections in which `--help` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.completion import complete_profile
from chatpost.cli.option import Defaults, Option, Section, read_defaults
from chatpost.cli.types import (
    Language,
    Link,
    MessageId,
    Pair,
    RequestId,
    Seconds,
    ThreadKey,
    ThreadName,
    UserId,
    Words,
)
from chatpost.cli.values import FORMATS, Address, Card, Envelope, Following, Leniency, Telling, Where
from chatpost.content.cards import STATUSES, QuickCard
from chatpost.content.compose import Overflow, Style
from chatpost.delivery.pacing import DEFAULT_INTERVAL
from chatpost.delivery.retry import RetryPolicy

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile

_POLICY = RetryPolicy()


CONFIG = Option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
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
_FALLBACK = Option(
    "--fallback-new-thread/--or-fail",
    default=True,
    help="If the thread does not exist, start one or fail.  [default: fallback-new-thread]",
)


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
        _FALLBACK,
    ),
    one_of=("thread", "thread_key"),
)

OPENING = Section("Thread", _address, (_THREAD_KEY, _FALLBACK))

FOLLOWING = Section(
    "Following stdin",
    Following,
    (
        Option("--follow", is_flag=True, in_profile=False, help="Post what comes on stdin as replies, as it comes."),
        Option("--tee", is_flag=True, in_profile=False, help="Copy stdin to stdout; message names go to stderr."),
        Option("--last", type=Words(), in_profile=False, help="Message that closes the thread."),
    ),
)

STYLE = Section(
    "Text",
    Style,
    (
        Option(
            "--code",
            type=Language(),
            is_flag=False,
            flag_value="",
            metavar="[LANG]",
            help="Show the text as code, highlighted as LANG; put TEXT after --.",
        ),
        Option("--markdown", is_flag=True, help="Read the text as Markdown (CommonMark), not as Chat's own markup."),
        Option(
            "--mention",
            type=UserId(),
            multiple=True,
            metavar="USER_ID|all",
            help="User to mention, or all; repeatable.",
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
            type=click.IntRange(1, 100),
            metavar="N",
            default=10,
            show_default=True,
            help="Most messages that one text may make.",
        ),
    ),
)


def _card(*, card: str | None, field: Any, button: Any, **parts: str | None) -> Card:
    return Card(card, QuickCard(**parts, fields=field, buttons=button))


CARD = Section(
    "Card",
    _card,
    (
        Option("--title", type=Words(), help="Make a card with this title; the text is its paragraph."),
        Option("--subtitle", type=Words(), help="Line below the title."),
        Option("--icon", type=Link(), metavar="URL", help="Image beside the title."),
        Option("--status", type=click.Choice(list(STATUSES)), help="Coloured status on the card."),
        Option("--field", type=Pair("LABEL=VALUE"), multiple=True, help="Labelled value; repeatable."),
        Option("--button", type=Pair("TEXT=URL", Link()), multiple=True, help="Button that opens a link; repeatable."),
        Option(
            "--card",
            type=click.Path(allow_dash=True, dir_okay=False),
            metavar="FILE",
            in_profile=False,
            help="Read the card from a JSON file; - is stdin.",
        ),
    ),
)

ENVELOPE = Section(
    "Delivery",
    Envelope,
    (
        Option("--silent", is_flag=True, help="Notify nobody."),
        Option(
            "--request-id",
            type=RequestId(),
            in_profile=False,
            help="Post only once, however often this id is used.  [default: random]",
        ),
        Option("--message-id", type=MessageId(), in_profile=False, help="Your own id for the message."),
    ),
)

RETRYING = Section(
    "Delivery",
    RetryPolicy,
    (
        Option(
            "--timeout", type=Seconds(), default=_POLICY.timeout, show_default=True, help="Seconds for one attempt."
        ),
        Option("--deadline", type=Seconds(), default=_POLICY.deadline, show_default=True, help="Seconds in all."),
        Option(
            "--retries",
            type=click.IntRange(0, 100),
            metavar="N",
            default=_POLICY.retries,
            show_default=True,
            help="Most attempts after the first.",
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
            help="Wait for the space's turn, in one queue with all processes here.  [default: pacing]",
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

TELLING = Section(
    "Output",
    Telling,
    (
        Option(
            "-o",
            "--output",
            type=click.Choice(FORMATS),
            default="name",
            show_default=True,
            help="What to print for each message.",
        ),
        Option("-q", "--quiet", is_flag=True, help="Hide retry messages and warnings."),
        Option("-v", "--verbose", is_flag=True, help="Show every attempt."),
    ),
)


def _is_dry_run(*, dry_run: bool) -> bool:
    return dry_run


DRY_RUN = Section(
    "Output",
    _is_dry_run,
    (Option("--dry-run", is_flag=True, in_profile=False, help="Print the request, secrets masked; send nothing."),),
)

LENIENCY = Section(
    "Exit status",
    Leniency,
    (
        Option("--skip-empty", is_flag=True, help="If there is no text, post nothing and exit 0."),
        Option("--soft-fail", is_flag=True, help="Report a failure on stderr, but exit 0."),
    ),
)

POSTING = (STYLE, OVERFLOW, CARD, ENVELOPE, RETRYING, PACING, TELLING, DRY_RUN, LENIENCY)
"""The sections of a command that posts a text, besides where and into which thread."""

_OPTIONS = {option.key: option for section in (WHERE, THREAD, FOLLOWING, *POSTING) for option in section.options}


def defaults_of(profile: Profile) -> Defaults:
    """Check a profile's defaults as the options are checked; raises `ConfigurationError` that names the wrong key."""
    return read_defaults(profile.name, profile.defaults, _OPTIONS)
