"""`chatpost send`."""

from __future__ import annotations

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.options import POSTING, PROFILES, THREAD
from chatpost.commands.posting import find_thread, post

EXAMPLES = """\
chatpost send "Deployed 1.2 to production"
df -h / | chatpost send -p ops --code "Disk usage:" -
./backup.sh 2>&1 | chatpost send --skip-empty --code
chatpost send --title "Backup" --status ok --field "Size=12 GB" "All done"
chatpost send -k nightly "Nightly run: started"
name=$(chatpost send "Deploying"); chatpost reply --thread "$name" "done"\
"""


@click.command(
    cls=SectionedCommand,
    sections=(PROFILES, THREAD, *POSTING),
    short=("profile", "thread_key", "code", "markdown", "mention", "title", "field", "output", "soft_fail", "dry_run"),
    examples=EXAMPLES,
)
@click.argument("text", nargs=-1)
@click.pass_context
def send(ctx: click.Context, /, **_: object) -> int:
    """Post a message.

    Prints the message name (spaces/.../messages/...). Without TEXT, the text is read from stdin. If the last TEXT is -,
    stdin is appended. With a card, stdin is read only for -.
    """
    return post(ctx, find_thread)
