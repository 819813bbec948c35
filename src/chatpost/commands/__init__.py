"""The commands, one module each, and their group."""

from __future__ import annotations

import click

from chatpost import __version__
from chatpost.cli.app import LazyGroup

COMMANDS = {
    "send": "Post a message and print its name.",
    "reply": "Post into a thread and print the message's name.",
    "thread": "Open a thread and print the name of its first message.",
    "run": "Run a job, post how it went, and exit as it did.",
    "outbox": "List and post messages that wait in the outbox.",
    "profiles": "Manage profiles.",
    "completion": "Print the script that completes words in a shell.",
    "emulator": "Serve a local Google Chat for tests and trials.",
}
"""The commands, with the first line of each one's help."""

EPILOG = """\b
Start with:
  chatpost profiles add ops          keep a webhook's URL under a name
  chatpost send -p ops "Hello"       post a message there
  chatpost COMMAND -h                learn a command by examples
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
