"""Values that the shell offers for an option."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    import click


def complete_profile(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the names of the profiles, or none if the profile file cannot be read."""
    from chatpost.directories import find_profile_file
    from chatpost.profiles.file import load_profiles  # not for --help

    path = find_profile_file(ctx.params.get("config"))
    try:
        names = load_profiles(path).profiles if path else {}
    except ConfigurationError:
        return []
    return [name for name in names if name.startswith(incomplete)]
