"""Secrets in text: finds them in the environment and masks them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHORTEST = 8  # characters: a shorter value stands in many a text
MASK = "***"
"""Stands for a secret."""


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables that are named like secrets, each line by itself, the longest first."""
    lines = {
        line.strip()
        for name, value in environment.items()
        if re.search(r"TOKEN|SECRET|PASSWORD|_KEY$", name.upper()) and name != "CHATPOST_THREAD_KEY"
        for line in value.splitlines()
    }
    return tuple(sorted((line for line in lines if len(line) >= _SHORTEST), key=len, reverse=True))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
