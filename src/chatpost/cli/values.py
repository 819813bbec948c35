"""Values of options that features take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class SpoolOptions(NamedTuple):
    """Whether a message that cannot be posted now is kept, or each is, and for so many seconds.

    ``has_own_id``: the message's request id is its user's.
    """

    spool: bool
    spool_first: bool
    keep_for: float
    has_own_id: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the outbox is used."""
        return self.spool or self.spool_first


class FlushOptions(NamedTuple):
    """Whether messages that wait are joined, and whether to stay for those that come; the profile file."""

    digest: bool
    watch: bool = False
    config: Path | None = None
