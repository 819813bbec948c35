"""The least that has a help page with click: a group of as many commands as chatpost has."""

import click


@click.group()
def group() -> None:
    """Post to a Google Chat space through its incoming webhook."""


for name in ("send", "reply", "thread", "profiles", "emulator"):
    group.command(name, help=f"What {name} does.")(lambda: None)

group()
