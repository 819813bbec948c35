"""Options of the commands that spool and flush messages."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

EXPIRE_AFTER = 3 * 86_400
"""Seconds after which a message in the outbox expires, unless the user says otherwise."""


class SpoolOptions(NamedTuple):
    """``spool``: store a message if it cannot be posted now; ``spool_first``: store it without trying.

    It expires after ``keep_for`` seconds. ``has_own_id``: the user has chosen its request id.
    """

    spool: bool
    spool_first: bool
    keep_for: float
    has_own_id: bool = False


class FlushOptions(NamedTuple):
    """``digest``: join the messages of a thread; ``watch``: keep running; ``config``: the profile file."""

    digest: bool
    watch: bool = False
    config: Path | None = None
