"""`chatpost reply`."""

from __future__ import annotations

from functools import partial

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.options import POSTING, PROFILES, THREAD
from chatpost.commands.posting import find_thread, post

EXAMPLES = """\
chatpost reply -k deploy-1.2 "Step 2 of 3 is done"
chatpost reply --thread spaces/AAAA/threads/BBBB "Fixed"
make check 2>&1 | tail -n 20 | chatpost reply -k "$CI_PIPELINE_ID" --or-fail\
"""


@click.command(
    cls=SectionedCommand,
    sections=(PROFILES, THREAD, *POSTING),
    short=(
        *("profile", "thread_key", "thread", "fallback_new_thread", "code"),
        *("markdown", "mention", "output", "soft_fail", "dry_run"),
    ),
    examples=EXAMPLES,
)
@click.argument("text", nargs=-1)
@click.pass_context
def reply(ctx: click.Context, /, **_: object) -> int:
    """Reply in a thread.

    Prints the message name. Specify the thread by your thread key (--thread-key) or by Chat's thread name (--thread).
    """
    missing = "specify a thread: --thread-key KEY or --thread NAME (spaces/SPACE/threads/THREAD)"
    return post(ctx, partial(find_thread, missing=missing))
