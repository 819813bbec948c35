"""`chatpost thread`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.app import usage_line
from chatpost.cli.console import say
from chatpost.cli.help import SectionedCommand
from chatpost.cli.option import Settings
from chatpost.cli.posting import post
from chatpost.cli.sections import CARD, FOLLOWING, OPENING, POSTING, WHERE
from chatpost.cli.values import Address
from chatpost.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.cli.values import Card

EXAMPLES = """\
t=$(chatpost thread -o thread "Deploy"); chatpost reply --thread "$t" "done"
chatpost thread -k deploy-1.2 "Deploy"; chatpost reply -k deploy-1.2 "done"
chatpost thread -o json "Deploy 1.2" | jq -r .thread.threadKey
./deploy.sh 2>&1 | chatpost thread --follow --last "Done" "Deploy 1.2"\
"""


class _Command(SectionedCommand):
    """Reads stdin to its end before it fails: the job that writes it must not die of a closed pipe."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        options = args[: args.index("--")] if "--" in args else args
        follows = "--follow" in options or _is_true(os.environ.get("CHATPOST_FOLLOW", ""))
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not follows:
                raise
            from chatpost.cli.following import drain_stdin

            say(usage_line(error))
            drain_stdin()
            raise click.exceptions.Exit(ExitStatus.USAGE) from None


def _is_true(value: str) -> bool:
    try:
        return bool(value) and bool(click.BOOL.convert(value, None, None))
    except click.BadParameter:
        return True  # that is the mistake, and stdin was to be followed


@click.command(
    cls=_Command,
    sections=(WHERE, OPENING, FOLLOWING, *POSTING),
    short=(
        *("profile", "thread_key", "follow", "tee", "last"),
        *("code", "mention", "title", "output", "dry_run"),
    ),
    examples=EXAMPLES,
)
@click.argument("text", nargs=-1)
@click.pass_context
def thread(ctx: click.Context, /, **_: object) -> int:
    """Open a thread and print the name of its first message.

    If the thread of --thread-key exists, the message is a reply in it. Without that option, the key is random.
    """
    made_up = str(uuid4())

    def address(settings: Settings) -> Address:
        if settings.typed("fallback_new_thread") is False:
            msg = "thread opens a new thread, so --or-fail makes no sense here: use chatpost reply --or-fail"
            raise UsageError(msg)
        opened = settings[OPENING].thread or Thread(key=made_up)
        # Chat registers a key only with the fallback option; without it the key stays unknown.
        return Address(opened, MessageReplyOption.FALLBACK_TO_NEW_THREAD)

    settings = Settings(ctx)
    if settings[FOLLOWING].follow:
        return _follow(ctx, settings, address)
    if any(map(settings.typed, ("tee", "last", "every"))):
        msg = "--tee, --last and --every work only with --follow: add it, or leave them out"
        raise UsageError(msg)
    return post(ctx, address)


def _follow(ctx: click.Context, settings: Settings, address: Callable[[Settings], Address]) -> int:
    from chatpost.cli.following import Stream  # few threads follow a stream

    with Stream(settings) as stream:
        try:
            _check(ctx.params["text"], settings[CARD])
            return post(ctx, address, stream)
        except UsageError as error:
            say(str(error))  # now, and not when the stream has ended
            return error.exit_status


def _check(text: Sequence[str], card: Card) -> None:
    if not text and not card.file and not card.quick.is_asked_for:
        msg = '--follow needs a text that opens the thread: chatpost thread --follow "Deploy"'
        raise UsageError(msg)
    if tuple(text) == ("-",) or card.file == "-":
        msg = "--follow reads stdin, so neither the text nor the card can be -"
        raise UsageError(msg)
