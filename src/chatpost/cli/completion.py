"""Shell completion of file names and of names in the profile file."""

from __future__ import annotations

from contextlib import suppress

import click

from chatpost.errors import ConfigurationError


def complete_profile(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a profile."""
    return [name for name in _names(ctx)[0] if name.startswith(incomplete)]


def complete_user(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a name in [mentions], or all."""
    return [name for name in (*_names(ctx)[1], "all") if name.startswith(incomplete)]


complete_file = click.Path().shell_complete


def _names(ctx: click.Context) -> tuple[list[str], list[str]]:
    """Return the names of profiles and in [mentions]; none if the profile file cannot be loaded."""
    from chatpost.directories import find_profile_file
    from chatpost.profiles.file import load_profiles  # not for --help

    path = find_profile_file(ctx.params.get("config"))
    with suppress(ConfigurationError, OSError):
        if path is not None and path.is_file():  # anything else, such as a pipe, could block forever
            file = load_profiles(path)
            return [*file.profiles], [*file.mentions]
    return [], []
