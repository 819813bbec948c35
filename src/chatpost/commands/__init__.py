"""The commands, one module each, and their group."""

from __future__ import annotations

import click

from chatpost import __version__
from chatpost.cli.app import LazyGroup

COMMANDS = {
    "send": "Post a message.",
    "reply": "Reply in a thread.",
    "thread": "Start a thread.",
    "run": "Run a job and post its outcome.",
    "outbox": "List, flush and manage the messages in the outbox.",
    "profiles": "Manage profiles.",
    "sendmail": "Post mail, as a drop-in replacement for sendmail.",
    "completion": "Print a shell completion script.",
    "emulator": "Run a local Google Chat for testing.",
}
"""The commands, with the first line of each one's help."""

EPILOG = """\b
Get started:
  chatpost profiles add ops          store a webhook URL as a profile
  chatpost send -p ops "Hello"       post a message
  chatpost COMMAND -h                show examples and common options
"""

chatpost = click.version_option(__version__, prog_name="chatpost", message="%(prog)s %(version)s")(
    LazyGroup(
        "chatpost",
        package=__name__,
        lines=COMMANDS,
        help="Post to a Google Chat space through its incoming webhook.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
)
