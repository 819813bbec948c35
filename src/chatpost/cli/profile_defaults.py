"""Validates a profile's defaults as the options themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chatpost.cli.command_options import FLUSH, FOLLOW, NOTIFY, REPORT
from chatpost.cli.options import POSTING, PROFILES, THREAD
from chatpost.cli.settings import Option
from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile


def load_defaults(profile: Profile) -> dict[str, Any]:
    """Return a profile's defaults by option, validated; raises `ConfigurationError` that names the invalid key."""
    where = f"{profile.path}: profiles.{profile.name}"
    sections = (PROFILES, THREAD, FOLLOW, NOTIFY, REPORT, FLUSH, *POSTING)
    options = {option.key: option for section in sections for option in section.options}
    values: dict[str, Any] = {}
    for key, value in profile.defaults.items():
        option = options.get(key)
        if option is None:
            shown = f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) else ": a key"
            raise ConfigurationError(f"{where}{shown} is not an option{_nearest_key(key, options)}")
        if not option.in_profile:
            raise ConfigurationError(
                f"{where}.{key} cannot be set in a profile: use the command line or the environment"
            )
        try:
            values[key] = option.read_toml(value)
        except ValueError as error:
            raise ConfigurationError(f"{where}.{key} {error}") from None
    for section in sections:
        rivals = [[key for key in group if key in values] for group in section.one_of]
        firsts = [keys[0] for keys in rivals if keys]
        if len(firsts) > 1:
            raise ConfigurationError(f"{where} sets both {firsts[0]} and {firsts[1]}: remove one of them")
    for user in values.get("mention", ()):
        if not (user.isdigit() or user == "all" or user in profile.mentions):
            raise ConfigurationError(
                f"{where}.mention contains a value that is neither a user ID nor a name in [mentions]"
            )
    return values


def _nearest_key(key: str, options: Mapping[str, Option]) -> str:
    from difflib import get_close_matches  # only for a mistake

    names = ["url", *(name for name, option in options.items() if option.in_profile)]
    nearest = get_close_matches(key, names, 1)
    return f": did you mean {nearest[0]}?" if nearest else " of a profile: keys are option names with _ instead of -"
