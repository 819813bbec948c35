"""Formats durations and texts for one line."""

from __future__ import annotations

from itertools import pairwise

_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MANY = 24  # counts from which the smaller unit is left out: 12 min 4 s, but 45 min
_SHORT = 10.0  # seconds below which tenths are shown


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units: ``3.2 s``, ``12 min 4 s``, ``2 h``, ``12 days``."""
    if seconds < _SHORT:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    for (unit, size), (smaller, its_size) in pairwise((*_UNITS, ("", 1))):
        count, rest = divmod(rest, size)
        if count:
            parts = rest // its_size if smaller and count < _MANY else 0
            more = f" {parts} {smaller}" if parts else ""
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}{more}"
    raise AssertionError  # ten seconds or more have a unit


def one_line(text: str, limit: int) -> str:
    """Make a text safe for a terminal: printable, on one line, at most ``limit`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
