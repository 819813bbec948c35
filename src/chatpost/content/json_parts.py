"""Reads fields of untrusted JSON."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def part(value: object, name: str, kind: type[T]) -> T:
    """Return a field of a JSON object if it has this type, else an empty value of the type."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()
