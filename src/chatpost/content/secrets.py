"""Finds secrets in the environment, and masks them in texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from chatpost.chat.webhook import MASK

_SHORTEST = 8  # characters of a secret; shorter values appear in many texts by chance
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|(?<!THREAD)_KEY$")


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the lines of the values of all variables that are named like secrets, longest first."""
    named = (value for name, value in environment.items() if _SECRET_NAME.search(name.upper()))
    lines = {line.strip() for value in named for line in value.splitlines()}
    return tuple(sorted((line for line in lines if len(line) >= _SHORTEST), key=len, reverse=True))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text with these secrets masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
