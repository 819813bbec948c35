"""A minimal help page with click: a group of five commands."""

import click


@click.group()
def group() -> None:
    """Post to a Google Chat space through its incoming webhook."""


for name in ("send", "reply", "thread", "profiles", "emulator"):
    group.command(name, help=f"What {name} does.")(lambda: None)

group()
