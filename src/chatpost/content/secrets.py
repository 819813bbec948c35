"""Secrets in text: finds them in the environment and masks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from chatpost.chat.webhook import MASK

SHORTEST_SECRET = 8
"""Characters that a variable's value must have to be taken for a secret: a shorter one stands in many a text."""

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|(?<!THREAD)_KEY$")


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the variables that are named like secrets, each line by itself, the longest first."""
    named = (value for name, value in environment.items() if _SECRET_NAME.search(name.upper()))
    lines = {line.strip() for value in named for line in value.splitlines()}
    return tuple(sorted((line for line in lines if len(line) >= SHORTEST_SECRET), key=len, reverse=True))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
