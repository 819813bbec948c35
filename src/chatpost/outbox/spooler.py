"""Stores messages in the outbox, then posts them after those that are already pending there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from chatpost import errors
from chatpost.chat.message import CreatedMessage
from chatpost.delivery.model import Delivery, Progress
from chatpost.delivery.sender import Sender
from chatpost.formatting import format_duration
from chatpost.outbox import model
from chatpost.outbox.flusher import Flusher, OwnMessages
from chatpost.outbox.model import Attempt, OutboxMessage
from chatpost.outbox.store import LONGEST_COOL_DOWN, Outbox
from chatpost.outbox.storer import Stored, Storer, note_unattended


class Spooler(NamedTuple):
    """A `chatpost.delivery.sender.Deliverer` that keeps messages in the outbox until they are posted."""

    sender: Sender
    storer: Storer
    warn: Callable[[str], None]

    def deliver(self, delivery: Delivery) -> Delivery:
        """Post or spool the delivery's messages; its progress has the outcome."""
        options, progress = self.storer.options[delivery.progress], delivery.progress
        if options.spool_only:
            return self.storer.deliver(delivery)
        if not options.spool:
            return self.sender.deliver(delivery)
        stored = self._store(delivery)
        if isinstance(stored, Exception):  # no longer being handled, or it would count as a cause of later errors
            maybe_done = isinstance(stored, errors.StorageError) and stored.maybe_done
            self._post_without(delivery, stored, "it may be in the outbox" if maybe_done else "it is not in the outbox")
            return delivery
        spooled = _Spooled(*stored)
        failure = self._post(spooled, keeps_rejected=options.keeps_rejected)
        if failure is not None:
            self._post_rest(spooled, failure)
        if progress.outbox_id is not None:
            note_unattended(spooled.outbox, progress)
        return delivery

    def leave_queues(self) -> None:
        """Leave all queues when the command is cancelled."""
        self.sender.leave_queues()

    def _store(self, delivery: Delivery) -> Stored | errors.StorageError | errors.ConfigurationError:
        try:
            return self.storer.store(delivery)
        except (errors.StorageError, errors.ConfigurationError) as error:
            return error

    def _post_without(self, delivery: Delivery, error: Exception, is_kept: str) -> None:
        """Post without the outbox. Chat ignores the second of the two if the message is in the outbox after all."""
        self.warn(f"posting without the outbox: {error}")
        self.sender.deliver(delivery)
        progress = delivery.progress
        if progress.error is not None:
            progress.gave_up = "; ".join(filter(None, (progress.gave_up, f"{is_kept}: {error}")))

    def _post_rest(self, spooled: _Spooled, error: errors.StorageError) -> None:
        """Post the remaining messages without the outbox, which has failed."""
        progress = spooled.report()
        pairs = zip(spooled.delivery.factories, spooled.ids, strict=True)
        rest = [factory for factory, number in pairs if number not in spooled.created]
        if rest:  # until then the outbox id stays, for the report of an interruption
            self._post_without(spooled.delivery._replace(factories=rest), error, "it may be in the outbox")
        progress.outbox_id = None

    def _post(self, spooled: _Spooled, *, keeps_rejected: bool) -> errors.StorageError | None:
        """Post the messages; return the error if the outbox has failed."""
        try:
            error = self._flush(spooled)
            found = spooled.find()
            self._settle(spooled, error, found, keeps_rejected=keeps_rejected)
        except errors.StorageError as failure:
            return failure
        return None

    def _settle(
        self, spooled: _Spooled, error: errors.ChatpostError | None, found: Sequence[int], *, keeps_rejected: bool
    ) -> None:
        """Record the outcome of a flush that ended with this error, and left the messages with the ids found."""
        left = [number for number in found if number not in spooled.created]
        with suppress(errors.StorageError):
            release = partial(model.release, origin=spooled.first.origin)
            spooled.outbox.change(spooled.first.webhook.space, spooled.ids, release)
        progress = spooled.report()
        if (
            left
            and not keeps_rejected
            and isinstance(error, errors.DeliveryError)
            and (not error.is_transient or isinstance(error, errors.InvalidMessage))
        ):
            left = spooled.withdraw(left)  # a retry would fail, too
            progress.error = None if left else error
        progress.outbox_id = left[0] if left else None
        if len(spooled.created.keys() | found) < len(spooled.ids):
            progress.error = errors.Unavailable("the message is no longer in the outbox: it was deleted")
        elif left:
            progress.gave_up = str(error or "another process is posting to this space")

    def _flush(self, spooled: _Spooled) -> errors.ChatpostError | None:
        """Post the messages after those that are pending in their thread; return their first error."""
        outbox, delivery, first, ids = spooled.outbox, spooled.delivery, spooled.first, spooled.ids
        fingerprint = first.webhook.fingerprint
        seconds = outbox.cool_down(fingerprint).retry_at - outbox.now()
        if 0 < seconds <= LONGEST_COOL_DOWN:  # a longer one means that the clock was set back
            return errors.Unavailable(
                f"not tried, because a recent attempt failed (sends resume in {format_duration(seconds)})"
            )
        own = OwnMessages(first.lane, ids[-1], delivery.deadline, spooled.on_attempt)
        flusher = Flusher(outbox, self.sender, delivery.to.policy, lambda _: (delivery.to.webhook, False), own=own)
        failures = flusher.flush(first.webhook.space, outbox.index(first.webhook.space))
        error = next((failures.of_messages[number] for number in ids if number in failures.of_messages), None)
        return error or failures.of_webhooks.get(fingerprint)


class _Spooled:
    """A delivery whose messages are in an outbox under these ids; ``first`` is the first of them.

    ``created`` has Chat's answers, by id.
    """

    def __init__(self, outbox: Outbox, delivery: Delivery, first: OutboxMessage, ids: Sequence[int]) -> None:
        self.outbox = outbox
        self.delivery = delivery
        self.first = first
        self.ids = ids
        self.created: dict[int, CreatedMessage] = {}
        self._attempts: dict[int, int] = {}
        self._maybe_posted: set[int] = set()

    def on_attempt(self, attempt: Attempt, progress: Progress) -> None:
        """Record the outcome of an attempt here, too: the outbox may fail to store it."""
        for message in attempt.members:
            if message.id in self.ids and message.origin == self.first.origin:
                self._record(message, progress.created, maybe_posted=progress.maybe_posted)

    def find(self) -> list[int]:
        """Return the ids of the messages that are still in the outbox, and record their status.

        Raises `StorageError` if the outbox has lost them.
        """
        rest = [number for number in self.ids if number not in self.created]
        found = self.outbox.read(self.first.webhook.space, rest) if rest else []
        if len(found) < len(rest):  # `outbox retry --profile` may have moved them to another space
            found = [message for message in self.outbox.index() if message.id in rest]
        found = [message for message in found if message.origin == self.first.origin]
        for message in found:
            self._record(message, message.status.created, maybe_posted=message.status.maybe_posted)
        return [message.id for message in found]

    def withdraw(self, ids: Sequence[int]) -> list[int]:
        """Delete messages; return those that stay because of a digest, or because another process posts now."""
        space = self.first.webhook.space
        with self.outbox.lock(space) as is_locked:
            if not is_locked:
                return list(ids)
            index = self.outbox.index(space)
            alone = [
                each.id
                for each in index
                if each.id in ids and each.status.digest in {None, each.id} and len(model.digest_of(index, each)) == 1
            ]
            self.outbox.change(space, alone, model.delete)
            return [number for number in ids if number not in alone]

    def report(self) -> Progress:
        """Update the delivery's progress, and return it."""
        progress = self.delivery.progress
        created = [self.created[number] for number in self.ids if number in self.created]
        for each in created[progress.posted :]:
            progress.confirm(each)
        progress.attempts = sum(self._attempts.values())
        progress.maybe_posted = bool(self._maybe_posted - self.created.keys())
        return progress

    def _record(self, message: OutboxMessage, created: CreatedMessage | None, *, maybe_posted: bool) -> None:
        self._attempts[message.id] = message.status.attempts
        if maybe_posted:
            self._maybe_posted.add(message.id)
        if created is not None:
            self.created[message.id] = created
