"""The deliverers of `--spool` and `--spool-only`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from chatpost.delivery.model import Progress
from chatpost.delivery.sender import Deliverer, Sender
from chatpost.outbox.options import SpoolOptions
from chatpost.outbox.sqlite import open_outbox
from chatpost.outbox.storer import Storer
from chatpost.profiles.sources import RedisConfig


def make_spooler(
    options: Mapping[Progress, SpoolOptions],
    redis: RedisConfig,
    config: Path | None,
    make_sender: Callable[[], Sender],
    warn: Callable[[str], None],
) -> Deliverer:
    """Return the deliverer for deliveries with these options, by their progress.

    ``make_sender`` is called only if a message can be posted now: a sender takes most of the time of a start.
    """
    storer = Storer(partial(open_outbox, redis), options, config)
    if all(each.spool_only for each in options.values()):
        return storer
    from chatpost.outbox.spooler import Spooler

    return Spooler(make_sender(), storer, warn)
