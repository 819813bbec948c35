"""Checks that only the user and root can have written a file, as OpenSSH does for its files.

A profile file names commands to run and places to send messages to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path


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
