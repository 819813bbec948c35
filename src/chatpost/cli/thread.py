"""`chatpost thread`."""

from __future__ import annotations

from uuid import uuid4

import click

from chatpost.cli.options import PostOptions, post_parameters
from chatpost.cli.posting import Address, post
from chatpost.errors import UsageError
from chatpost.message import MessageReplyOption, Thread

EPILOG = """\b
Examples:
  t=$(chatpost thread -o thread "Deploy 1.2"); chatpost reply --thread "$t" "done"
  chatpost thread -k deploy-1.2 "Deploy 1.2"; chatpost reply -k deploy-1.2 "done"
  chatpost thread -o json "Deploy 1.2" | jq -r .thread.threadKey

Every option has its environment variable: CHATPOST_ and its name (CHATPOST_THREAD_KEY).
"""


@click.command(params=post_parameters(without=("thread", "overflow", "max_parts")), epilog=EPILOG)
@click.pass_context
def thread(ctx: click.Context, /, **_: object) -> int:
    """Open a thread, and print the name of its first message.

    Its key is the one given, else one is made up, which -o json shows. Where the key has a thread already, the
    message is a reply in it.
    """
    made_up = str(uuid4())
    return post(ctx, lambda options: _address(options, made_up))


def _address(options: PostOptions, made_up: str) -> Address:
    if options.asked_or_fail:
        msg = "thread opens a thread where there is none, so --or-fail makes no sense: chatpost reply --or-fail"
        raise UsageError(msg)
    # Chat registers a key only under the fallback option; a plain create leaves it unknown.
    return Address(Thread(key=options.thread_key or made_up), MessageReplyOption.FALLBACK_TO_NEW_THREAD)
