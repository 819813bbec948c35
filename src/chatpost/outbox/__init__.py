"""The outbox: messages that are stored until they are posted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatpost.delivery.redis_server import RedisServer
    from chatpost.outbox.model import Outbox


def open_outbox(redis: RedisServer | None) -> Outbox:
    """Return the outbox in a fleet's Redis, or if that is None, the user's own on this machine.

    Raises `StorageError` for a user without a home.
    """
    if redis is not None:
        from chatpost.outbox.redis import RedisOutbox

        return RedisOutbox(redis)
    from chatpost.directories import state_file
    from chatpost.outbox.sqlite import SqliteOutbox

    return SqliteOutbox(state_file("outbox.sqlite3"), time.time)
