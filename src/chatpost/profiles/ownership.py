"""The users who could have written a file: only files of the user or root, in directories of theirs, are trusted.

As for ssh: a profile file can name a command to run, and a place to send messages to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path


def reason_for_distrust(path: Path) -> str | None:
    """Return, for a person, why others could have written the file, or could replace it; None if they could not.

    Looks at the file, at the directories above it, and at the links on the way.
    """
    trusted = {0, os.geteuid()}
    for place in _way_to(path):
        try:
            found = place.lstat()
        except OSError:  # reading the file says what is wrong; a pipe of the shell's has no place at all
            return None
        if found.st_uid not in trusted:
            return f"{place} belongs to another user, who could redirect your messages: use a file of your own"
        others_can_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not stat.S_ISLNK(found.st_mode)
        # In a sticky directory, others cannot replace the user's files.
        is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if others_can_write and not is_sticky:
            return f"others can write to {place} and could redirect your messages: run chmod go-w on it"
    return None


def _way_to(path: Path) -> Iterator[Path]:
    """Yield every directory and link on the way to a file, from the root on, and the file."""
    at, *names = (Path(part) for part in path.absolute().parts)
    yield at
    links_left = 40
    while names:
        name = names.pop(0)
        if name == Path(".."):
            at = at.parent
            continue
        place = at / name
        yield place
        if place.is_symlink() and links_left:
            links_left -= 1
            target = Path(os.readlink(place))  # noqa: PTH115 - pathlib's is the same, and no shorter
            if target.is_absolute():
                at = Path(target.root)
            names[:0] = [Path(part) for part in target.parts if part != target.root]
        else:
            at = place
