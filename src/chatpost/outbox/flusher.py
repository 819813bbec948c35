"""Posts the messages of an outbox: in each thread in order, each once, with a backoff per webhook.

The final content of a message is stored when its turn has come, before the attempt. Afterwards it changes only if the
message was certainly not posted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, MessageReplyOption
from chatpost.chat.webhook import Webhook
from chatpost.delivery.model import Deadline, Delivery, Destination, Progress
from chatpost.delivery.retry import RetryPolicy, backoff
from chatpost.delivery.sender import MessagesPosted, RetryPlanned, Sender
from chatpost.errors import ChatpostError, ConfigurationError, DeliveryError, InvalidMessage, Refused, SpaceBusy
from chatpost.outbox import model
from chatpost.outbox.digest import LATE, digest, late
from chatpost.outbox.expiry import can_count, expire
from chatpost.outbox.model import Attempt, OutboxMessage, WebhookReference
from chatpost.outbox.store import Outbox, Step

MOST_IN_DIGEST = 1000  # maximum number of messages in a digest

_READ_AT_ONCE = 100  # messages, with their contents
_BUSY_SLEEP = 0.5  # seconds to wait for the attempt of another flush
_MOST_LANE_FAILURES = 3  # in a row, while other lanes are posted

_Lane: TypeAlias = tuple[str, str]


class OwnMessages(NamedTuple):
    """The messages of one send, up to the id ``last``. They are posted behind the earlier messages of their lane.

    ``deadline`` is that of the send. ``on_attempt`` is called after each attempt, before the outbox is changed.
    """

    lane: _Lane
    last: int
    deadline: Deadline
    on_attempt: Callable[[Attempt, Progress], None]


class FlushResult(NamedTuple):
    """The last errors of messages, by ID, and of whole webhooks, by fingerprint.

    ``left`` are the messages of the space after the flush, without their contents; ``posted`` is the number of messages
    that this flush posted, those of digests included, notices not.
    """

    of_messages: dict[int, ChatpostError]
    of_webhooks: dict[str, DeliveryError]
    left: list[OutboxMessage]
    posted: int


class Flusher(NamedTuple):
    """Posts the pending messages of an outbox.

    ``resolve`` returns a message's webhook, and whether its profile asks for digests; it raises `ConfigurationError` if
    the webhook no longer exists. ``digest``: make digests for all profiles. ``own`` limits the flush to the messages of
    one send; without it, each message has the deadline of ``policy``. ``on_posted`` is called after each
    post.
    """

    outbox: Outbox
    sender: Sender
    policy: RetryPolicy
    resolve: Callable[[OutboxMessage], tuple[Webhook, bool]]
    digest: bool = False
    own: OwnMessages | None = None
    on_posted: Callable[[Delivery, MessagesPosted], None] | None = None

    def flush(self, space: str, index: list[OutboxMessage]) -> FlushResult:
        """Post the pending messages of a space, until none is left or no attempt makes sense now.

        ``index`` are the messages of the space as just read, without their contents.
        """
        return _SpaceFlush(self, space).run(index)


class _SpaceFlush:
    def __init__(self, flusher: Flusher, space: str) -> None:
        self._flusher = flusher
        self._outbox = flusher.outbox
        self._space = space
        self._own_lane = () if flusher.own is None else (flusher.own.lane, flusher.own.last)
        self._result = FlushResult({}, {}, [], 0)
        self._posted = self._pending = 0
        self._given_up: set[str] = set()  # fingerprints of webhooks to which this flush posts no more
        self._failing: set[str] = set()  # fingerprints of webhooks that get a cool-down
        self._unresolved: set[WebhookReference] = set()
        self._count: Counter[str | _Lane] = Counter()  # failures in a row, by fingerprint and by lane
        self._others_post = False

    def run(self, index: list[OutboxMessage]) -> FlushResult:
        deadline = self._deadline()
        index = self._expire(index)
        self._pending = sum(message.status.state == "pending" for message in index)
        while lanes := model.pending_lanes(index, self._unresolved, *self._own_lane):
            lane = self._choose(lanes)
            if lane is None or self._is_hopeless(lanes, deadline):
                break
            chosen = lanes[lane][0]
            try:
                webhook, wants_digest = self._flusher.resolve(chosen)
            except ConfigurationError as error:
                self._result.of_messages[chosen.id] = error
                self._unresolved.add(chosen.webhook)
                self._change([chosen], partial(model.note_error, error=str(error)))
            else:
                wait = self._post(chosen, lane, webhook, deadline, wants_digest=wants_digest or self._flusher.digest)
                if not wait:
                    deadline = self._deadline()
                elif wait > deadline.left():
                    self._given_up.add(lane[0])
                else:
                    self._flusher.sender.timing.sleep(wait)
            index = self._outbox.index(self._space)
        for fingerprint in self._failing:
            cool_down = self._outbox.cool_down(fingerprint).after_failure(self._outbox.now())
            self._outbox.set_cool_down(fingerprint, cool_down)
        return self._result._replace(left=index, posted=self._posted)

    def _deadline(self) -> Deadline:
        if self._flusher.own is not None:
            return self._flusher.own.deadline
        return Deadline(self._flusher.policy.deadline, self._flusher.sender.timing.clock)

    def _expire(self, index: list[OutboxMessage]) -> list[OutboxMessage]:
        """Expire messages in batches; return the rest. Stop if another process has the lock: it may be posting one."""
        now = self._outbox.now()
        while model.overdue(index, now):
            with self._outbox.lock(self._space) as is_locked:
                if not is_locked:
                    break
                index = self._outbox.index(self._space)
                # The notice that one batch adds also counts the next batch.
                notices = {message.id for message in index if can_count(message)}
                for _, batch in islice(model.batches(index, model.overdue(index, now)), 1):
                    self._outbox.change(self._space, sorted(notices.union(batch)), partial(expire, now=now))
            index = self._outbox.index(self._space)
        return index

    def _change(
        self, messages: Sequence[OutboxMessage], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        return self._outbox.change(self._space, [message.id for message in messages], step, answered)

    def _choose(self, lanes: dict[_Lane, list[OutboxMessage]], fingerprint: str | None = None) -> _Lane | None:
        """Return the lane with the fewest failures, of this webhook if one is given."""
        tried = [lane for lane in lanes if lane[0] not in self._given_up and fingerprint in {None, lane[0]}]
        best = min(tried, key=lambda lane: (self._count[lane], lanes[lane][0].id), default=None)
        # Stop at lanes that keep failing while others are posted.
        return None if best and self._count[best] >= _MOST_LANE_FAILURES and len(tried) > 1 else best

    def _is_hopeless(self, lanes: dict[_Lane, list[OutboxMessage]], deadline: Deadline) -> bool:
        """Return whether another process flushes the space and reaches a send's messages after its deadline."""
        if self._flusher.own is None or not self._others_post:
            return False
        before = [message.rules.interval or 0.0 for messages in lanes.values() for message in messages[1:]]
        return sum(before) > deadline.left()

    def _post(
        self, chosen: OutboxMessage, lane: _Lane, webhook: Webhook, deadline: Deadline, *, wants_digest: bool
    ) -> float:
        """Make one attempt to post the next message; return the seconds to wait before the next attempt."""
        attempt: Attempt | None = None
        with ExitStack() as locked:

            def begin(_: CreatedMessage | None) -> CreateMessageRequest | None:
                nonlocal attempt, lane
                if not locked.enter_context(self._outbox.lock(self._space)):
                    self._others_post = True
                    return None
                # Another process may have posted during the wait for the turn.
                index = self._outbox.index(self._space)
                lanes = model.pending_lanes(index, self._unresolved, *self._own_lane)
                self._others_post |= chosen.id not in {message.id for its in lanes.values() for message in its}
                best = self._choose(lanes, lane[0])
                if not best or not (composed := self._compose(lanes[best], index, wants_digest=wants_digest)):
                    return None
                lane, (members, request) = best, composed
                if begun := self._change(members, partial(model.start_attempt, members=members, request=request)):
                    attempt = Attempt(begun, request, members[0].status.maybe_posted)
                return attempt and request

            policy = self._flusher.policy._replace(retries=0)
            to = Destination(chosen.webhook.profile, webhook, None, policy, chosen.rules.interval)
            delivery = Delivery(to, "", [begin], deadline, Progress())
            error = self._flusher.sender.deliver(delivery).progress.error
            if attempt is not None:
                self._end(attempt, delivery.progress)
                if error is None and self._flusher.on_posted is not None:
                    ids = [message.id for message in attempt.members]
                    self._flusher.on_posted(delivery, MessagesPosted(ids, self._posted, self._pending))
                chosen = attempt.members[0]
            elif error is None:
                return _BUSY_SLEEP
        wait = self._judge(chosen.id, lane, attempt, error)
        if error is not None and 0 < wait <= deadline.left():
            self._flusher.sender.on_event(delivery, RetryPlanned(error, wait))
        return wait

    def _compose(
        self, lane: Sequence[OutboxMessage], index: Sequence[OutboxMessage], *, wants_digest: bool
    ) -> tuple[Sequence[OutboxMessage], CreateMessageRequest] | None:
        """Return the next messages of a lane to post as one, and their request; None if the content is gone."""
        first = lane[0]
        lane = lane[:MOST_IN_DIGEST] if wants_digest and not first.goes_alone else lane[:1]
        contents = self._read(lane)
        whole, now = next(contents, None), self._outbox.now()
        if whole is None:  # Redis has evicted the content
            self._change([first], model.delete)
            return None
        if whole.request is None:
            error = f"it is damaged: delete it with `chatpost outbox delete {first.id}`"
            self._change(model.digest_of(index, first), partial(model.set_aside, error=error))
            return None
        if first.status.maybe_posted:
            return model.digest_of(index, first), whole.request
        if len(lane) > 1 and (joined := digest(whole.request, chain([whole], contents), now)):
            request, count = joined
            return lane[:count], request
        is_late = now - first.origin.written > LATE
        return [first], late(whole, whole.request, now) if is_late else whole.request

    def _read(self, messages: Sequence[OutboxMessage]) -> Iterator[OutboxMessage]:
        """Yield the messages with their contents, up to the first that is gone; reads a few at a time."""
        for start in range(0, len(messages), _READ_AT_ONCE):
            ids = [message.id for message in messages[start : start + _READ_AT_ONCE]]
            found = self._outbox.read(self._space, ids)
            yield from (message for number, message in zip(ids, found, strict=False) if message.id == number)
            if len(found) < len(ids):
                return

    def _end(self, attempt: Attempt, progress: Progress) -> None:
        """Store the outcome of an attempt."""
        error, answered = progress.error, None
        step: Step
        if self._flusher.own is not None:
            self._flusher.own.on_attempt(attempt, progress)
        if error is None and progress.created is not None:
            answered = attempt.members[0].webhook.fingerprint
            self._posted += sum(not message.rules.expired for message in attempt.members)
            step = partial(model.posted, attempt=attempt, created=progress.created, now=self._outbox.now())
        elif error is not None and _is_of_message(error, attempt.request):
            step = partial(model.rejected, attempt=attempt, error=str(error))
        else:
            step = partial(model.failed, attempt=attempt, error=str(error), maybe_posted=progress.maybe_posted)
        self._change(attempt.members, step, answered)

    def _judge(self, number: int, lane: _Lane, attempt: Attempt | None, error: DeliveryError | None) -> float:
        """Count the outcome of an attempt to post the message with this id; return the seconds until the next one."""
        count, failures, fingerprint = self._count, self._result, lane[0]
        if error is None:
            count[fingerprint] = count[lane] = 0
            self._failing.discard(fingerprint)
            failures.of_messages.pop(number, None)
            failures.of_webhooks.pop(fingerprint, None)
            return 0.0
        failures.of_messages[number] = error
        if attempt is not None and _is_of_message(error, attempt.request):
            return 0.0
        failures.of_webhooks[fingerprint] = error
        is_busy = isinstance(error, SpaceBusy)
        if error.is_transient and not is_busy and error.code != HTTPStatus.TOO_MANY_REQUESTS:
            self._failing.add(fingerprint)
        count[fingerprint] += 1
        count[lane] += 1
        if not error.is_transient or is_busy or count[fingerprint] > self._flusher.policy.retries:
            self._given_up.add(fingerprint)
            return 0.0
        return backoff(count[fingerprint], self._flusher.sender.timing.random(), error.retry_after)


def _is_of_message(error: DeliveryError, request: CreateMessageRequest) -> bool:
    """Return whether the error concerns this message only, so that others may still be posted."""
    is_missing_thread = error.code == HTTPStatus.NOT_FOUND and request.reply_option is MessageReplyOption.OR_FAIL
    is_taken_id = error.code == HTTPStatus.CONFLICT
    return isinstance(error, InvalidMessage) or (isinstance(error, Refused) and (is_missing_thread or is_taken_id))
