"""Names for users, in the table [mentions] of the profile file: a name stands for a user's id, or for several names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USER_ID = re.compile(r"[0-9]{1,30}|all")  # Chat's number for a user, or everyone in the space
_USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_MOST = 500  # users that a name stands for; a message has room for some thousand

HOW_TO_FIND_AN_ID = (
    "a user id is a number, which Chat on the web has as data-member-id around a person's name (right-click, Inspect)"
)


def read_mentions(table: object) -> dict[str, tuple[str, ...]]:
    """Return the ids that each name stands for. Raises `ValueError` with a line for a person."""
    if not isinstance(table, dict):
        msg = 'mentions is not a table: write [mentions], and below it NAME = "USER_ID"'
        raise ValueError(msg)  # noqa: TRY004 - every fault of the file is the same error
    for name, value in table.items():
        words = value if isinstance(value, list) else [value]
        if name == "all":
            msg = "[mentions] cannot name anybody all, which means everyone"
            raise ValueError(msg)
        if not _USER_NAME.fullmatch(name):
            msg = "[mentions] has a name that is not letters, digits, and . _ - after a letter"
            raise ValueError(msg)
        if not words or not all(isinstance(word, str) for word in words):
            msg = f'mentions.{name} is not "USER_ID", in quotes, or a list of names'
            raise ValueError(msg)
    return table and _found({name: [value] if isinstance(value, str) else value for name, value in table.items()})


def _found(table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    from graphlib import CycleError, TopologicalSorter  # few files have names

    words = {name: [word.removeprefix("users/") for word in value] for name, value in table.items()}
    try:
        # Each name comes behind those that it stands for.
        above = {name: [word for word in words[name] if word in table] for name in table}
        names = list(TopologicalSorter(above).static_order())
    except CycleError as error:
        circle = error.args[1][::-1]
        msg = f"mentions.{circle[0]} stands for itself: {' > '.join(circle)}"
        raise ValueError(msg) from None
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        ids: dict[str, None] = {}
        for word in words[name]:
            if word not in found and not _USER_ID.fullmatch(word):
                raise ValueError(_unknown(name, word))
            ids |= dict.fromkeys(found.get(word, (word,)))
        if len(ids) > _MOST:
            msg = f"mentions.{name} stands for more than {_MOST} users"
            raise ValueError(msg)
        found[name] = tuple(ids)
    return {name: found[name] for name in table}


def _unknown(name: str, word: str) -> str:
    if name in {"default", "outbox", "store"}:
        return f"mentions.{name} looks like a key of the whole file: write it above [mentions]"
    # What does not look like a name could be a secret.
    what = word if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,19}", word) else "something"
    return f"mentions.{name} has {what}, which is no user's id, and no name in [mentions]: {HOW_TO_FIND_AN_ID}"
