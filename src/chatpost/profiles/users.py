"""Resolves names of users to user IDs with the profile file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError
from chatpost.profiles.sources import find_profiles

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile


class UnknownUser(ConfigurationError):
    """A name that is not in the profile file."""


class MentionResolver:
    """Resolves names with a profile's file, or without a profile, with ``config`` or the user's file, read once."""

    def __init__(self, profile: Profile | None, config: Path | None) -> None:
        self._profile = profile
        self._config = config

    def user_ids(self, users: Sequence[str]) -> tuple[str, ...]:
        """Return the user IDs for IDs and names, without duplicates.

        Raises `UnknownUser`, and `ConfigurationError` for an invalid file.
        """
        ids: list[str] = []
        for user in users:
            if user.isdigit() or user == "all":
                ids.append(user)
            elif user in self._known:
                ids += self._known[user]
            else:
                from difflib import get_close_matches  # only for a mistake

                from chatpost.profiles.file import HOW_TO_FIND_AN_ID

                nearest = get_close_matches(user, self._known, 1)
                more = f"; did you mean {nearest[0]}?" if nearest else " of profiles.toml."
                raise UnknownUser(
                    f"--mention {user} is neither a user ID nor a name in [mentions]{more} {HOW_TO_FIND_AN_ID}"
                )
        return tuple(dict.fromkeys(ids))

    @cached_property
    def _known(self) -> Mapping[str, tuple[str, ...]]:
        file = self._profile or find_profiles(self._config)
        return {} if file is None else file.mentions
