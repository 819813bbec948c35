"""Posts the messages of an outbox: in each thread in their order, each once, with a back-off for each webhook.

The final content of a message is put on the disk when its turn has come, before the attempt. Only a message that surely
was not posted is composed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import NamedTuple, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, MessageReplyOption
from chatpost.chat.webhook import Webhook
from chatpost.delivery.model import Deadline, Delivery, Destination, Progress
from chatpost.delivery.retry import RetryPolicy, backoff
from chatpost.delivery.sender import RetryPlanned, Sender
from chatpost.errors import ChatpostError, ConfigurationError, DeliveryError, InvalidMessage, Refused, SpaceBusy
from chatpost.outbox import model
from chatpost.outbox.digest import LATE, digest, late
from chatpost.outbox.expiry import can_count, expire
from chatpost.outbox.model import Attempt, OutboxMessage, WebhookReference
from chatpost.outbox.store import Outbox, Step

MOST_IN_DIGEST = 1000
"""Messages that one digest joins, if they are short."""

_READ_AT_ONCE = 100  # messages, with their contents
_BUSY_SLEEP = 0.5  # seconds until another flush has made its attempt
_MOST_LANE_FAILURES = 3  # in a row, while others are posted

_Lanes: TypeAlias = "dict[tuple[str, str], list[OutboxMessage]]"


class OwnMessages(NamedTuple):
    """The messages of one send, up to the id ``last``; they alone are posted, behind those before them in their lane.

    ``deadline`` is that of the send. ``on_attempt`` is called after each attempt, before the outbox is changed.
    """

    lane: tuple[str, str]
    last: int
    deadline: Deadline
    on_attempt: Callable[[Attempt, Progress], None]


class Failures(NamedTuple):
    """The last errors: of messages that are not posted by their ids, of whole webhooks by their fingerprints.

    ``left`` are the messages of the space after the flush, without their contents.
    """

    of_messages: dict[int, ChatpostError]
    of_webhooks: dict[str, DeliveryError]
    left: list[OutboxMessage]


class Flusher(NamedTuple):
    """Posts the pending messages of an outbox.

    ``resolve`` returns a message's webhook, and whether its profile asks for digests; it raises `ConfigurationError` if
    the webhook is not there any more. ``digest``: join the messages of all profiles. ``own`` are the messages to post;
    None for all, each of which then has the deadline of ``policy``.
    """

    outbox: Outbox
    sender: Sender
    policy: RetryPolicy
    resolve: Callable[[OutboxMessage], tuple[Webhook, bool]]
    digest: bool = False
    own: OwnMessages | None = None

    def flush(self, space: str, index: list[OutboxMessage]) -> Failures:
        """Post the pending messages of a space, until none is left or no attempt makes sense now.

        ``index`` are the messages of the space, without their contents, as they were just read.
        """
        return _SpaceFlush(self, space).run(index)


class _SpaceFlush:
    """One flush of a space."""

    def __init__(self, flusher: Flusher, space: str) -> None:
        self._flusher = flusher
        self._outbox = flusher.outbox
        self._space = space
        self._own_lane = () if flusher.own is None else (flusher.own.lane, flusher.own.last)
        self._failures = Failures({}, {}, [])
        self._given_up: set[str] = set()  # fingerprints of webhooks that are not tried any more
        self._failing: set[str] = set()  # those that sends should not try
        self._unresolved: set[WebhookReference] = set()
        self._count: Counter[object] = Counter()  # failures in a row, by fingerprint and by lane
        self._others_post = False

    def run(self, index: list[OutboxMessage]) -> Failures:
        """Post message by message."""
        deadline = self._deadline()
        if model.overdue(index, self._outbox.now()):
            index = self._expire(index)
        while lane := self._choose(lanes := model.pending_lanes(index, *self._own_lane)):
            if self._is_hopeless(lanes, deadline):
                break
            chosen = lane[0]
            try:
                webhook, wants_digest = self._flusher.resolve(chosen)
            except ConfigurationError as error:
                self._failures.of_messages[chosen.id] = error
                self._unresolved.add(chosen.webhook)
                self._change([chosen], partial(model.note_error, error=str(error)))
            else:
                wait = self._post(chosen, webhook, deadline, wants_digest=wants_digest or self._flusher.digest)
                if not wait:
                    deadline = self._deadline()
                elif wait > deadline.left():
                    self._given_up.add(chosen.webhook.fingerprint)
                else:
                    self._flusher.sender.timing.sleep(wait)
            index = self._outbox.index(self._space)
        for fingerprint in self._failing:
            cool_down = self._outbox.cool_down(fingerprint).after_failure(self._outbox.now())
            self._outbox.set_cool_down(fingerprint, cool_down)
        return self._failures._replace(left=index)

    def _deadline(self) -> Deadline:
        if self._flusher.own is not None:
            return self._flusher.own.deadline
        return Deadline(self._flusher.policy.deadline, self._flusher.sender.timing.clock)

    def _expire(self, index: list[OutboxMessage]) -> list[OutboxMessage]:
        """Let messages expire, in batches, unless another process posts now: it may be sending one. Return the rest."""
        now = self._outbox.now()
        while model.overdue(index, now):
            with self._outbox.lock(self._space) as is_locked:
                if not is_locked:
                    break
                index = self._outbox.index(self._space)
                # The notice that one batch adds counts the next one, too.
                notices = {message.id for message in index if can_count(message)}
                for _, batch in list(model.batches(index, model.overdue(index, now)))[:1]:
                    self._outbox.change(self._space, sorted(notices.union(batch)), partial(expire, now=now))
            index = self._outbox.index(self._space)
        return index

    def _change(
        self, messages: Sequence[OutboxMessage], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        return self._outbox.change(self._space, [message.id for message in messages], step, answered)

    def _choose(self, lanes: _Lanes, fingerprint: str | None = None) -> list[OutboxMessage]:
        """Return the lane to post from next, for this webhook if one is given: the one that has failed least."""
        tried = {
            lane: messages
            for lane, messages in lanes.items()
            if lane[0] not in self._given_up
            and fingerprint in {None, lane[0]}
            and messages[0].webhook not in self._unresolved
        }
        best = min(tried, key=lambda lane: (self._count[lane], tried[lane][0].id), default=None)
        # Threads that are stuck are given up if others went on meanwhile.
        if best is None or (self._count[best] >= _MOST_LANE_FAILURES and len(tried) > 1):
            return []
        return tried[best]

    def _is_hopeless(self, lanes: _Lanes, deadline: Deadline) -> bool:
        """Return whether another process flushes the space, and the turn of a send's messages comes too late."""
        if self._flusher.own is None or not self._others_post:
            return False
        before = [message.rules.interval or 0.0 for messages in lanes.values() for message in messages[1:]]
        return sum(before) > deadline.left()

    def _post(self, chosen: OutboxMessage, webhook: Webhook, deadline: Deadline, *, wants_digest: bool) -> float:
        """Make one attempt to post the next message; return the seconds to wait before the next one."""
        attempt: Attempt | None = None
        with ExitStack() as locked:

            def begin(_: CreatedMessage | None) -> CreateMessageRequest | None:
                nonlocal attempt
                if locked.enter_context(self._outbox.lock(self._space)):
                    attempt = self._begin(chosen, wants_digest=wants_digest)
                else:
                    self._others_post = True
                return None if attempt is None else attempt.request

            policy = self._flusher.policy._replace(retries=0)
            to = Destination(chosen.webhook.profile, webhook, None, policy, chosen.rules.interval)
            delivery = Delivery(to, "", [begin], deadline, Progress())
            error = self._flusher.sender.deliver(delivery).progress.error
            if attempt is not None:
                self._end(attempt, delivery.progress)
                chosen = attempt.members[0]
            elif error is None:
                return _BUSY_SLEEP
        wait = self._judge(chosen, attempt, error)
        if error is not None and 0 < wait <= deadline.left():
            self._flusher.sender.on_event(delivery, RetryPlanned(error, wait))
        return wait

    def _begin(self, chosen: OutboxMessage, *, wants_digest: bool) -> Attempt | None:
        """Begin an attempt, and put its content on the disk. Others may have posted while this one waited."""
        index = self._outbox.index(self._space)
        lanes = model.pending_lanes(index, *self._own_lane)
        self._others_post |= chosen.id not in {message.id for messages in lanes.values() for message in messages}
        lane = self._choose(lanes, chosen.webhook.fingerprint)
        if not lane or (composed := self._compose(lane, index, wants_digest=wants_digest)) is None:
            return None
        members, request = composed
        begun = self._change(members, partial(model.start_attempt, members=members, request=request))
        return None if begun is None else model.Attempt(begun, request, lane[0].status.maybe_posted)

    def _compose(
        self, lane: Sequence[OutboxMessage], index: Sequence[OutboxMessage], *, wants_digest: bool
    ) -> tuple[Sequence[OutboxMessage], CreateMessageRequest] | None:
        """Return the next messages of a lane to post as one, and their request; None if the content is gone."""
        first = lane[0]
        lane = lane[:MOST_IN_DIGEST] if wants_digest and not first.goes_alone else lane[:1]
        contents = self._read(lane)
        whole, now = next(contents, None), self._outbox.now()
        if whole is None:  # Redis has thrown it away
            self._change([first], model.delete)
            return None
        if whole.request is None:
            error = f"it is damaged; `chatpost outbox drop {first.id}` takes it out"
            self._change(model.digest_of(index, first), partial(model.set_aside, error=error))
            return None
        if first.status.maybe_posted:
            return model.digest_of(index, first), whole.request
        if len(lane) > 1:
            request, count = digest(whole.request, chain([whole], contents), now)
            if count > 1:
                return lane[:count], request
        is_late = now - first.origin.written > LATE
        return [first], late(whole, whole.request, now) if is_late else whole.request

    def _read(self, messages: Sequence[OutboxMessage]) -> Iterator[OutboxMessage]:
        """Yield the messages with their contents, a few at a time, until one is not there any more."""
        for start in range(0, len(messages), _READ_AT_ONCE):
            ids = [message.id for message in messages[start : start + _READ_AT_ONCE]]
            found = self._outbox.read(self._space, ids)
            yield from (message for number, message in zip(ids, found, strict=False) if message.id == number)
            if len(found) < len(ids):
                return

    def _end(self, attempt: Attempt, progress: Progress) -> None:
        """Note the outcome of an attempt."""
        error, answered = progress.error, None
        step: Step
        if self._flusher.own is not None:
            self._flusher.own.on_attempt(attempt, progress)
        if error is None and progress.created is not None:
            answered = attempt.members[0].webhook.fingerprint
            step = partial(model.posted, attempt=attempt, created=progress.created, now=self._outbox.now())
        elif error is not None and _is_of_message(error, attempt.request):
            step = partial(model.rejected, attempt=attempt, error=str(error))
        else:
            step = partial(model.failed, attempt=attempt, error=str(error), maybe_posted=progress.maybe_posted)
        self._change(attempt.members, step, answered)

    def _judge(self, message: OutboxMessage, attempt: Attempt | None, error: DeliveryError | None) -> float:
        """Count the outcome of an attempt; return the seconds to wait before the next one."""
        count, failures, (fingerprint, _) = self._count, self._failures, message.lane
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
