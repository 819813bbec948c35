"""`chatpost reply`."""

from __future__ import annotations

import click

from chatpost.cli.options import PostOptions, post_parameters
from chatpost.cli.posting import Address, named_thread, post
from chatpost.errors import UsageError

EPILOG = """\b
Examples:
  chatpost reply -k deploy-1.2 "Step 2 of 3 is done"
  chatpost reply --thread spaces/AAAA/threads/BBBB "Fixed"
  make check 2>&1 | tail -n 20 | chatpost reply -k "$CI_PIPELINE_ID" --or-fail

Every option has its environment variable: CHATPOST_ and its name (CHATPOST_THREAD_KEY).
"""


@click.command(params=post_parameters(), epilog=EPILOG)
@click.pass_context
def reply(ctx: click.Context, /, **_: object) -> int:
    """Post into a thread, and print the message's name.

    The thread is one you opened with a key (--thread-key) or one that Chat named (--thread). Where it is not
    there, a new one is started; with --or-fail nothing is posted (for certain only with --thread).
    """
    return post(ctx, _address)


def _address(options: PostOptions) -> Address:
    address = named_thread(options)
    if address.thread is None:
        msg = "which thread? Name it with --thread-key KEY (your own) or --thread NAME (spaces/SPACE/threads/THREAD)"
        raise UsageError(msg)
    return address
