"""`chatpost thread`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.options import FOLLOWING, PostOptions, post_parameters
from chatpost.cli.posting import Address, post
from chatpost.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

EPILOG = """\b
Examples:
  t=$(chatpost thread -o thread "Deploy 1.2"); chatpost reply --thread "$t" "done"
  chatpost thread -k deploy-1.2 "Deploy 1.2"; chatpost reply -k deploy-1.2 "done"
  chatpost thread -o json "Deploy 1.2" | jq -r .thread.threadKey
  ./deploy.sh 2>&1 | chatpost thread --follow --last "Done" "Deploy 1.2"

Every option has its environment variable: CHATPOST_ and its name (CHATPOST_THREAD_KEY).
"""


@click.command(params=[*FOLLOWING, *post_parameters(without=("thread", "overflow", "max_parts"))], epilog=EPILOG)
@click.pass_context
def thread(ctx: click.Context, /, **_: object) -> int:
    """Open a thread, and print the name of its first message.

    Its key is the one given, else one is made up, which -o json shows. Where the key has a thread already, the
    message is a reply in it. With --follow, stdin becomes replies as it comes, gathered while the space is busy.
    """
    made_up = str(uuid4())

    def address(options: PostOptions) -> Address:
        return _address(options, made_up)

    if not ctx.params["follow"]:
        if ctx.params["tee"] or ctx.params["last"]:
            msg = "--tee and --last go with --follow: add it, or leave them out"
            raise UsageError(msg)
        return post(ctx, address)
    return _follow(ctx, address)


def _follow(ctx: click.Context, address: Callable[[PostOptions], Address]) -> int:
    if not ctx.params["text"] and not PostOptions.of(ctx).quick_card.is_asked_for:
        msg = '--follow posts stdin as replies; what opens the thread goes behind it: chatpost thread --follow "Deploy"'
        raise UsageError(msg)
    if tuple(ctx.params["text"]) == ("-",) or ctx.params["card"] == "-":
        msg = "--follow reads stdin, which so can be neither the text (-) nor the card (--card -)"
        raise UsageError(msg)
    from chatpost.cli.following import Stream  # few threads are followed

    stream = Stream(tee=ctx.params["tee"], last=ctx.params["last"])
    status = post(ctx, address, stream)
    stream.drain()
    return status


def _address(options: PostOptions, made_up: str) -> Address:
    if options.asked_or_fail:
        msg = "thread opens a thread where there is none, so --or-fail makes no sense: chatpost reply --or-fail"
        raise UsageError(msg)
    # Chat registers a key only under the fallback option; a plain create leaves it unknown.
    return Address(Thread(key=options.thread_key or made_up), MessageReplyOption.FALLBACK_TO_NEW_THREAD)
