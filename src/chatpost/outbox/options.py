"""Options of the commands that spool and flush messages."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

EXPIRE_AFTER = 3 * 86_400  # default seconds after which a message in the outbox expires


class SpoolOptions(NamedTuple):
    """``spool``: store a message if it cannot be posted now; ``spool_only``: store it without an attempt.

    It expires after ``expire_after`` seconds. ``has_own_id``: the user gave a request id. ``keeps_rejected``: after a
    permanent error, the message stays in the outbox.
    """

    spool: bool
    spool_only: bool
    expire_after: float
    has_own_id: bool = False
    keeps_rejected: bool = False


class FlushOptions(NamedTuple):
    """``digest``: make digests; ``watch``: keep running; ``config``: the profile file."""

    digest: bool
    watch: bool = False
    config: Path | None = None
