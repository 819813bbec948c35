"""The outbox: messages that are stored until they are posted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chatpost.profiles.redis_config import RedisConfig

if TYPE_CHECKING:
    from chatpost.outbox.store import Outbox


def open_outbox(redis: RedisConfig) -> Outbox:
    """Return the outbox in a fleet's Redis, if it is configured to be there, else the user's own on this machine.

    Raises `ConfigurationError`, and `StorageError` for a user without a home.
    """
    if redis.outbox != "machine" and redis.has_outbox():
        from chatpost.outbox.redis import RedisOutbox

        return RedisOutbox(redis.client())
    from chatpost.directories import state_file
    from chatpost.outbox.sqlite import SqliteOutbox

    return SqliteOutbox(state_file("outbox.sqlite3"), time.time)
