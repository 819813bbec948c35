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
    """Return a pacer by the machine's ``own`` pacer and the fleet's Redis, which is found when a message is paced.

    After an error, Redis is not tried for ``retry_after`` seconds.
    """

    def find_shared() -> Pacer | None:
        try:
            return RedisPacer(redis.client(), warn, retry_after=retry_after)
        except ConfigurationError as error:
            warn(f"messages are paced on this machine only: {error}")
            return None

    return FleetPacer(own, find_shared)
