"""Names of users to user IDs, by the profile file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError
from chatpost.profiles.sources import find_profiles

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile


class UnknownUser(ConfigurationError):
    """A name that is not in the profile file."""


class MentionResolver:
    """Resolves names by the file of a profile, or else by ``config`` or the user's file, which is read at most once."""

    def __init__(self, profile: Profile | None, config: Path | None) -> None:
        self._known = cache(lambda: _known(profile, config))

    def user_ids(self, users: Sequence[str]) -> tuple[str, ...]:
        """Return the IDs of users that are given by IDs or names, each once.

        Raises `UnknownUser`, and `ConfigurationError` for a file that cannot be used.
        """
        ids: list[str] = []
        for user in users:
            if user.isdigit() or user == "all":
                ids.append(user)
            elif user in (known := self._known()):
                ids += known[user]
            else:
                raise _unknown(user, known)
        return tuple(dict.fromkeys(ids))


def _known(profile: Profile | None, config: Path | None) -> Mapping[str, tuple[str, ...]]:
    if profile is not None:
        return profile.mentions
    file = find_profiles(config)
    return {} if file is None else file.mentions


def _unknown(user: str, known: Mapping[str, tuple[str, ...]]) -> UnknownUser:
    from difflib import get_close_matches  # only for a mistake

    from chatpost.profiles.file import HOW_TO_FIND_AN_ID

    nearest = get_close_matches(user, known, 1)
    more = f": did you mean {nearest[0]}?" if nearest else " of profiles.toml:"
    return UnknownUser(f"--mention {user} is no user id, and no name in [mentions]{more} {HOW_TO_FIND_AN_ID}")
