"""Posts the messages of an outbox: in each thread in their order, each once, with a back-off of its own.

The final body of a message is put on the disk when its turn has come, before the attempt. Only a message that surely
was not posted is composed again.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import MessageReplyOption
from chatpost.delivery.model import Delivery, Destination, Progress
from chatpost.delivery.retry import backoff
from chatpost.delivery.sender import RetryPlanned
from chatpost.errors import ChatpostError, ConfigurationError, DeliveryError, InvalidMessage, Refused, SpaceBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.chat.webhook import Webhook
    from chatpost.delivery.model import Deadline
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Sender
    from chatpost.outbox.model import Entry, Head, Outbox

MOST_IN_DIGEST = 2000
"""Messages that are looked at for one digest: more do not fit."""

_BUSY_SLEEP = 0.5  # seconds until another flush has made its attempt
_MOST_THREAD_FAILURES = 3  # in a row, while others are posted


class Composer(NamedTuple):
    """Changes messages before they are sent; each function is given them, and the time now.

    ``late`` says of one that it is late. ``digest`` joins as many as fit, and returns how many there are. ``expired``
    returns a message about those that have expired.
    """

    late: Callable[[Entry, float], CreateMessageRequest]
    digest: Callable[[Sequence[Entry], float], tuple[CreateMessageRequest, int]]
    expired: Callable[[Sequence[Entry], float], Entry]


class Flusher(NamedTuple):
    """Posts what waits.

    ``find`` returns a message's webhook, and raises `ConfigurationError` if it is not there any more. ``joins`` tells
    whether a message may go into a digest. ``clock`` is that of the outbox: seconds since the epoch. ``tell`` is called
    after each attempt, before the outbox notes it.
    """

    outbox: Outbox
    sender: Sender
    composer: Composer
    find: Callable[[Entry], Webhook]
    joins: Callable[[Entry], bool]
    clock: Callable[[], float]
    tell: Callable[[Entry, Progress], None] = lambda *_: None

    def flush(
        self, space: str, policy: RetryPolicy, deadline: Callable[[], Deadline], is_wanted: Callable[[Head], bool]
    ) -> Failures:
        """Post the messages for a space that are wanted, until none is left or no try makes sense now.

        In each thread they are posted in their order, and ``deadline`` is the time for each.
        """
        with self.outbox.lock(space) as is_locked:
            if is_locked:  # else another flush does it, and may be sending what has expired
                self.outbox.expire(space, self.clock(), self.composer.expired)
        tries = _Tries(policy, self.sender.timing.random)
        left = deadline()
        while head := tries.next(filter(is_wanted, self.outbox.heads(space))):
            entry = self.outbox.get(head.id)
            if entry is None:
                continue
            try:
                webhook = self.find(entry)
            except ConfigurationError as error:
                tries.lose(head, error)
                self.outbox.note(head.id, str(error))
                continue

            def find_next(fingerprint: str = head.fingerprint) -> Head | None:
                heads = filter(is_wanted, self.outbox.heads(space))
                return tries.next(other for other in heads if other.fingerprint == fingerprint)

            tried = self._try(entry, webhook, policy, left, find_next)
            wait = _BUSY_SLEEP if tried is None else tries.note(tried)
            if wait > left.left():
                tries.given_up.add(head.fingerprint)
            elif wait:
                if tried is not None and tried.error is not None:
                    self.sender.on_event(tried.delivery, RetryPlanned(tried.error, wait))
                self.sender.timing.sleep(wait)
            else:
                left = deadline()
        for fingerprint in tries.failing:
            self.outbox.rest(fingerprint, self.clock())
        return tries.failures

    def _try(
        self, entry: Entry, webhook: Webhook, policy: RetryPolicy, left: Deadline, find_next: Callable[[], Head | None]
    ) -> _Tried | None:
        """Make one attempt to post the next message; None if another process does so now, or none is left."""
        sent: Entry | None = None
        with ExitStack() as locked:

            def draft(_: CreatedMessage | None) -> CreateMessageRequest | None:
                nonlocal sent
                # Others may have posted while this one waited for its turn.
                if locked.enter_context(self.outbox.lock(entry.space)) and (head := find_next()):
                    sent = self._seal(head)
                return None if sent is None else sent.request

            to = Destination(entry.profile, webhook, entry.request.thread, policy._replace(retries=0), entry.interval)
            delivery = Delivery(to, entry.request.request_id, [draft], left, Progress())
            progress = self.sender.deliver(delivery).progress
            if progress.error is None and sent is None:
                return None
            if sent is not None:
                self.tell(sent, progress)
                self._note(sent, progress)
            return _Tried(sent or entry, delivery, progress.error)

    def _seal(self, head: Head) -> Entry | None:
        """Put the final body of a message on the disk, and return the message; None if it has changed meanwhile."""
        entry = self.outbox.get(head.id)
        if entry is None:
            return None
        if entry.state == "sealed" or entry.is_uncertain:
            return entry if self.outbox.seal(entry, [entry], entry.request) else None
        members, request = [entry], self.composer.late(entry, self.clock())
        if self.joins(entry):
            waiting = self.outbox.followers(entry, MOST_IN_DIGEST)
            joined, count = self.composer.digest(waiting, self.clock())
            if count > 1:
                members, request = waiting[:count], joined
        return entry._replace(request=request) if self.outbox.seal(entry, members, request) else None

    def _note(self, entry: Entry, progress: Progress) -> None:
        error = progress.error
        if error is None:
            if progress.created is not None:
                self.outbox.posted(entry, progress.created)
        elif _is_of_message(error, entry.request):
            self.outbox.refuse(entry, str(error))
        else:
            is_uncertain = progress.maybe_posted or entry.state == "sealed" or entry.is_uncertain
            self.outbox.failed(entry, str(error), maybe_posted=is_uncertain)


class _Tried(NamedTuple):
    entry: Entry
    delivery: Delivery
    error: DeliveryError | None


class Failures(NamedTuple):
    """The last errors: of messages that are not posted by their ids, of whole webhooks by their fingerprints."""

    of_messages: dict[int, ChatpostError]
    of_webhooks: dict[str, DeliveryError]


def _thread_of(entry: Entry | Head) -> str:
    return f"{entry.fingerprint} {entry.thread}"


def _source_of(head: Head) -> tuple[str | None, str | None, str]:
    return head.profile, head.config, head.fingerprint


class _Tries:
    """The tries of one flush.

    ``given_up`` are the webhooks, by their fingerprints, that are not tried any more, and ``failing`` those that sends
    should leave alone.
    """

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self.failures = Failures({}, {})
        self.given_up: set[str] = set()
        self.failing: set[str] = set()
        self._lost: set[tuple[str | None, str | None, str]] = set()
        self._count: Counter[str] = Counter()
        self._policy = policy
        self._random = random

    def next(self, heads: Iterable[Head]) -> Head | None:
        """Return the message to try next: the first of a thread that has failed least."""
        tried = [head for head in heads if head.fingerprint not in self.given_up and _source_of(head) not in self._lost]
        best = min(tried, key=lambda head: (self._count[_thread_of(head)], head.id), default=None)
        # Threads that are stuck are given up if others went on meanwhile.
        is_stuck = best is not None and self._count[_thread_of(best)] >= _MOST_THREAD_FAILURES
        return None if is_stuck and len(tried) > 1 else best

    def lose(self, head: Head, error: ConfigurationError) -> None:
        """Note that a message's webhook cannot be found."""
        self.failures.of_messages[head.id] = error
        self._lost.add(_source_of(head))

    def note(self, tried: _Tried) -> float:
        """Note what came of a try; return the seconds to wait before the next one."""
        entry, error = tried.entry, tried.error
        if error is None:
            self._count[entry.fingerprint] = self._count[_thread_of(entry)] = 0
            self.failing.discard(entry.fingerprint)
            self.failures.of_messages.pop(entry.id, None)
            self.failures.of_webhooks.pop(entry.fingerprint, None)
            return 0.0
        self.failures.of_messages[entry.id] = error
        if _is_of_message(error, entry.request):
            return 0.0
        self.failures.of_webhooks[entry.fingerprint] = error
        is_busy = isinstance(error, SpaceBusy)
        if error.is_transient and not is_busy and error.code != HTTPStatus.TOO_MANY_REQUESTS:
            self.failing.add(entry.fingerprint)
        self._count[entry.fingerprint] += 1
        self._count[_thread_of(entry)] += 1
        if not error.is_transient or is_busy or self._count[entry.fingerprint] > self._policy.retries:
            self.given_up.add(entry.fingerprint)
            return 0.0
        return backoff(self._count[entry.fingerprint], self._random(), error.retry_after)


def _is_of_message(error: DeliveryError, request: CreateMessageRequest) -> bool:
    """Return whether only this message is at fault, and another may be posted."""
    is_missing_thread = error.code == HTTPStatus.NOT_FOUND and request.reply_option is MessageReplyOption.OR_FAIL
    is_taken_id = error.code == HTTPStatus.CONFLICT
    return isinstance(error, InvalidMessage) or (isinstance(error, Refused) and (is_missing_thread or is_taken_id))
