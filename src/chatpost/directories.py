"""The directories of the user and of the system. The only importer of platformdirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from chatpost.errors import StorageError

PROFILES = "profiles.toml"


def user_config() -> Path | None:
    """Return the user's configuration directory; None without a home."""
    return _in_home(platformdirs.user_config_dir, "XDG_CONFIG_HOME")


def user_state() -> Path | None:
    """Return the user's state directory; None without a home."""
    return _in_home(platformdirs.user_state_dir, "XDG_STATE_HOME")


def state_file(name: str) -> Path:
    """Return the path of a file in the user's state directory.

    Raises `StorageError` without a home, or if other users can write to the directory.
    """
    if directory := user_state():
        if reason := reason_for_distrust(directory / name):
            raise StorageError(directory / name, reason)
        return directory / name
    raise StorageError(name, "there is no home directory; set HOME or XDG_STATE_HOME")


def find_profile_file(config: Path | None) -> Path | None:
    """Return ``config``, else the user's file, else the system's; None if neither exists."""
    if config is not None:
        return config
    site_config = _absolute(platformdirs.site_config_dir("chatpost", appauthor=False))
    candidates = [directory / PROFILES for directory in (user_config(), site_config) if directory is not None]
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113 - pathlib's can raise


def _in_home(find: Callable[..., str], variable: str) -> Path | None:
    # A relative HOME would lead below the working directory, which others may own, and an empty one to the root.
    has_home = Path(os.environ.get("HOME", "/")).is_absolute() or Path(os.environ.get(variable, "")).is_absolute()
    try:
        return _absolute(find("chatpost", appauthor=False)) if has_home else None
    except RuntimeError:  # raised by platformdirs for a user without an entry in passwd
        return None


def _absolute(directory: str) -> Path | None:
    path = Path(directory)
    return path if path.is_absolute() else None


def reason_for_distrust(path: Path) -> str | None:
    """Return an error message if other users can have written or replaced the file, else None.

    Checks the file, the directories above it, and all symbolic links in its path.
    """
    trusted = {0, os.geteuid()}
    for place in _way_to(path.absolute(), set()):
        try:
            found = place.lstat()
        except OSError:  # opening the file reports the reason; a shell's pipe has no directory entry
            return None
        if found.st_uid not in trusted:
            return f"{place} belongs to another user, who could redirect your messages: use a file that you own"
        others_can_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(found.st_mode)
        # In a sticky directory, others cannot replace the user's files.
        is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if others_can_write and not is_sticky:
            return f"other users can write to {place} and could redirect your messages: run chmod go-w on it"
    return None


def _way_to(path: Path, followed: set[Path]) -> Iterator[Path]:
    """Yield each directory and link that the system reads to open a file, from the root on, and the file.

    ``followed`` collects the links, each of which is followed once.
    """
    for part in (*reversed(path.parents), path):
        if part.name == "..":
            continue
        place = Path(os.path.realpath(part.parent), part.name)  # Path.resolve raises for a circle of links
        yield place
        if place not in followed and place.is_symlink():
            followed.add(place)
            yield from _way_to(place.parent / place.readlink(), followed)
