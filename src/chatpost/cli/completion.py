"""Values that the shell offers for an option."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from chatpost.profiles.file import ProfileFile


def complete_profile(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the names of the profiles, or none if the profile file cannot be read."""
    file = _profile_file(ctx)
    return [name for name in file.profiles if name.startswith(incomplete)] if file else []


def complete_user(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the names in [mentions], and all."""
    file = _profile_file(ctx)
    return [name for name in (*(file.mentions if file else ()), "all") if name.startswith(incomplete)]


def complete_file(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell offer the names of files, as it does for a command that it does not know."""
    from click.shell_completion import CompletionItem  # not for --help

    return [CompletionItem(incomplete, type="file")]


def _profile_file(ctx: click.Context) -> ProfileFile | None:
    from chatpost.directories import find_profile_file
    from chatpost.profiles.file import load_profiles  # not for --help

    path = find_profile_file(ctx.params.get("config"))
    try:
        # Anything but a file, such as a pipe, could block for ever.
        return load_profiles(path) if path is not None and path.is_file() else None
    except (ConfigurationError, OSError):
        return None
