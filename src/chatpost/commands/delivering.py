"""The deliverers of `--spool`, `--spool-only` and `--once-per`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from chatpost.chat.message import Thread
from chatpost.cli.options import PostOptions
from chatpost.concurrency import sleep
from chatpost.delivery.model import Delivery
from chatpost.delivery.sender import Deliverer, Sender
from chatpost.directories import state_file
from chatpost.outbox.options import SpoolOptions
from chatpost.profiles.sources import RedisConfig


class Requested(NamedTuple):
    """A delivery, the options of its recipient, and the thread that they name."""

    options: PostOptions
    thread: Thread | None
    delivery: Delivery


def make_deliverer(
    requested: Sequence[Requested],
    redis: RedisConfig,
    config: Path | None,
    make_sender: Callable[[], Sender],
    warn: Callable[[str], None],
) -> Deliverer:
    """Return the deliverer for these deliveries. ``config`` is the profile file, if one was named.

    ``make_sender`` is called only if a message can be posted now: creating a sender takes most of the start-up time.
    """
    spool = [each.options.spool for each in requested]
    if any(map(_is_spooled, spool)):
        deliverer = _make_spooler(requested, redis, config, make_sender, warn)
    else:
        deliverer = make_sender()
    if any(each.options.once.once_per for each in requested):
        deliverer = _make_gate(deliverer, requested, redis, warn)
    return deliverer


def _make_spooler(
    requested: Sequence[Requested],
    redis: RedisConfig,
    config: Path | None,
    make_sender: Callable[[], Sender],
    warn: Callable[[str], None],
) -> Deliverer:
    from chatpost.outbox.sqlite import open_outbox
    from chatpost.outbox.storer import Storer

    options = {
        delivery.progress: its.spool._replace(has_own_id=its.request.request_id is not None)
        for its, _, delivery in requested
    }
    storer = Storer(partial(open_outbox, redis), options, config)
    if all(each.spool_only for each in options.values()):
        return storer
    from chatpost.outbox.spooler import Spooler

    return Spooler(make_sender(), storer, warn)


def _make_gate(
    deliverer: Deliverer, requested: Sequence[Requested], redis: RedisConfig, warn: Callable[[str], None]
) -> Deliverer:
    from chatpost.repeats.gate import Gate, OncePer
    from chatpost.repeats.model import RepeatStore

    def open_store() -> RepeatStore:
        if redis.outbox != "local" and redis.has_outbox():
            from chatpost.repeats.redis import RedisRepeats

            return RedisRepeats(redis.client())
        from chatpost.repeats.sqlite import SqliteRepeats

        return SqliteRepeats(state_file("repeats.sqlite3"))

    rules = {
        each.delivery.progress: OncePer(each.options.once.once_per, _repeat_key(each), _is_spooled(each.options.spool))
        for each in requested
        if each.options.once.once_per is not None
    }
    return Gate(deliverer, open_store, rules, sleep, warn)


def _is_spooled(options: SpoolOptions) -> bool:
    return options.spool or options.spool_only


def _repeat_key(requested: Requested) -> str:
    """Return the hash that repeats share: of the space, the thread, and the key or the message."""
    delivery = requested.delivery
    requests = [factory(None) for factory in delivery.factories]
    what = requested.options.once.once_key or [request.message for request in requests if request is not None]
    identity = delivery.to.webhook.origin, delivery.to.webhook.space, requested.thread, what
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
