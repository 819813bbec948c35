"""Stores the messages of a delivery in the outbox."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from chatpost import errors
from chatpost.delivery.model import Delivery, Progress
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status
from chatpost.outbox.options import SpoolOptions
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.rows import preview_of
from chatpost.outbox.store import Outbox

_UNATTENDED_AFTER = 3600.0  # seconds without a successful flush


class Stored(NamedTuple):
    """A delivery whose messages are in an outbox, ``first`` and the others, under these ids."""

    outbox: Outbox
    delivery: Delivery
    first: OutboxMessage
    ids: list[int]


class Storer(NamedTuple):
    """A `chatpost.delivery.sender.Deliverer` that only stores messages, for a flush to post them.

    ``options`` are those of each delivery, by its progress; ``config`` is the profile file, if one was named.
    """

    open_outbox: Callable[[], Outbox]
    options: Mapping[Progress, SpoolOptions]
    config: Path | None

    def deliver(self, delivery: Delivery) -> Delivery:
        """Store the delivery's messages; its progress has the outcome."""
        try:
            note_unattended(self.store(delivery).outbox, delivery.progress)
        except errors.StorageError as error:
            if error.maybe_done:
                check = "if `chatpost outbox list` does not show it, repeat it with --request-id"
                msg = f"the message may already be in the outbox: {error}; {check} {delivery.request_id}"
                delivery.progress.error = errors.Unavailable(msg, maybe_posted=True)
            else:
                delivery.progress.error = errors.Unavailable(f"the message was not stored in the outbox: {error}")
        except errors.ConfigurationError as error:
            delivery.progress.error = errors.UnusableRoute(f"the message was not stored in the outbox: {error}")
        return delivery

    def leave_queues(self) -> None:
        """Do nothing: storing a message needs no turn."""

    def store(self, delivery: Delivery) -> Stored:
        """Store the messages, and set the progress's outbox ID.

        Raises `StorageError`, or `ConfigurationError` if the outbox is not configured correctly.
        """
        options = self.options[delivery.progress]
        messages = self._messages(delivery, options)
        outbox = self.open_outbox()
        ids = outbox.add(messages, options.expire_after)
        delivery.progress.outbox_id = ids[0]
        return Stored(outbox, delivery, messages[0], ids)

    def _messages(self, delivery: Delivery, options: SpoolOptions) -> list[OutboxMessage]:
        to = delivery.to
        requests = [request for factory in delivery.factories if (request := factory(None)) is not None]
        thread, origin = requests[0].thread, Origin(os.uname().nodename, time.time())
        is_alone = options.has_own_id or len(requests) > 1
        return [
            OutboxMessage(
                0,
                origin,
                reference_to(to.webhook, to.label, self.config),
                thread="" if thread is None else str(thread.name or f"key {thread.key}"),
                rules=Rules(
                    to.interval,
                    0.0,
                    is_alone=is_alone or bool(request.message.cards or "<users/" in request.message.text),
                    is_part=number > 0,
                ),
                status=Status(is_awaited=not options.spool_only),
                preview=preview_of(request.message),
                size=request.message.size,
                request=request,
            )
            for number, request in enumerate(requests)
        ]


def note_unattended(outbox: Outbox, progress: Progress) -> None:
    """Set ``unattended`` if the outbox was not flushed in the last hour."""
    with suppress(errors.StorageError):
        progress.unattended = outbox.now() - outbox.flushed_at() > _UNATTENDED_AFTER
