"""The pacer of a fleet's sends."""

from __future__ import annotations

from collections.abc import Callable

from chatpost.delivery.model import Pacer
from chatpost.errors import ConfigurationError
from chatpost.pacing.fleet import FleetPacer
from chatpost.pacing.redis import RedisPacer
from chatpost.pacing.sqlite import SqlitePacer
from chatpost.profiles.sources import RedisConfig


def make_fleet_pacer(
    own: SqlitePacer | None, redis: RedisConfig, warn: Callable[[str], None], retry_after: float
) -> FleetPacer:
    """Return a pacer that combines the machine's ``own`` pacer with the fleet's Redis, which is resolved on first use.

    After an error, Redis is not used for ``retry_after`` seconds.
    """

    def find_shared() -> Pacer | None:
        try:
            return RedisPacer(redis.client(), warn, retry_after=retry_after)
        except ConfigurationError as error:
            warn(f"messages are paced on this machine only: {error}")
            return None

    return FleetPacer(own, find_shared)
