"""The directories of the user and of the system: XDG's, or Apple's on macOS."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from chatpost.errors import StorageError

PROFILES = "profiles.toml"

_LIBRARY = "Library/Application Support"  # on macOS


def user_config() -> Path | None:
    """Return the user's configuration directory; None without a home."""
    return _in_home("XDG_CONFIG_HOME", ".config")


def user_state() -> Path | None:
    """Return the user's state directory; None without a home."""
    return _in_home("XDG_STATE_HOME", ".local/state")


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
    candidates = [directory / PROFILES for directory in (user_config(), *_site_config()) if directory is not None]
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113 - pathlib's can raise


def _in_home(variable: str, place: str) -> Path | None:
    base = Path(os.environ.get(variable, "").strip())
    if not base.is_absolute():  # XDG says to ignore relative paths
        # A relative HOME would lead below the working directory, which others may own, and an empty one to the root.
        home = "" if os.environ.get("HOME") == "" else os.path.expanduser("~")  # noqa: PTH111 - pathlib's can raise
        base = Path(home, _LIBRARY if sys.platform == "darwin" else place)
    return base / "chatpost" if base.is_absolute() else None


def _site_config() -> list[Path]:
    default = f"/{_LIBRARY}" if sys.platform == "darwin" else "/etc/xdg"
    bases = map(Path, (os.environ.get("XDG_CONFIG_DIRS", "").strip() or default).split(":"))
    return [base / "chatpost" for base in bases if base.is_absolute()]


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
