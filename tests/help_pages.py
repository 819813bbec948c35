"""Generates the help pages in docs/usage.md. Run as a script, it rewrites them (`make docs`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chatpost.cli.app import SectionedCommand
from chatpost.commands import COMMANDS, chatpost as group

USAGE = Path(__file__).parent.parent / "docs" / "usage.md"
MARK = "<!-- help -->\n"


def pages() -> str:
    """Return the help pages of all commands, as Markdown."""
    settings: dict[str, Any] = {**group.context_settings, "terminal_width": 80}
    top = click.Context(group, info_name="chatpost", **settings)
    shown = [("chatpost", group.get_help(top))]
    for name in COMMANDS:
        command = group.get_command(top, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=top, **settings)
        if isinstance(command, SectionedCommand):
            shown.append((f"chatpost {name} -h", command.short_page(context)))
            shown.append((f"chatpost {name} --help", command.get_help(context)))
        else:
            shown.append((f"chatpost {name}", command.get_help(context)))
        if isinstance(command, click.Group):
            for sub, its in command.commands.items():
                below = click.Context(its, info_name=sub, parent=context, **settings)
                shown.append((f"chatpost {name} {sub}", its.get_help(below)))
    return "".join(f"\n### {title}\n\n```text\n{page}\n```\n" for title, page in shown)


def main() -> None:
    """Write the help pages below the marker."""
    above = USAGE.read_text().partition(MARK)[0]
    USAGE.write_text(f"{above}{MARK}{pages()}")


if __name__ == "__main__":
    main()
