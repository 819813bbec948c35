"""Messages that wait for a better time, and their way from there to Chat.

A message is on the disk, under its request id, before it is tried. Its final body is put there before each attempt, so
that what may have been posted is sent again as it was, and Chat takes it for the same. Only a message that surely was
not posted is composed again. It leaves the outbox when Chat has answered.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chatpost.chat.message import MessageReplyOption
from chatpost.delivery.model import Delivery, Destination, Progress
from chatpost.delivery.retry import backoff
from chatpost.errors import ChatpostError, ConfigurationError, DeliveryError, InvalidMessage, Refused, SpaceBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.chat.webhook import Webhook
    from chatpost.delivery.model import TimeLeft
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Sender

MOST_MESSAGES = 10_000
"""Messages that an outbox holds."""

MOST_BYTES = 100_000_000
"""Bytes of messages that an outbox holds."""

FIRST_REST = 60.0
"""Seconds for which sends leave a webhook alone that has failed; they double with each failure."""

LONGEST_REST = 3600.0
"""Seconds beyond which that does not grow."""

_BUSY_SLEEP = 0.5  # seconds until another flush has made its attempt
_MOST_THREAD_FAILURES = 3  # in a row, while others are posted


class Entry(NamedTuple):
    """A message in the outbox, from ``host``. Times are seconds since the epoch.

    ``profile``, in the file ``config``, names its webhook, None for the one in CHATPOST_URL; ``fingerprint`` tells
    whether that is still the same. ``space`` is where it posts to, ``thread`` is the same for all messages of a thread.
    ``is_alone``: it goes into no digest. ``is_part``: it goes on from the message before.

    ``state`` is ``waiting``; ``sealed`` if it may have been posted, so that ``request`` is not changed any more;
    ``posted``, with the answer ``created``; ``refused`` by Chat; or ``expired``. ``error`` is that of the last of its
    ``attempts``. ``digest`` is the id of the message that all messages of a digest go with.
    """

    written: float
    host: str
    profile: str | None
    config: str | None
    fingerprint: str
    space: str
    thread: str
    request: CreateMessageRequest
    interval: float | None
    keep_until: float
    is_alone: bool = False
    is_part: bool = False
    id: int = 0
    state: str = "waiting"
    attempts: int = 0
    error: str | None = None
    digest: int | None = None
    created: CreatedMessage | None = None


class Outbox(Protocol):
    """Keeps messages. Every change is on the disk when the call returns. All calls raise `StorageError`."""

    def add(self, entries: Sequence[Entry], *, is_awaited: bool) -> list[int]:
        """Keep messages; return their ids. Raises `StorageError` if there is no room.

        ``is_awaited``: the caller wants to know their answers, and calls `release` in the end.
        """

    def release(self, ids: Iterable[int]) -> None:
        """Say that nobody waits for the messages' answers any more."""

    def get(self, id: int) -> Entry | None:  # noqa: A002 - the name that users know
        """Return a message."""

    def entries(self) -> list[Entry]:
        """Return all messages that are not posted, in their order."""

    def heads(self, space: str) -> list[Entry]:
        """Return the first message of each thread of the space that waits to be posted."""

    def followers(self, head: Entry, most: int) -> list[Entry]:
        """Return the messages that wait in the same thread, from this one on."""

    def lock(self, space: str) -> AbstractContextManager[bool]:
        """Keep others from posting to the space in this context; False if another does so now."""

    def seal(self, head: Entry, members: Sequence[Entry], request: CreateMessageRequest) -> None:
        """Note that the members are sent now, as this request."""

    def posted(self, head: Entry, created: CreatedMessage) -> None:
        """Note that the message, with its digest, is posted."""

    def failed(self, head: Entry, error: str, *, maybe_posted: bool) -> None:
        """Note that an attempt has failed. If the message surely was not posted, it can be changed again."""

    def refuse(self, head: Entry, error: str) -> None:
        """Note that Chat will never take the message. A digest's messages are tried one by one."""

    def expire(self, space: str, now: float, notice: Callable[[Sequence[Entry], float], Entry]) -> None:
        """Let messages expire, and keep a notice of those that the space has not been told of."""

    def rest_until(self, fingerprint: str) -> float:
        """Return the time until which sends leave a webhook alone."""

    def rest(self, fingerprint: str, now: float) -> None:
        """Leave a webhook alone that has failed: the longer, the more often it has since it was last posted to."""


class Composer(NamedTuple):
    """Changes messages before they are sent: ``late`` and ``digest`` are given them and the time now.

    ``digest`` returns the request and the number of messages that are in it, 1 if it makes none of them.
    """

    late: Callable[[Entry, float], CreateMessageRequest]
    digest: Callable[[Sequence[Entry], float], tuple[CreateMessageRequest, int]]
    expired: Callable[[Sequence[Entry], float], Entry]


class Flusher(NamedTuple):
    """Posts what waits.

    ``find`` returns a message's webhook, and raises `ConfigurationError` if it is not there any more. ``joins`` tells
    whether a message may go into a digest. ``clock`` is that of the outbox: seconds since the epoch.
    """

    outbox: Outbox
    sender: Sender
    composer: Composer
    find: Callable[[Entry], Webhook]
    joins: Callable[[Entry], bool]
    clock: Callable[[], float]

    def flush(
        self, space: str, policy: RetryPolicy, deadline: Callable[[], TimeLeft], is_wanted: Callable[[Entry], bool]
    ) -> dict[int, ChatpostError]:
        """Post the messages for a space that are wanted, until none is left or no try makes sense now.

        In each thread they are posted in their order, and ``deadline`` is the time for each. Returns the last errors,
        by the messages' ids.
        """
        self.outbox.expire(space, self.clock(), self.composer.expired)
        tries = _Tries(policy, self.sender.timing.random)
        left = deadline()
        while head := tries.next(filter(is_wanted, self.outbox.heads(space))):
            try:
                webhook = self.find(head)
            except ConfigurationError as error:
                tries.errors[head.id] = error
                tries.given_up.add(head.fingerprint)
                self.outbox.failed(head, str(error), maybe_posted=head.state == "sealed")
                continue
            tried = self._try(head, webhook, policy, left)
            wait = _BUSY_SLEEP if tried is None else tries.note(head, tried.error)
            if wait > left.left():
                tries.given_up.add(head.fingerprint)
            elif wait:
                self.sender.timing.sleep(wait)
            else:
                left = deadline()
        for fingerprint in tries.failing:
            self.outbox.rest(fingerprint, self.clock())
        return tries.errors

    def _try(self, head: Entry, webhook: Webhook, policy: RetryPolicy, left: TimeLeft) -> Progress | None:
        """Make one attempt to post a message; None if another process does so now, or has done so."""
        sent: Entry | None = None
        with ExitStack() as locked:

            def draft(_: CreatedMessage | None) -> CreateMessageRequest | None:
                nonlocal sent
                if locked.enter_context(self.outbox.lock(head.space)):
                    sent = self._seal(head)
                return None if sent is None else sent.request

            to = Destination(head.profile, webhook, head.request.thread, policy._replace(retries=0), head.interval)
            delivery = Delivery(to, head.request.request_id, [draft], left, Progress())
            progress = self.sender.deliver(delivery).progress
            if progress.error is None and sent is None:
                return None
            self._note(sent or head, progress, was_sent=sent is not None)
            return progress

    def _seal(self, head: Entry) -> Entry | None:
        """Put the final body of a message on the disk, and return the message; None if it has gone meanwhile."""
        fresh = self.outbox.get(head.id)
        if fresh is None or fresh.state not in {"waiting", "sealed"} or fresh.digest not in {None, fresh.id}:
            return None
        if fresh.state == "sealed":
            self.outbox.seal(fresh, [fresh], fresh.request)
            return fresh
        members, request = [fresh], self.composer.late(fresh, self.clock())
        if self.joins(fresh):
            waiting = self.outbox.followers(fresh, MOST_IN_DIGEST)
            joined, count = self.composer.digest(waiting, self.clock())
            if count > 1:
                members, request = waiting[:count], joined
        self.outbox.seal(fresh, members, request)
        return fresh._replace(request=request)

    def _note(self, entry: Entry, progress: Progress, *, was_sent: bool) -> None:
        error = progress.error
        if error is None:
            if progress.created is not None:
                self.outbox.posted(entry, progress.created)
        elif _is_of_message(error, entry.request):
            self.outbox.refuse(entry, str(error))
        elif was_sent:
            is_uncertain = progress.maybe_posted or entry.state == "sealed"
            self.outbox.failed(entry, str(error), maybe_posted=is_uncertain)


def _thread_of(entry: Entry) -> str:
    return f"{entry.fingerprint} {entry.thread}"


class _Tries:
    """What has been tried in one flush. ``errors`` are the last ones, by the messages' ids.

    ``given_up`` are the webhooks, by their fingerprints, that are not tried any more, and ``failing`` those of them
    that sends should leave alone.
    """

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self.errors: dict[int, ChatpostError] = {}
        self.given_up: set[str] = set()
        self.failing: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._policy = policy
        self._random = random

    def next(self, heads: Iterable[Entry]) -> Entry | None:
        """Return the message to try next: the first of a thread that has failed least."""
        tried = (
            head
            for head in heads
            if head.fingerprint not in self.given_up and self._failures[_thread_of(head)] < _MOST_THREAD_FAILURES
        )
        return min(tried, key=lambda head: (self._failures[_thread_of(head)], head.id), default=None)

    def note(self, head: Entry, error: DeliveryError | None) -> float:
        """Note what came of a try; return the seconds to wait before the next one."""
        if error is None:
            self._failures[head.fingerprint] = self._failures[_thread_of(head)] = 0
            self.failing.discard(head.fingerprint)
            return 0.0
        self.errors[head.id] = error
        if _is_of_message(error, head.request):
            return 0.0
        if error.code != HTTPStatus.TOO_MANY_REQUESTS and not isinstance(error, SpaceBusy):
            self.failing.add(head.fingerprint)
        self._failures[head.fingerprint] += 1
        self._failures[_thread_of(head)] += 1
        is_last = self._failures[head.fingerprint] > self._policy.retries
        if not error.is_passing or isinstance(error, SpaceBusy) or is_last:
            self.given_up.add(head.fingerprint)
            return 0.0
        return backoff(self._failures[head.fingerprint], self._random(), error.retry_after)


MOST_IN_DIGEST = 2000
"""Messages that are looked at for one digest: more do not fit."""


def _is_of_message(error: DeliveryError, request: CreateMessageRequest) -> bool:
    """Return whether only this message is at fault, and another may be posted."""
    is_missing_thread = error.code == HTTPStatus.NOT_FOUND and request.reply_option is MessageReplyOption.OR_FAIL
    is_taken_id = error.code == HTTPStatus.CONFLICT
    return isinstance(error, InvalidMessage) or (isinstance(error, Refused) and (is_missing_thread or is_taken_id))
