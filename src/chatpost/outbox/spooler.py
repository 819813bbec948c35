"""Keeps messages in the outbox, and posts them behind those that wait."""

from __future__ import annotations

import hashlib
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from chatpost.directories import state_file
from chatpost.durations import duration
from chatpost.errors import ConfigurationError, DeliveryError, InvalidMessage, StorageError, Unavailable, UnusableRoute
from chatpost.outbox import digest
from chatpost.outbox.flusher import Composer, Flusher
from chatpost.outbox.model import LONGEST_REST, Entry, Head
from chatpost.outbox.rows import packed_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.chat.webhook import Webhook
    from chatpost.delivery.model import Delivery, Progress, SpoolOptions
    from chatpost.delivery.sender import Sender
    from chatpost.errors import ChatpostError
    from chatpost.outbox.model import Outbox
    from chatpost.profiles.redis_config import RedisConfig

COMPOSER = Composer(digest.late, digest.digest, digest.expired)


def find_outbox(redis: RedisConfig) -> Outbox:
    """Return the user's outbox on this machine, or the fleet's.

    Raises `ConfigurationError`, and `StorageError` for a user without a home.
    """
    if not redis.has_outbox():
        from chatpost.outbox.sqlite import OutboxFile

        return OutboxFile(state_file("outbox.sqlite3"), time.time)
    from chatpost.outbox.redis import RedisOutbox

    return RedisOutbox(redis.client(), time.time)


def fingerprint(webhook: Webhook) -> str:
    """Return what tells whether a webhook is still the same, and tells nothing of its secrets."""
    return hashlib.sha256(webhook.request_url({}).encode()).hexdigest()


class Spooler(NamedTuple):
    """Delivers messages by way of the outbox: a message that cannot be posted now stays there.

    ``spooling`` is that of each delivery, by its progress; ``config`` is the profile file that was named. It has the
    method `deliver` of a `chatpost.delivery.sender.Sender`.
    """

    sender: Sender
    find_outbox: Callable[[], Outbox]
    spooling: Mapping[Progress, SpoolOptions]
    config: Path | None
    warn: Callable[[str], None]

    def deliver(self, delivery: Delivery) -> Delivery:
        """Post the delivery's messages behind those that wait, or keep them; its progress has the outcome."""
        spooling, progress = self.spooling[delivery.progress], delivery.progress
        if not spooling.is_on:
            return self.sender.deliver(delivery)
        entries = self._entries(delivery, spooling)
        try:
            outbox = self.find_outbox()
            ids = outbox.add(entries, is_awaited=not spooling.spool_first)
        except (StorageError, ConfigurationError) as error:
            if spooling.spool_first:
                progress.error = _not_kept(error, delivery.request_id)
                return delivery
            self._post_without(delivery, error, "it may be kept" if _maybe_done(error) else "it is not kept")
            return delivery
        progress.kept = ids[0]
        if not spooling.spool_first:
            kept = _Kept(outbox, delivery, entries[0], ids)
            try:
                self._post(kept)
            except StorageError as error:
                self._post_rest(kept, error)
        return delivery

    def _post_without(self, delivery: Delivery, error: Exception, is_kept: str) -> None:
        """Post without the outbox. If the message is there all the same, Chat takes both for one."""
        self.warn(f"if the message cannot be posted, {is_kept}: {error}")
        self.sender.deliver(delivery)
        progress = delivery.progress
        if progress.error is not None:
            progress.gave_up = "; ".join(filter(None, (progress.gave_up, f"{is_kept}: {error}")))

    def _post_rest(self, kept: _Kept, error: StorageError) -> None:
        """Post what is not posted yet, without the outbox, which has failed."""
        progress = kept.tell_what_is_posted()
        pairs = zip(kept.delivery.factories, kept.ids, strict=True)
        rest = [draft for draft, number in pairs if number not in kept.created]
        if rest:  # an interruption says that it is kept: it may be
            self._post_without(kept.delivery._replace(factories=rest), error, "it may be kept")
        progress.kept = None

    def _post(self, kept: _Kept) -> None:
        outbox, first, ids = kept.outbox, kept.first, kept.ids
        error = self._flush(kept)
        left, found = list[int](), list[int]()
        for number in ids:
            if number in kept.created:
                found.append(number)
                continue
            entry = outbox.get(number)
            if entry is None or not kept.has(entry):
                continue  # taken out
            found.append(number)
            kept.note(number, entry.attempts, entry.created, maybe_posted=bool(entry.is_uncertain))
            if entry.created is None:
                left.append(number)
        with suppress(StorageError):
            outbox.release(found)
        progress = kept.tell_what_is_posted()
        if left and isinstance(error, DeliveryError) and (not error.is_transient or isinstance(error, InvalidMessage)):
            with outbox.lock(first.space) as is_locked:  # else another process is sending it, or others, now
                left = outbox.withdraw(left) if is_locked else left  # trying again would not mend it
            progress.error = None if left else error
        progress.kept = left[0] if left else None
        if len(found) < len(ids):
            progress.error = Unavailable("the message is not in the outbox any more: it was dropped")
        elif left:
            progress.gave_up = str(error or "others post to the space now")

    def _flush(self, kept: _Kept) -> ChatpostError | None:
        """Post the messages, behind those that wait in their thread; return the error that they have met."""
        outbox, delivery, first, ids = kept.outbox, kept.delivery, kept.first, kept.ids
        rest = outbox.rest_until(first.fingerprint) - time.time()
        if 0 < rest <= LONGEST_REST:  # else the clock has been set meanwhile
            return Unavailable(f"Chat has failed before, so it is left alone for {duration(rest)}")

        def is_wanted(head: Head) -> bool:
            return (head.fingerprint, head.thread) == (first.fingerprint, first.thread) and head.id <= ids[-1]

        def tell(entry: Entry, tried: Progress) -> None:
            if entry.id in ids and kept.has(entry):
                attempts = kept.attempts.get(entry.id, 0) + 1
                kept.note(entry.id, attempts, tried.created, maybe_posted=tried.maybe_posted)

        find = lambda _: delivery.to.webhook  # noqa: E731 - it is no more than that
        flusher = Flusher(outbox, self.sender, COMPOSER, find, lambda _: False, time.time, tell)
        failures = flusher.flush(first.space, delivery.to.policy, lambda: delivery.deadline, is_wanted)
        own = next((failures.of_messages[number] for number in ids if number in failures.of_messages), None)
        return own or failures.of_webhooks.get(first.fingerprint)

    def _entries(self, delivery: Delivery, spooling: SpoolOptions) -> list[Entry]:
        to, now = delivery.to, time.time()
        requests = [request for draft in delivery.factories if (request := draft(None)) is not None]
        thread = requests[0].thread
        entry = Entry(
            written=now,
            host=socket.gethostname(),
            profile=to.label,
            config=None if self.config is None else packed_path(self.config),
            fingerprint=fingerprint(to.webhook),
            space=f"{to.webhook.origin}/{to.webhook.space}",
            thread="" if thread is None else str(thread.name or f"key {thread.key}"),
            request=requests[0],
            interval=to.interval,
            keep_until=now + spooling.keep_for,
        )
        return [
            entry._replace(
                request=request,
                is_alone=spooling.has_own_id or len(requests) > 1 or _goes_alone(request),
                is_part=number > 0,
            )
            for number, request in enumerate(requests)
        ]


class _Kept:
    """A delivery whose messages are in an outbox under these ids; ``first`` is the first of them.

    ``created`` are the answers to those that are posted; ``attempts`` are those of each.
    """

    def __init__(self, outbox: Outbox, delivery: Delivery, first: Entry, ids: Sequence[int]) -> None:
        self.outbox = outbox
        self.delivery = delivery
        self.first = first
        self.ids = ids
        self.created: dict[int, CreatedMessage] = {}
        self.attempts: dict[int, int] = {}
        self._maybe_posted: set[int] = set()
        self._told: set[int] = set()

    def has(self, entry: Entry) -> bool:
        """Return whether it is one of them: an outbox that has lost its messages gives their ids again."""
        return (entry.host, entry.written) == (self.first.host, self.first.written)

    def note(self, number: int, attempts: int, created: CreatedMessage | None, *, maybe_posted: bool) -> None:
        """Note what is known of a message, from its attempts or from the outbox."""
        self.attempts[number] = attempts
        if maybe_posted:
            self._maybe_posted.add(number)
        if created is not None:
            self.created[number] = created

    def tell_what_is_posted(self) -> Progress:
        """Put it into the delivery's progress, and return that."""
        progress = self.delivery.progress
        for number in self.ids:
            if number in self.created and number not in self._told:
                self._told.add(number)
                progress.confirm(self.created[number])
        progress.attempts = sum(self.attempts.values())
        progress.maybe_posted = bool(self._maybe_posted - self.created.keys())
        return progress


def _not_kept(error: StorageError | ConfigurationError, request_id: str) -> DeliveryError:
    if isinstance(error, ConfigurationError):
        return UnusableRoute(f"the message is not kept: {error}")
    if _maybe_done(error):
        msg = f"it is not known whether the message is kept: {error}; repeat it with --request-id {request_id}"
        return Unavailable(msg, maybe_posted=True)
    return Unavailable(f"the message is not kept: {error}")


def _maybe_done(error: StorageError | ConfigurationError) -> bool:
    return isinstance(error, StorageError) and error.maybe_done


def _goes_alone(request: CreateMessageRequest) -> bool:
    message = request.message
    return bool(message.cards or "<users/" in message.text)
