"""The lifecycle of outbox messages: single transitions, random sequences of them, and both storage backends."""

from __future__ import annotations

import json
import time
from collections import Counter
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox import model
from chatpost.outbox.expiry import can_count, expire
from chatpost.outbox.model import BATCH, Attempt, Origin, OutboxMessage, Rules, Status, WebhookReference
from chatpost.outbox.redis import RedisOutbox
from chatpost.outbox.rows import from_rows, to_row
from chatpost.outbox.sqlite import SqliteOutbox
from chatpost.outbox.store import LONGEST_COOL_DOWN, MOST_MESSAGES, CoolDown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from chatpost.outbox.store import Outbox, Step
    from tests.redis_servers import RedisProcess

SPACE = "https://chat.googleapis.com/spaces/AAAA"
WEBHOOK = WebhookReference("ops", None, "fingerprint", SPACE)
OTHER = WebhookReference("other", None, "another", "https://chat.googleapis.com/spaces/BBBB")
CREATED = CreatedMessage("spaces/AAAA/messages/M.M", "spaces/AAAA/threads/M")


def message(text: str = "hello", thread: str = "", **status: Any) -> OutboxMessage:
    """Build a message. With an ``id``, it looks like a message from an outbox."""
    number = status.pop("id", 0)
    request = CreateMessageRequest(Message(text), str(uuid4()))
    origin = Origin("host", time.time())
    rules, known = Rules(1.1, time.time() + 60), Status(**status)
    return OutboxMessage(number, origin, WEBHOOK, thread, rules, known, text[:60], len(text), request)


def in_index(*ids: int, **status: Any) -> list[OutboxMessage]:
    return [message(f"message {number}", id=number, **status)._replace(request=None) for number in ids]


def begun(found: list[OutboxMessage]) -> Attempt:
    request = CreateMessageRequest(Message("all"), "id")
    maybe_posted = found[0].status.maybe_posted
    members = model.start_attempt(found, found, request)
    assert members is not None
    return Attempt(members, request, maybe_posted)


# Transitions ----------------------------------------------------------------------------------------------------


def test_an_attempt() -> None:
    """When an attempt starts, its messages are in flight together, and the first one holds the content."""
    found = in_index(1, 2)
    attempt = begun(found)
    assert [each.status.digest for each in attempt.members] == [1, 1]
    assert all(each.is_in_flight and each.status.attempts == 1 for each in attempt.members)
    assert [each.request for each in attempt.members] == [attempt.request, None]


def test_a_message_that_has_changed_is_not_sent() -> None:
    """An attempt does not start if another process has changed or deleted one of its messages."""
    found = in_index(1, 2)
    request = CreateMessageRequest(Message("all"), "id")
    assert model.start_attempt(begun(found).members, found, request) is None
    assert model.start_attempt(found[:1], found, request) is None


def test_posted() -> None:
    """A posted message is deleted, unless its sender is waiting for the answer. Then it stays until its release."""
    found = [*in_index(1), *in_index(2, is_awaited=True)]
    (left,) = model.posted(begun(found).members, begun(found), CREATED, 0.0)
    assert (left.id, left.status.state, left.status.created) == (2, "posted", CREATED)
    assert model.release([left], left.origin) == []
    assert model.release([left], Origin("another", 0.0)) == [left]


def test_an_answer_for_another_message() -> None:
    """The answer to an attempt does not change another message with the same ID."""
    attempt, other = begun(in_index(1)), in_index(1)
    assert model.posted(other, attempt, CREATED, 0.0) == other
    assert model.failed(other, attempt, "why", maybe_posted=False) is None


@pytest.mark.parametrize("maybe_posted", [True, False])
def test_failed(*, maybe_posted: bool) -> None:
    """After a failure, messages that were surely not posted leave the in-flight state.

    Others stay in flight together.
    """
    attempt = begun(in_index(1, 2))
    after = model.failed(attempt.members, attempt, "why", maybe_posted=maybe_posted)
    assert after is not None
    assert [each.is_in_flight for each in after] == [maybe_posted] * 2
    assert {each.status.error for each in after} == {"why"}


def test_a_second_attempt_knows_nothing_of_the_first() -> None:
    """A message that an earlier attempt may have posted stays in flight, even if a later attempt fails."""
    first = begun(in_index(1))
    second = begun(first.members)
    (after,) = model.failed(second.members, second, "why", maybe_posted=False) or []
    assert after.is_in_flight


@pytest.mark.parametrize(
    "end", [partial(model.failed, error="", maybe_posted=False), partial(model.rejected, error="")]
)
def test_a_process_that_wakes_up_late(end: Callable[..., Any]) -> None:
    """The failure of an attempt has no effect after another attempt has started."""
    first = begun(in_index(1))
    assert end(begun(first.members).members, attempt=first) is None


def test_a_rejected_digest() -> None:
    """If Chat rejects a digest, its messages are retried one by one, or all rejected if it may have been posted."""
    attempt = begun(in_index(1, 2))
    after = model.rejected(attempt.members, attempt, "why") or []
    assert [(each.is_pending, each.status.digest, each.goes_alone) for each in after] == [(True, None, True)] * 2
    again = begun(attempt.members)
    after = model.rejected(again.members, again, "why") or []
    assert [(each.status.state, each.status.digest) for each in after] == [("rejected", 1)] * 2


def test_requeue() -> None:
    """`requeue` makes messages pending.

    A digest that may be posted stays together, and pending messages keep their expiry.
    """
    found = [
        *in_index(1, state="rejected", digest=1, error="why"),
        *in_index(2, state="expired", digest=2, maybe_posted=True),
        *in_index(3),
    ]
    after = model.requeue(found, OTHER, 99.0)
    assert [(each.is_pending, each.status.digest, each.status.error) for each in after] == [
        (True, None, None),
        (True, 2, None),
        (True, None, None),
    ]
    assert [each.rules.expires_at for each in after][:2] == [99.0, 99.0]
    assert after[2].rules == found[2].rules
    assert {each.webhook for each in after} == {OTHER}


def test_a_digest_whose_first_message_is_lost() -> None:
    """If the first message of a digest is lost, the others are posted separately, in order."""
    attempt = begun(in_index(1, 2, 3))
    assert model.pending_lanes(attempt.members[1:], set()) == {("fingerprint", ""): attempt.members[1:]}


def test_batches_keep_digests_whole() -> None:
    """A batch has a limited size. The batches contain each message once, and never divide a digest."""
    digest = begun(in_index(*range(100, 400))).members
    index = [*in_index(*range(1, 100)), *digest, *in_index(*range(400, 2000))]
    index[50] = index[50]._replace(webhook=OTHER)
    found = list(model.batches(index, {message.id for message in index} - {100}))
    assert sorted(number for _, batch in found for number in batch) == list(range(1, 2000))
    assert all(len(batch) <= BATCH for _, batch in found)
    assert [set(range(100, 400)) <= set(batch) for _, batch in found].count(True) == 1
    assert [batch for space, batch in found if space == OTHER.space] == [[51]]


def late(found: list[OutboxMessage], since: float = 1.0) -> list[OutboxMessage]:
    return [each._replace(rules=each.rules._replace(expires_at=since)) for each in found]


def test_a_notice_counts_all() -> None:
    """One notice counts the messages that expire in several batches, until its first attempt."""
    notice, *_ = expire(late(in_index(1, 2)), 2.0)
    notice = notice._replace(id=9)
    assert (can_count(notice), notice.rules.expired) == (True, 2)
    notice, expired = expire([notice, *late(in_index(3))], 2.0)
    assert (notice.id, notice.rules.expired, expired.status.state) == (9, 3, "expired")
    assert notice.request is not None
    assert notice.request.message.text.startswith("⚠️ 3 messages have expired and will not be posted")
    tried = begun([notice]).members
    assert [each.rules.expired for each in expire([*tried, *late(in_index(4))], 2.0)] == [3, 1, 0]


def test_a_digest_expires_as_a_whole() -> None:
    """The messages of a digest expire when the first one does."""
    first, second = begun(in_index(1, 2)).members
    assert model.overdue([*late([first]), second], 2.0) == {1, 2}
    assert model.overdue([first, *late([second])], 2.0) == set()


def test_a_dead_sender() -> None:
    """A posted message is eventually deleted if its sender never reads the answer."""
    assert expire(late(in_index(1, state="posted", is_awaited=True)), 2.0) == []


def test_the_cool_down_grows() -> None:
    """The cool-down doubles with each failure, up to one hour."""
    cool_down, seconds = CoolDown(), []
    for _ in range(20):
        cool_down = cool_down.after_failure(0.0)
        seconds.append(cool_down.retry_at)
    assert seconds[:3] == [60, 120, 240]
    assert seconds[-1] == LONGEST_COOL_DOWN


# Rows -----------------------------------------------------------------------------------------------------------


def test_a_row() -> None:
    """A row round-trips: reading it returns the message that was written."""
    written = message("häh? 😀", "key k", attempts=2, digest=7, created=CREATED, state="posted", error="why")
    assert from_rows([(7, SPACE, to_row(written))]) == [written._replace(id=7, request=None)]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda values: st.lists(values, max_size=8)
)


@given(st.text() | JSON.map(json.dumps), st.integers(0, 6), JSON)
def test_damaged_rows(row: str, place: int, value: Any) -> None:
    """A row with any content is either loaded or returned as a damaged message."""
    (found,) = from_rows([(7, SPACE, row)])
    assert found.status.state == "damaged"
    values = json.loads(to_row(message()))
    values[place] = value
    (found,) = from_rows([(7, SPACE, json.dumps(values))])
    assert to_row(found)
    assert not found.is_pending or found.lane


# Storage --------------------------------------------------------------------------------------------------------


class MemoryOutbox:
    """A minimal outbox in memory, for speed."""

    def __init__(self) -> None:
        self.messages: dict[int, OutboxMessage] = {}
        self.contents: dict[tuple[int, bool], CreateMessageRequest] = {}
        self.last = 0

    def now(self) -> float:
        return time.time()

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        rules = [each.rules._replace(expires_at=self.now() + expire_after) for each in messages]
        new = [each._replace(rules=its) for each, its in zip(messages, rules, strict=True)]
        return [each.id for each in self.change(SPACE, [], lambda _: new) or []]

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        return [each for each in self.messages.values() if space is None or each.webhook.space == space]

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        found = [each for each in self.index(space) if each.id in ids]
        sent = [each._replace(request=self.contents.get((each.id, each.status.digest == each.id))) for each in found]
        return [each if each.request else each._replace(request=self.contents[each.id, False]) for each in sent]

    def change(
        self, space: str, ids: Sequence[int], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        assert answered is None
        found = [each for each in self.index(space) if each.id in ids]
        if (changed := step(found)) is None:
            return None
        for gone in found:
            del self.messages[gone.id]
        stored = []
        for each in changed:
            self.last += not each.id
            stored.append(each if each.id else each._replace(id=self.last))
            if each.request is not None:
                self.contents[stored[-1].id, each.status.digest == each.id] = each.request
        self.messages.update({each.id: each._replace(request=None) for each in stored})
        self.messages = dict(sorted(self.messages.items()))
        return stored

    def lock(self, space: str) -> AbstractContextManager[bool]:
        raise NotImplementedError

    def cool_down(self, fingerprint: str) -> CoolDown:
        raise NotImplementedError

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown) -> None:
        raise NotImplementedError

    def flushed_at(self) -> float:
        raise NotImplementedError

    def mark_flushed(self) -> None:
        raise NotImplementedError


Open: TypeAlias = "Callable[[], Outbox]"


@pytest.fixture(params=["a file", "Redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return a function that opens the outbox of each kind, as a separate process would."""
    if request.param == "Redis":
        client = request.getfixturevalue("redis").client()
        return lambda: RedisOutbox(client)
    return lambda: SqliteOutbox(tmp_path / "outbox.sqlite3", time.time)


@pytest.fixture
def outbox(opened: Open) -> Outbox:
    """Return an empty outbox of each kind."""
    return opened()


def test_what_is_stored(outbox: Outbox) -> None:
    """The outbox assigns ascending IDs and expires messages by its own clock. An index has no contents."""
    messages = [message("one"), message("two", "key k")]
    assert outbox.add(messages, 60) == [1, 2]
    index = outbox.index(SPACE)
    assert [(each.id, each.preview, each.request) for each in index] == [(1, "one", None), (2, "two", None)]
    assert index[0].rules.expires_at == pytest.approx(outbox.now() + 60, abs=20)
    assert [each.request for each in outbox.read(SPACE, [1, 2])] == [each.request for each in messages]
    assert (outbox.index(), outbox.index("elsewhere"), outbox.read("elsewhere", [1])) == (index, [], [])


def test_what_is_lost(outbox: Outbox) -> None:
    """`read` omits a deleted message, and raises an error for an ID that the outbox never assigned."""
    outbox.add([message()], 60)
    outbox.change(SPACE, [1], lambda _: [])
    assert outbox.read(SPACE, [1]) == []
    with pytest.raises(StorageError, match="it has lost its messages"):
        outbox.read(SPACE, [2])


def test_a_change(outbox: Outbox) -> None:
    """A step receives the current messages, and can change, move, delete and add some.

    It returns None to change none.
    """
    outbox.add([message("one"), message("two"), message("three")], 60)
    assert outbox.change(SPACE, [1, 2], lambda _: None) is None
    assert len(outbox.index()) == 3

    def step(found: list[OutboxMessage]) -> list[OutboxMessage]:
        assert [each.id for each in found] == [1, 2, 3]
        return [found[0].with_status(attempts=5), found[1]._replace(webhook=OTHER), message("four")]

    result = outbox.change(SPACE, [1, 2, 3], step) or []
    assert [each.id for each in result] == [1, 2, 4]
    assert [(each.id, each.status.attempts) for each in outbox.index(SPACE)] == [(1, 5), (4, 0)]
    (moved,) = outbox.read(OTHER.space, [2])
    assert moved.request is not None
    assert moved.request.message.text == "two"


def test_the_content_that_was_sent(outbox: Outbox) -> None:
    """During an attempt, the stored content is the request that was sent. After a failure it is the original again."""
    outbox.add([message("one"), message("two")], 60)
    found = outbox.index()
    attempt = Attempt(
        outbox.change(SPACE, [1, 2], partial(model.start_attempt, members=found, request=begun(found).request)) or [],
        begun(found).request,
        maybe_posted=False,
    )

    def texts() -> list[str | None]:
        return [each.request and each.request.message.text for each in outbox.read(SPACE, [1, 2])]

    assert texts() == ["all", "two"]
    outbox.change(SPACE, [1, 2], partial(model.failed, attempt=attempt, error="", maybe_posted=False))
    assert texts() == ["one", "two"]


def test_changes_at_once(outbox: Outbox) -> None:
    """Concurrent changes are all applied."""
    outbox.add([message()], 60)

    def count() -> None:
        for _ in range(10):
            outbox.change(SPACE, [1], lambda found: [found[0].with_status(attempts=found[0].status.attempts + 1)])

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.index()[0].status.attempts == 40


def test_messages_at_once(outbox: Outbox) -> None:
    """Messages that are added concurrently have distinct IDs."""
    threads = [Thread(target=outbox.add, args=([message(), message()], 60)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.origin for each in outbox.index()}) == len(outbox.index()) == 20


def test_a_lock(opened: Open) -> None:
    """Only one process at a time holds the lock of a space. Locks of other spaces are independent."""
    with opened().lock(SPACE) as first, opened().lock(SPACE) as second, opened().lock("another") as third:
        assert (first, second, third) == (True, False, True)
    with opened().lock(SPACE) as again:
        assert again


def test_the_cool_down_is_stored(outbox: Outbox) -> None:
    """Each webhook has its own cool-down, which ends when the webhook answers."""
    outbox.set_cool_down("one", CoolDown(3, 1234.5))
    assert (outbox.cool_down("one"), outbox.cool_down("two")) == (CoolDown(3, 1234.5), CoolDown())
    outbox.change(SPACE, [], lambda _: [], "one")
    assert outbox.cool_down("one") == CoolDown()


def test_the_limit(outbox: Outbox) -> None:
    """The outbox rejects messages above its limit, and accepts new ones after a deletion."""
    outbox.add([message() for _ in range(MOST_MESSAGES)], 60)
    with pytest.raises(OutboxFull, match="10,000 messages"):
        outbox.add([message()], 60)
    outbox.change(SPACE, [1], lambda _: [])
    outbox.add([message()], 60)
    assert len(outbox.index()) == MOST_MESSAGES


# Random sequences -----------------------------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Senders, flushes, kills, users and time act in random order. Chat accepts each request ID once.

    An attempt can still reach Chat after its process is killed or has lost its lease.
    """

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self.outbox = outbox
        self.chat: dict[str, list[str]] = {}  # the texts of each request, by request ID
        self.attempts: list[Attempt] = []
        self.received: list[bool] = []  # whether Chat has received each attempt
        self.spooled: dict[int, str] = {}
        self.threads: dict[int, str] = {}
        self.origins: dict[int, Origin] = {}
        self.deleted: set[int] = set()
        self.disturbed: set[int] = set()  # rejected, expired or retried: their order may change
        self.expired = 0
        self.notices: dict[int, int] = {}

    @rule(
        thread=st.sampled_from("aaab"), kind=st.sampled_from(["", "", "", "awaited", "alone"]), number=st.integers(1, 3)
    )
    def spool(self, thread: str, kind: str, number: int) -> None:
        """Add the messages of one sender."""
        new = [message(f"text {uuid4()}", f"key {thread}", is_awaited=kind == "awaited") for _ in range(number)]
        rules = new[0].rules._replace(is_alone=kind == "alone")
        new = [each._replace(rules=rules, origin=new[0].origin) for each in new]
        for number_given, each in zip(self.outbox.add(new, 60), new, strict=True):
            self.spooled[number_given], self.origins[number_given] = each.preview, each.origin
            self.threads[number_given] = thread

    @rule(place=st.integers(0, 2), wants_digest=st.sampled_from([True, True, False]))
    def begin(self, *, place: int, wants_digest: bool) -> None:
        """Start an attempt like a flush, possibly while another process has one in progress."""
        index = self.outbox.index(SPACE)
        lanes = list(model.pending_lanes(index, set()).values())
        if not lanes:
            return
        lane = lanes[min(place, len(lanes) - 1)]
        first = lane[0]
        (whole,) = self.outbox.read(SPACE, [first.id])
        assert whole.request is not None
        members, request = [first], whole.request
        if first.status.maybe_posted:
            members = model.digest_of(index, first)
        elif wants_digest and not first.goes_alone:
            members = lane[: next((place for place, each in enumerate(lane) if each.goes_alone), len(lane))]
            if len(members) > 1:
                text = "\n".join(each.preview for each in members)
                request = CreateMessageRequest(Message(text), str(uuid4()))
        ids = [each.id for each in members]
        result = self.outbox.change(SPACE, ids, partial(model.start_attempt, members=members, request=request))
        assert result is not None
        self.attempts.append(Attempt(result, request, first.status.maybe_posted))
        self.received.append(False)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def reach_chat(self, data: st.DataObject) -> None:
        """Deliver an attempt to Chat."""
        place = data.draw(st.integers(0, len(self.attempts) - 1))
        request = self.attempts[place].request
        self.received[place] = True
        self.chat.setdefault(request.request_id, request.message.text.split("\n"))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), is_rejected=st.sampled_from([True, False, False]))
    def end(self, *, data: st.DataObject, is_rejected: bool) -> None:
        """End an attempt. Only an attempt that Chat has not received is surely not posted."""
        place = data.draw(st.integers(0, len(self.attempts) - 1))
        attempt, received = self.attempts.pop(place), self.received.pop(place)
        ids = [each.id for each in attempt.members]
        if received and not is_rejected:
            step = partial(model.posted, attempt=attempt, created=CREATED, now=self.outbox.now())
            self.outbox.change(SPACE, ids, step)
        elif not received and is_rejected:
            self.outbox.change(SPACE, ids, partial(model.rejected, attempt=attempt, error="wrong"))
            self.disturbed.update(ids)
        else:
            self.outbox.change(SPACE, ids, partial(model.failed, attempt=attempt, error="", maybe_posted=received))

    @precondition(lambda self: self.spooled)
    @rule(data=st.data(), what=st.sampled_from(["expire", "retry", "retry", "delete", "release"]))
    def disturb(self, data: st.DataObject, what: str) -> None:
        """Let time or a user change messages."""
        index = self.outbox.index(SPACE)
        ids = [each.id for each in index if not each.rules.expired]
        chosen = data.draw(st.sets(st.sampled_from(ids), min_size=1, max_size=3)) if ids else set()
        getattr(self, what)(index, chosen)

    def expire(self, index: list[OutboxMessage], chosen: set[int]) -> None:
        """Expire messages, like a flush."""
        now = self.outbox.now()
        self.outbox.change(SPACE, sorted(chosen), partial(late, since=now - 1))
        due = model.overdue(self.outbox.index(SPACE), now)
        notices = {each.id for each in index if can_count(each)}
        for _, batch in model.batches(index, due):
            self.outbox.change(SPACE, sorted(notices.union(batch)), partial(expire, now=now))
        self.disturbed.update(due)
        self.expired += sum(each.is_pending and each.id in due for each in index)

    def retry(self, index: list[OutboxMessage], chosen: set[int]) -> None:
        """Retry messages, like a user."""
        for _, batch in model.batches(index, chosen):
            step = partial(model.requeue, webhook=None, expires_at=self.outbox.now() + 60)
            self.outbox.change(SPACE, batch, step)
            self.disturbed.update(batch)

    def delete(self, index: list[OutboxMessage], chosen: set[int]) -> None:
        """Delete messages, like a user."""
        for _, batch in model.batches(index, chosen):
            left = self.outbox.change(SPACE, batch, model.delete) or []
            self.deleted.update({*batch} - {each.id for each in left})
            self.disturbed.update(batch)

    def release(self, _: list[OutboxMessage], chosen: set[int]) -> None:
        """Release the messages of a sender that exits."""
        for origin in {self.origins[number] for number in chosen}:
            its = [number for number in self.spooled if self.origins[number] == origin]
            self.outbox.change(SPACE, its, partial(model.release, origin=origin))

    @invariant()
    def nothing_is_lost(self) -> None:
        """Check that each message is in the outbox or in the space, or was deleted by the user."""
        there = {each.id for each in self.outbox.index(SPACE)}
        posted = {text for texts in self.chat.values() for text in texts}
        for number, text in self.spooled.items():
            assert number in there or number in self.deleted or text in posted

    @invariant()
    def nothing_is_doubled(self) -> None:
        """Check that the space contains each message at most once."""
        count = Counter(text for texts in self.chat.values() for text in texts)
        assert all(count[text] <= 1 for text in self.spooled.values())

    @invariant()
    def threads_are_in_order(self) -> None:
        """Check that threads are in the order of IDs, except for rejected, expired, retried and deleted messages."""
        places = {text: number for number, text in self.spooled.items() if number not in self.disturbed}
        posted = [places[text] for texts in self.chat.values() for text in texts if text in places]
        for thread in "ab":
            its = [number for number in posted if self.threads[number] == thread]
            assert its == sorted(its)

    @invariant()
    def digests_stay_together(self) -> None:
        """Check that all messages of a digest are in the same state."""
        index = self.outbox.index(SPACE)
        for first in index:
            if first.status.digest == first.id:
                states = {(each.status.state, each.status.maybe_posted) for each in model.digest_of(index, first)}
                assert len(states - {("posted", True)}) <= 1
            if first.is_in_flight:
                assert first.status.maybe_posted
                assert any(each.id == first.status.digest for each in index)

    @invariant()
    def expired_messages_are_counted(self) -> None:
        """Check that notices count each expired message exactly once per expiry."""
        self.notices |= {each.id: each.rules.expired for each in self.outbox.index(SPACE) if each.rules.expired}
        assert sum(self.notices.values()) == self.expired


@pytest.mark.parametrize(("kind", "examples"), [("memory", 100), ("a file", 5), ("Redis", 5)])
def test_any_order(kind: str, examples: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In any sequence of events, no message is lost or duplicated, and threads are in order."""
    redis: RedisProcess | None = request.getfixturevalue("redis") if kind == "Redis" else None
    client = None if redis is None else redis.client()

    class Here(Life):
        def __init__(self) -> None:
            if kind == "memory":
                super().__init__(MemoryOutbox())
            elif redis is None or client is None:
                super().__init__(SqliteOutbox(tmp_path / f"{uuid4()}.sqlite3", time.time))
            else:
                redis.call("FLUSHALL")
                super().__init__(RedisOutbox(client))

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Here, settings=settings(max_examples=examples, stateful_step_count=50, suppress_health_check=checks)
    )
