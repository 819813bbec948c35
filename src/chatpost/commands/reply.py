"""`chatpost reply`."""

from __future__ import annotations

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.options import POSTING, PROFILES, THREAD
from chatpost.cli.settings import Settings
from chatpost.commands.posting import ReplyTo, post, reply_target
from chatpost.errors import UsageError

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
    """Post into a thread and print the message's name.

    Name the thread by your own key for it (--thread-key) or by Chat's name (--thread).
    """
    return post(ctx, _required_thread, ctx.params["text"])


def _required_thread(settings: Settings) -> ReplyTo:
    target = reply_target(settings[THREAD])
    if target.thread is None:
        raise UsageError(
            "name the thread: --thread-key KEY (your own name) or --thread NAME (spaces/SPACE/threads/THREAD)"
        )
    return target
