"""Chooses the profiles for mail recipients, by [sendmail] in the profile file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

DEFAULT = "default"


def profiles_for(recipients: Iterable[str], routes: Mapping[str, tuple[str, ...]], host: str) -> tuple[str, ...]:
    """Return the profiles for all recipients, without duplicates; empty if no route matches and there is no default.

    Keys of ``routes`` are lower-case addresses, names or patterns. A name matches that user on any host; a recipient
    without a host is on ``host``. Exact matches come first, then patterns in order.
    """
    found: dict[str, None] = {}
    for recipient in recipients:
        name, at, domain = recipient.lower().rpartition("@")
        name, domain = (name, domain) if at else (domain, host.lower())
        found |= dict.fromkeys(_profiles_for_one(name, f"{name}@{domain}", routes))
    return tuple(found or dict.fromkeys(routes.get(DEFAULT, ())))


def _profiles_for_one(name: str, address: str, routes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    for exact in (address, name):
        if exact in routes and exact != DEFAULT:
            return routes[exact]
    patterns = ((key, profiles) for key, profiles in routes.items() if key != DEFAULT)
    matches = (profiles for key, profiles in patterns if fnmatchcase(address if "@" in key else name, key))
    return next(matches, routes.get(DEFAULT, ()))
