"""Names for users, in the table [mentions] of the profile file: a name stands for a user's id, or for several names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_ID = re.compile(r"[0-9]{1,30}|all")
"""Chat's number for a user, or everyone in the space."""

USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")

_DEEPEST = 20

HOW_TO_FIND_AN_ID = (
    "a user id is a number, in Chat on the web the data-member-id around a person's name (see docs/mentions.md)"
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
        if not USER_NAME.fullmatch(name):
            msg = "[mentions] has a name that is not letters, digits, and . _ - after a letter"
            raise ValueError(msg)
        if not words or not all(isinstance(word, str) for word in words):
            msg = f'mentions.{name} is not "USER_ID", in quotes, or a list of names'
            raise ValueError(msg)
    found: dict[str, tuple[str, ...]] = {}
    for name in table:
        _find(name, table, (), found)
    return found


def _find(
    name: str, table: Mapping[str, str | list[str]], above: tuple[str, ...], found: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Find the ids of a name, and of those that it stands for; ``above`` are those that stand for it."""
    if name in found:
        return found[name]
    if name in above:
        msg = f"mentions.{name} stands for itself: {' > '.join((*above, name))}"
        raise ValueError(msg)
    if len(above) > _DEEPEST:
        msg = f"mentions.{above[0]} stands for names that stand for names, more than {_DEEPEST} deep"
        raise ValueError(msg)
    value = table[name]
    ids: list[str] = []
    for word in [value] if isinstance(value, str) else value:
        user = word.removeprefix("users/")
        if USER_ID.fullmatch(user):
            ids.append(user)
        elif user in table:
            ids += _find(user, table, (*above, name), found)
        else:
            msg = f"mentions.{name} has something that is no user's id, and no name in [mentions]; {HOW_TO_FIND_AN_ID}"
            raise ValueError(msg)
    found[name] = tuple(dict.fromkeys(ids))
    return found[name]
