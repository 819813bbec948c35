"""Makes the sender that every command posts with."""

from __future__ import annotations

import random
import time
from math import inf
from typing import TYPE_CHECKING

from chatpost.delivery.sender import Sender, Timing
from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.cli.reporter import Reporter
    from chatpost.cli.store import Store
    from chatpost.delivery.model import Pacer

TIMING = Timing(clock=time.monotonic, sleep=time.sleep, random=random.random)


def make_pacer(warn: Callable[[str], None], store: Store, retry_after: float = inf) -> Pacer | None:
    """Return the pacer that all of the user's processes on this machine share, and a fleet's if it has a store.

    None for a user without a home, or a store. A store that fails is left alone for ``retry_after`` seconds.
    """
    from chatpost.directories import user_state
    from chatpost.pacing.sqlite import SqlitePacer, boot_id  # not for --help

    directory = user_state()
    own = None if directory is None else SqlitePacer(directory / "pacing.sqlite3", time.monotonic, boot_id(), warn)
    if store.is_configured:
        from chatpost.pacing.fleet import FleetPacer

        return FleetPacer(own, lambda: _shared_queues(store, warn, retry_after))
    if own is None:
        warn("messages are not paced: there is no home directory; set HOME or XDG_STATE_HOME")
    return own


def _shared_queues(store: Store, warn: Callable[[str], None], retry_after: float) -> Pacer | None:
    from chatpost.pacing.redis import RedisPacer

    try:
        return RedisPacer(store.server(), warn, retry_after=retry_after)
    except ConfigurationError as error:
        warn(f"messages are paced by this machine alone: {error}")
        return None


def make_sender(store: Store, reporter: Reporter, retry_after: float = inf) -> Sender:
    """Return a sender that paces its messages and reports its events; ``retry_after`` is as for `make_pacer`."""
    from chatpost.chat.client import ChatClient  # requests, for a command that posts, not for --help

    client = ChatClient(time.time, reporter.environment)
    return Sender(client, make_pacer(reporter.warn, store, retry_after), TIMING, reporter.show)
