"""Parses and formats durations, and formats texts for one line."""

from __future__ import annotations

import re
from itertools import pairwise

_UNITS = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MANY = 24  # counts from which the smaller unit is left out: 12 min 4 s, but 45 min
_SHORT = 10.0  # seconds below which tenths are shown
_NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
# Rarely needed, so compiled on use.
_DURATION = rf"{_NUMBER}|(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90``, ``90s``, ``5m``, ``1.5h`` or ``1h30m``; raises `ValueError`."""
    found = re.fullmatch(_DURATION, text.strip() or "-")
    if found is None:
        raise ValueError(f"{text[:60]!r} is not a duration: use 90s, 5m, 2h or 3d")
    plain, *parts = found.groups(default="0")
    return float(plain) + sum(float(number) * size for number, (_, size) in zip(parts, _UNITS, strict=True))


class Seconds(float):
    """A number of seconds whose string is a duration, such as ``60s`` or ``3d``, as help pages show defaults."""

    def __str__(self) -> str:
        unit, size = next(((unit, size) for unit, size in (("d", 86_400), ("h", 3600)) if self % size == 0), ("s", 1))
        return f"{self / size:.10g}{unit}"


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


def format_time(then: float, now: float, form: str = "%H:%M") -> str:
    """Return a local time with its zone, and with the date unless it is today."""
    from datetime import datetime  # few messages show a time

    moment, today = datetime.fromtimestamp(then).astimezone(), datetime.fromtimestamp(now).astimezone().date()
    return f"{moment:{form} %Z}" if moment.date() == today else f"{moment:%Y-%m-%d {form} %Z}"


def one_line(text: str, limit: int) -> str:
    """Make a text safe for a terminal: printable, on one line, at most ``limit`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
