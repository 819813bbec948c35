"""`chatpost send`."""

from __future__ import annotations

import click

from chatpost.cli.options import PostOptions, post_parameters
from chatpost.cli.posting import Address, named_thread, post
from chatpost.errors import UsageError

EPILOG = """\b
Examples:
  chatpost send "Deployed 1.2 to production"
  df -h / | chatpost send -p ops
  ./backup.sh 2>&1 | chatpost send --skip-empty --code
  chatpost send --title "Backup" --status ok --field "Size=12 GB" "All done"
  chatpost send -k nightly "Nightly run: started"
  name=$(chatpost send "Deploying"); chatpost reply --thread "$name" "done"

Every option has its environment variable: CHATPOST_ and its name (CHATPOST_DEADLINE).
"""


@click.command(params=post_parameters(), epilog=EPILOG)
@click.pass_context
def send(ctx: click.Context, /, **_: object) -> int:
    """Post a message, and print its name.

    TEXT words are joined by single spaces. Without any, or with - alone, the text is what stdin holds.
    """
    return post(ctx, _address)


def _address(options: PostOptions) -> Address:
    address = named_thread(options)
    if address.thread is None and options.asked_or_fail:
        msg = "--or-fail, but no thread is named: name it with --thread-key KEY or --thread NAME"
        raise UsageError(msg)
    return address
