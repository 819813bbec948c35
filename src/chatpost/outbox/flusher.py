"""Posts the messages of an outbox: in each thread in their order, each once, with a back-off for each webhook.

The final content of a message is put on the disk when its turn has come, before the attempt. Only a message that surely
was not posted is composed again.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import MessageReplyOption
from chatpost.delivery.model import Deadline, Delivery, Destination, Progress
from chatpost.delivery.retry import backoff
from chatpost.delivery.sender import RetryPlanned
from chatpost.errors import ChatpostError, ConfigurationError, DeliveryError, InvalidMessage, Refused, SpaceBusy
from chatpost.outbox import transitions
from chatpost.outbox.digest import digest, late
from chatpost.outbox.transitions import Attempt, batches, digest_of, first_pending, overdue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.chat.webhook import Webhook
    from chatpost.delivery.model import TimeLeft
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Sender
    from chatpost.outbox.model import Outbox, OutboxMessage, WebhookReference

MOST_IN_DIGEST = 1000
"""Messages that one digest joins, if they are short."""

_READ_AT_ONCE = 100  # messages, with their contents
_BUSY_SLEEP = 0.5  # seconds until another flush has made its attempt
_MOST_THREAD_FAILURES = 3  # in a row, while others are posted


class OwnMessages(NamedTuple):
    """The messages of one send, up to the id ``last``, which alone are flushed, with those before them in their lane.

    ``deadline`` is that of the send. ``on_attempt`` is called after each attempt, before the outbox is changed.
    """

    lane: tuple[str, str]
    last: int
    deadline: TimeLeft
    on_attempt: Callable[[Attempt, Progress], None]


class Failures(NamedTuple):
    """The last errors: of messages that are not posted by their ids, of whole webhooks by their fingerprints."""

    of_messages: dict[int, ChatpostError]
    of_webhooks: dict[str, DeliveryError]


class Flusher(NamedTuple):
    """Posts the pending messages of an outbox.

    ``resolve`` returns a message's webhook, and raises `ConfigurationError` if it is not there any more.
    ``wants_digest`` tells whether a message may go into a digest. ``own`` are the only ones to flush, None for all;
    then each message has the deadline of ``policy``.
    """

    outbox: Outbox
    sender: Sender
    policy: RetryPolicy
    resolve: Callable[[OutboxMessage], Webhook]
    wants_digest: Callable[[OutboxMessage], bool] = lambda _: False
    own: OwnMessages | None = None

    def flush(self, space: str) -> Failures:
        """Post the pending messages of a space, until none is left or no attempt makes sense now."""
        return _SpaceFlush(self, space).run()

    def cancel(self) -> None:
        """Give up the places in the lines of spaces."""
        if self.sender.pacer is not None:
            self.sender.pacer.leave()


class _SpaceFlush:
    """One flush of a space."""

    def __init__(self, flusher: Flusher, space: str) -> None:
        self._flusher = flusher
        self._outbox = flusher.outbox
        self._own = flusher.own
        self._space = space
        self._failures = Failures({}, {})
        self._given_up: set[str] = set()  # fingerprints of webhooks that are not tried any more
        self._failing: set[str] = set()  # those that sends should not try
        self._unresolved: set[WebhookReference] = set()
        self._count: Counter[object] = Counter()  # failures in a row, by fingerprint and by lane
        self._others_post = False

    def run(self) -> Failures:
        self._expire()
        deadline = self._deadline()
        while first := self._next(pending := self._pending(self._outbox.index(self._space))):
            if self._is_hopeless(pending, deadline):
                break
            try:
                webhook = self._flusher.resolve(first)
            except ConfigurationError as error:
                self._failures.of_messages[first.id] = error
                self._unresolved.add(first.webhook)
                self._outbox.change(self._space, [first.id], partial(transitions.note_error, error=str(error)))
                continue
            wait = self._post(first, webhook, deadline)
            if wait > deadline.left():
                self._given_up.add(first.webhook.fingerprint)
            elif wait:
                self._flusher.sender.timing.sleep(wait)
            else:
                deadline = self._deadline()
        for fingerprint in self._failing:
            cool_down = self._outbox.cool_down(fingerprint)
            self._outbox.set_cool_down(fingerprint, cool_down.after_failure(self._outbox.now()))
        return self._failures

    def _deadline(self) -> TimeLeft:
        if self._own is not None:
            return self._own.deadline
        return Deadline(self._flusher.policy.deadline, self._flusher.sender.timing.clock)

    def _expire(self) -> None:
        """Let messages expire, in batches, unless another process posts now: it may be sending one of them."""
        now = self._outbox.now()
        while overdue(self._outbox.index(self._space), now):
            with self._outbox.lock(self._space) as is_locked:
                if not is_locked:
                    return
                index = self._outbox.index(self._space)
                notices = {message.id for message in index if transitions.can_count(message)}
                for _, batch in batches(index, overdue(index, now)):
                    self._outbox.change(self._space, sorted(notices | {*batch}), partial(transitions.expire, now=now))
                    break  # the notice of this batch counts the next one, too

    def _pending(self, index: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        own, pending = self._own, first_pending(index)
        return [each for each in pending if own is None or (each.lane == own.lane and each.id <= own.last)]

    def _next(self, pending: Iterable[OutboxMessage]) -> OutboxMessage | None:
        """Return the message to try next: the first of a lane that has failed least."""
        firsts: dict[tuple[str, str], OutboxMessage] = {}
        for message in pending:
            firsts.setdefault(message.lane, message)
        tried = [
            message
            for message in firsts.values()
            if message.webhook.fingerprint not in self._given_up and message.webhook not in self._unresolved
        ]
        best = min(tried, key=lambda message: (self._count[message.lane], message.id), default=None)
        # Threads that are stuck are given up if others went on meanwhile.
        is_stuck = best is not None and self._count[best.lane] >= _MOST_THREAD_FAILURES
        return None if is_stuck and len(tried) > 1 else best

    def _is_hopeless(self, pending: Sequence[OutboxMessage], deadline: TimeLeft) -> bool:
        """Return whether another process flushes the space, and the turn of a send's messages comes too late."""
        if self._own is None or not self._others_post:
            return False
        return sum(message.rules.interval or 0.0 for message in pending[1:]) > deadline.left()

    def _post(self, first: OutboxMessage, webhook: Webhook, deadline: TimeLeft) -> float:
        """Make one attempt to post the next message; return the seconds to wait before the next one."""
        attempt: Attempt | None = None
        with ExitStack() as locked:

            def begin(_: CreatedMessage | None) -> CreateMessageRequest | None:
                nonlocal attempt
                if locked.enter_context(self._outbox.lock(self._space)):
                    attempt = self._begin(first)
                else:
                    self._others_post = True
                return None if attempt is None else attempt.request

            policy = self._flusher.policy._replace(retries=0)
            to = Destination(first.webhook.profile, webhook, None, policy, first.rules.interval)
            delivery = Delivery(to, "", [begin], deadline, Progress())
            progress = self._flusher.sender.deliver(delivery).progress
            if attempt is not None:
                self._end(attempt, progress)
            elif progress.error is None:
                return _BUSY_SLEEP
        wait = self._judge(first if attempt is None else attempt.members[0], attempt, progress.error)
        if progress.error is not None and 0 < wait <= deadline.left():
            self._flusher.sender.on_event(delivery, RetryPlanned(progress.error, wait))
        return wait

    def _begin(self, first: OutboxMessage) -> Attempt | None:
        """Begin an attempt, and put its content on the disk. Others may have posted while this one waited."""
        index = self._outbox.index(self._space)
        pending = self._pending(index)
        self._others_post |= first.id not in {message.id for message in pending}
        chosen = self._next(each for each in pending if each.webhook.fingerprint == first.webhook.fingerprint)
        if chosen is None or (composed := self._compose(index, chosen)) is None:
            return None
        members, request = composed
        step = partial(transitions.start_attempt, members=members, request=request)
        begun = self._outbox.change(self._space, [message.id for message in members], step)
        return None if begun is None else Attempt(begun, request, chosen.status.maybe_posted)

    def _compose(
        self, index: Sequence[OutboxMessage], first: OutboxMessage
    ) -> tuple[list[OutboxMessage], CreateMessageRequest] | None:
        """Return the messages to post as one, and their request; None if the content is gone."""
        candidates = [first]
        if not first.goes_alone and self._flusher.wants_digest(first):
            others = (each for each in first_pending(index) if each.lane == first.lane and each.id >= first.id)
            candidates = list(others)[:MOST_IN_DIGEST]
        contents = self._read(candidates)
        whole, now = next(contents, None), self._outbox.now()
        if whole is None or whole.request is None:
            self._set_aside(digest_of(index, first), is_damaged=whole is not None)
            return None
        if first.status.maybe_posted:
            return digest_of(index, first), whole.request
        if len(candidates) > 1:
            joined, count = digest(whole.request, chain([whole], contents), now)
            if count > 1:
                return candidates[:count], joined
        return [first], late(whole, whole.request, now)

    def _read(self, messages: Sequence[OutboxMessage]) -> Iterator[OutboxMessage]:
        """Yield the messages with their contents, a few at a time, until one is not there any more."""
        for start in range(0, len(messages), _READ_AT_ONCE):
            ids = [message.id for message in messages[start : start + _READ_AT_ONCE]]
            found = {message.id: message for message in self._outbox.read(self._space, ids)}
            for number in ids:
                if number not in found:
                    return
                yield found[number]

    def _set_aside(self, digest: Sequence[OutboxMessage], *, is_damaged: bool) -> None:
        """Set messages aside whose content is damaged; delete the first one if Redis has thrown its content away."""
        ids = [message.id for message in digest]
        if is_damaged:
            error = f"it is damaged; `chatpost outbox drop {ids[0]}` takes it out"
            self._outbox.change(self._space, ids, partial(transitions.reject, error=error))
        else:
            self._outbox.change(self._space, ids[:1], transitions.delete)

    def _end(self, attempt: Attempt, progress: Progress) -> None:
        """Note the outcome of an attempt."""
        error, webhook = progress.error, attempt.members[0].webhook
        if self._own is not None:
            self._own.on_attempt(attempt, progress)
        if error is None and progress.created is not None:
            self._outbox.set_cool_down(webhook.fingerprint, None)
            step = partial(transitions.posted, attempt=attempt, created=progress.created, now=self._outbox.now())
        elif error is not None and _is_of_message(error, attempt.request):
            step = partial(transitions.rejected, attempt=attempt, error=str(error))
        else:
            maybe_posted = progress.maybe_posted
            step = partial(transitions.failed, attempt=attempt, error=str(error), maybe_posted=maybe_posted)
        self._outbox.change(self._space, [message.id for message in attempt.members], step)

    def _judge(self, message: OutboxMessage, attempt: Attempt | None, error: DeliveryError | None) -> float:
        """Count the outcome of an attempt; return the seconds to wait before the next one."""
        fingerprint, count, failures = message.webhook.fingerprint, self._count, self._failures
        if error is None:
            count[fingerprint] = count[message.lane] = 0
            self._failing.discard(fingerprint)
            failures.of_messages.pop(message.id, None)
            failures.of_webhooks.pop(fingerprint, None)
            return 0.0
        failures.of_messages[message.id] = error
        if attempt is not None and _is_of_message(error, attempt.request):
            return 0.0
        failures.of_webhooks[fingerprint] = error
        is_busy = isinstance(error, SpaceBusy)
        if error.is_transient and not is_busy and error.code != HTTPStatus.TOO_MANY_REQUESTS:
            self._failing.add(fingerprint)
        count[fingerprint] += 1
        count[message.lane] += 1
        if not error.is_transient or is_busy or count[fingerprint] > self._flusher.policy.retries:
            self._given_up.add(fingerprint)
            return 0.0
        return backoff(count[fingerprint], self._flusher.sender.timing.random(), error.retry_after)


def _is_of_message(error: DeliveryError, request: CreateMessageRequest) -> bool:
    """Return whether only this message is at fault, and another may be posted."""
    is_missing_thread = error.code == HTTPStatus.NOT_FOUND and request.reply_option is MessageReplyOption.OR_FAIL
    is_taken_id = error.code == HTTPStatus.CONFLICT
    return isinstance(error, InvalidMessage) or (isinstance(error, Refused) and (is_missing_thread or is_taken_id))
