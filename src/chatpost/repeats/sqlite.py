"""Repeats in a SQLite file that all processes of a user on a machine share: hashes, times and counts."""

from __future__ import annotations

import time
from pathlib import Path

from chatpost.database import JsonTable
from chatpost.repeats.model import Repeats, Step

MOST_KEYS = 10_000
"""Maximum number of messages whose repeats are counted. The least recently changed are deleted first."""

_TIMEOUT = 10.0


class SqliteRepeats:
    """A `chatpost.repeats.model.RepeatStore` in the file at ``path``."""

    def __init__(self, path: Path) -> None:
        # Not durable: a power failure may lose a count or let a repeat through, but never loses a message.
        self._table = JsonTable(path, "repeats", _TIMEOUT, is_durable=False, most_rows=MOST_KEYS)

    def change(self, key: str, step: Step) -> tuple[Repeats, Repeats, float]:
        changed: list[tuple[Repeats, Repeats, float]] = []

        def apply(value: object) -> Repeats:
            before, now = Repeats.parse(value), time.time()  # read only now: waiting for the file can take long
            changed.append((before, step(before, now), now))
            return changed[-1][1]

        self._table.change(key, apply)
        return changed[-1]
