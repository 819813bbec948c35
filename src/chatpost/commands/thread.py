"""`chatpost thread`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.console import say
from chatpost.cli.help import SectionedCommand
from chatpost.cli.options import CARD, FOLLOWING, OPENING, POSTING, WHERE
from chatpost.cli.settings import Settings
from chatpost.cli.values import Address
from chatpost.commands.posting import Plan, post
from chatpost.commands.reading import from_words
from chatpost.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXAMPLES = """\
t=$(chatpost thread -o thread "Deploy"); chatpost reply --thread "$t" "done"
chatpost thread -k deploy-1.2 "Deploy"; chatpost reply -k deploy-1.2 "done"
chatpost thread -o json "Deploy 1.2" | jq -r .thread.threadKey
./deploy.sh 2>&1 | chatpost thread --follow --last "Done" "Deploy 1.2"\
"""


@click.command(
    cls=SectionedCommand,
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
    return post(ctx, Plan(address, from_words(ctx.params["text"])))


def _follow(ctx: click.Context, settings: Settings, address: Callable[[Settings], Address]) -> int:
    from chatpost.commands.following import Stream  # few threads follow a stream

    with Stream.of_stdin(settings) as stream:
        try:
            _check(ctx.params["text"], settings)
            return post(ctx, Plan(address, from_words(ctx.params["text"], has_stdin=False), stream=stream))
        except UsageError as error:
            say(str(error))  # now, and not when the stream has ended
            return error.exit_status


def _check(text: Sequence[str], settings: Settings) -> None:
    from chatpost.follow.replies import LAST_LIMIT

    card, last = settings[CARD], settings[FOLLOWING].last
    if settings.typed("spool") or settings.typed("spool_first"):
        msg = "--follow posts a stream as it comes, so nothing of it is kept: leave out --spool"
        raise UsageError(msg)
    if not text and not card.file and not card.quick.is_asked_for:
        msg = '--follow needs a text that opens the thread: chatpost thread --follow "Deploy"'
        raise UsageError(msg)
    if len((last or "").encode()) > LAST_LIMIT:
        msg = f"the text of --last is longer than a message can be ({LAST_LIMIT:,} bytes)"
        raise UsageError(msg)
    if tuple(text) == ("-",) or card.file == "-":
        msg = "--follow reads stdin, so neither the text nor the card can be -"
        raise UsageError(msg)
