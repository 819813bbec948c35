"""Backoff, and the sender that posts every message: its turn, its request, its attempts and its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message
from chatpost.chat.webhook import Webhook
from chatpost.delivery.model import Deadline, Delivery, Destination, Place, Progress, request_factories
from chatpost.delivery.retry import LONGEST_BACKOFF, RetryPolicy, backoff
from chatpost.delivery.sender import AttemptMade, Event, PartPosted, Paused, Sender, Timing, deliver_all
from chatpost.errors import BrokenAnswer, DeliveryError, NotAllowed, SpaceBusy, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from chatpost.delivery.model import RequestFactory

CREATED = CreatedMessage("spaces/A/messages/T.M", "spaces/A/threads/T")
REQUEST = CreateMessageRequest(Message("hello"), "an-id")
WEBHOOK = Webhook.parse("https://chat.googleapis.com/v1/spaces/A/messages?key=any-key&token=any-token")


class World:
    """A simulated clock, with scripted turns and outcomes of attempts."""

    def __init__(self, script: Iterable[DeliveryError | CreatedMessage], seconds: float = 0.0) -> None:
        self.now = 0.0
        self.script = list(script)
        self.seconds = seconds
        self.sent: list[CreateMessageRequest] = []
        self.allowed: list[float] = []
        self.waits: list[float] = []
        self.facts: list[Event] = []
        self.places: list[Place] = []
        self.asked: list[float] = []
        self.pushes: list[float | None] = []
        self.left: list[float] = []

    @property
    def attempts(self) -> list[AttemptMade]:
        return [fact for fact in self.facts if isinstance(fact, AttemptMade)]

    @property
    def pauses(self) -> list[float]:
        return [fact.seconds for fact in self.facts if isinstance(fact, Paused)]

    def poll(self, within: float) -> Place:
        self.asked.append(self.now)
        place = self.places.pop(0) if self.places else Place(0.0, 0.0)
        if place.wait > within:
            raise SpaceBusy(place.wait)
        return place

    def create_message(
        self, _webhook: Webhook, request: CreateMessageRequest, timeout: float, on_sending: Callable[[], None]
    ) -> CreatedMessage:
        self.sent.append(request)
        self.allowed.append(timeout)
        on_sending()
        self.now += min(self.seconds, timeout)
        step = self.script.pop(0)
        if isinstance(step, DeliveryError):
            raise step
        return step

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def sender(self) -> Sender:
        timing = Timing(clock=lambda: self.now, sleep=self.sleep, random=lambda: 0.0)
        return Sender(self, _Pacer(self), timing, lambda _, fact: self.facts.append(fact))

    def delivery(self, policy: RetryPolicy, factories: Sequence[RequestFactory] = (lambda _: REQUEST,)) -> Delivery:
        to = Destination(None, WEBHOOK, None, policy, 1.1)
        return Delivery(to, "an-id", factories, Deadline(policy.deadline, lambda: self.now), Progress())

    def run(self, policy: RetryPolicy) -> Progress:
        return self.sender().deliver(self.delivery(policy)).progress


class _Pacer:
    """A pacer that returns the world's turns."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.poll = world.poll
        self.close_for = world.pushes.append

    def turn(self, _space: str, _interval: float) -> _Pacer:
        return self

    def sent(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        self.world.left.append(self.world.now)


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_backoff_is_clamped(failures: int, jitter: float, retry_after: float | None) -> None:
    """A wait is at least the server's Retry-After, or else between half a second and the longest backoff."""
    wait = backoff(failures, jitter, retry_after)
    assert wait >= (retry_after or 0.5)
    assert wait <= max(LONGEST_BACKOFF, retry_after or 0)


def test_backoff_doubles() -> None:
    """Without jitter, the waits are 1, 2, 4, 8, 16 and 16 seconds. Jitter shortens each by up to half."""
    assert [backoff(n, 0.0) for n in range(1, 7)] == [1, 2, 4, 8, 16, 16]
    assert [backoff(n, 1.0) for n in range(1, 4)] == [0.5, 1, 2]


def test_posts_after_failures() -> None:
    """The sender retries a transient error until the message is posted, and reports each attempt and wait."""
    world = World([Unavailable("a"), BrokenAnswer("b"), CREATED])
    progress = world.run(RetryPolicy())
    assert (progress.attempts, progress.created, progress.error, progress.maybe_posted) == (3, CREATED, None, False)
    assert world.waits == [1, 2]
    assert [(a.number, str(a.error or ""), a.wait) for a in world.attempts] == [(1, "a", 1), (2, "b", 2), (3, "", None)]


def test_final_failure_is_not_retried() -> None:
    """The sender does not retry a permanent error."""
    world = World([NotAllowed("no", code=403)])
    progress = world.run(RetryPolicy())
    assert (progress.attempts, str(progress.error), progress.gave_up) == (1, "no", None)
    assert world.waits == []


@pytest.mark.parametrize(("retries", "said"), [(0, "no retries were allowed"), (2, "gave up after 3 attempts")])
def test_attempts_are_limited(retries: int, said: str) -> None:
    """The sender makes one attempt, plus at most the allowed number of retries."""
    world = World([Unavailable("a")] * 10)
    progress = world.run(RetryPolicy(retries=retries))
    assert (progress.attempts, progress.gave_up) == (retries + 1, said)


def test_never_waits_for_what_it_cannot_reach() -> None:
    """The sender does not start a wait that would end at or after the deadline."""
    world = World([Unavailable("a", retry_after=600.0)])
    progress = world.run(RetryPolicy(deadline=60))
    assert (progress.attempts, world.waits) == (1, [])
    assert progress.gave_up == "the next attempt, in 600.0 s, would be past the deadline of 60 s"


@given(st.floats(0.2, 100), st.floats(0.2, 100), st.floats(0, 50), st.integers(0, 20))
def test_keeps_the_deadline(deadline: float, timeout: float, seconds: float, retries: int) -> None:
    """Each attempt's timeout fits into the remaining time, and the sender finishes by the deadline."""
    world = World([Unavailable("a")] * 30, seconds)
    world.run(RetryPolicy(timeout, deadline, retries))
    assert world.now <= deadline
    assert all(0 < allowed <= min(timeout, deadline) for allowed in world.allowed)


def test_one_uncertain_attempt_makes_the_outcome_uncertain() -> None:
    """A message may have been posted if any attempt may have posted it, regardless of the last error."""
    world = World([Unavailable("a", maybe_posted=True), NotAllowed("no")])
    assert world.run(RetryPolicy()).maybe_posted
    assert not World([Unavailable("a"), NotAllowed("no")]).run(RetryPolicy()).maybe_posted


def test_waits_for_the_spaces_turn() -> None:
    """The sender waits for its turn in the space before every attempt, and reports the wait."""
    world = World([Unavailable("a"), CREATED])
    world.places = [Place(2.0, 3.0), Place(1.0, 1.0), Place(0, 0), Place(0.5, 0.5)]
    assert world.run(RetryPolicy()).created == CREATED
    assert world.waits == [2, 1, 1, 0.5]
    assert world.pauses == [3, 0.5]


def test_a_turn_that_is_put_off() -> None:
    """The sender reports a wait once, and again if the turn is postponed. It never waits past the deadline."""
    world = World([])
    world.places = [Place(2.0, 10.0), Place(2.0, 8.0), Place(2.0, 30.0), Place(2.0, 28.0), Place(2.0, 300.0)]
    progress = world.run(RetryPolicy())
    assert world.pauses == [10, 30]
    assert (progress.attempts, world.now) == (0, 8)
    assert isinstance(progress.error, SpaceBusy)


def test_leaves_the_queue() -> None:
    """The sender gives up its turn when its message is done, and during a backoff."""
    world = World([Unavailable("a"), CREATED])
    world.run(RetryPolicy())
    assert world.left == [0, 1]
    world = World([])
    world.places = [Place(2.0, 3.0), Place(2.0, 300.0)]
    world.run(RetryPolicy())
    assert world.left == [2]


def test_does_not_wait_for_a_turn_past_the_deadline() -> None:
    """If the space's turn is after the deadline, the sender gives up at once, with the error of any earlier attempt."""
    world = World([])
    world.places = [Place(2.0, 60.0)]
    progress = world.run(RetryPolicy())
    assert (progress.attempts, world.waits, world.attempts) == (0, [], [])
    assert f"{progress.error}; {progress.gave_up}" == (
        "the space is busy for another 60.0 s; that is past the deadline of 60 s: use a longer --deadline"
    )
    world = World([Unavailable("a", maybe_posted=True)])
    world.places = [Place(0, 0), Place(2.0, 60.0)]
    progress = world.run(RetryPolicy())
    assert (progress.attempts, progress.maybe_posted) == (1, True)
    assert f"{progress.error}; {progress.gave_up}" == "a; the next attempt would be past the deadline of 60 s"


def test_progress_can_be_read_on_the_way() -> None:
    """During an attempt, the message may be posted. After a definite failure, it is not."""
    world = World([Unavailable("a"), NotAllowed("b")])
    delivery = world.delivery(RetryPolicy())
    seen: list[tuple[int, bool]] = []

    class Watched:
        def create_message(
            self, webhook: Webhook, request: CreateMessageRequest, timeout: float, on_sending: Callable[[], None]
        ) -> CreatedMessage:
            seen.append((delivery.progress.attempts, delivery.progress.maybe_posted))
            try:
                return world.create_message(webhook, request, timeout, on_sending)
            finally:
                seen.append((delivery.progress.attempts, delivery.progress.maybe_posted))

    world.sender()._replace(client=Watched()).deliver(delivery)
    assert seen == [(1, False), (1, True), (2, False), (2, True)]
    assert not delivery.progress.maybe_posted


def test_a_draft_is_made_once_and_when_its_turn_has_come() -> None:
    """The sender builds a request after the wait for the turn, and sends the same request in every attempt."""
    world = World([Unavailable("a"), CREATED])
    world.places = [Place(2.0, 3.0), Place(1.0, 1.0)]
    drafted: list[float] = []

    def draft(first: CreatedMessage | None) -> CreateMessageRequest:
        assert first is None
        drafted.append(world.now)
        return REQUEST

    progress = world.sender().deliver(world.delivery(RetryPolicy(), [draft])).progress
    assert drafted == [3.0]
    assert world.sent == [REQUEST, REQUEST]
    assert progress.request is REQUEST


def test_parts_follow_the_first() -> None:
    """Each part has its own request ID and its own event. All parts but the first reply to the first."""
    world = World([CREATED, Unavailable("a"), CREATED._replace(name="spaces/A/messages/T.N")])
    factories = request_factories(REQUEST, [Message("one"), Message("two")])
    progress = world.sender().deliver(world.delivery(RetryPolicy(), factories)).progress
    first, *others = world.sent
    assert [request.request_id for request in world.sent] == ["an-id-1", "an-id-2", "an-id-2"]
    assert first.thread is None
    assert {request.thread and request.thread.name for request in others} == {CREATED.thread_name}
    assert (progress.posted, progress.created, progress.error) == (2, CREATED, None)
    assert [(a.part, a.number) for a in world.attempts] == [(1, 1), (2, 1), (2, 2)]
    assert [fact for fact in world.facts if isinstance(fact, PartPosted)] == [PartPosted(1, 2), PartPosted(2, 2)]


def test_a_part_that_fails_ends_the_delivery() -> None:
    """If a part fails, the sender does not post the parts after it."""
    world = World([CREATED, NotAllowed("no")])
    factories = request_factories(REQUEST, [Message("one"), Message("two"), Message("three")])
    progress = world.sender().deliver(world.delivery(RetryPolicy(), factories)).progress
    assert (progress.posted, str(progress.error), len(world.sent)) == (1, "no", 2)


@pytest.mark.parametrize(("retry_after", "pushed"), [(5.0, 5.0), (None, None)])
def test_a_429_closes_the_space(retry_after: float | None, pushed: float | None) -> None:
    """A 429 closes the space for all senders, for the time that Chat asks for. Other errors do not."""
    world = World([Unavailable("a", code=503, retry_after=1.0), Unavailable("b", code=429, retry_after=retry_after)])
    world.run(RetryPolicy(retries=1))
    assert world.pushes == [pushed]


def test_several_deliveries_come_back_in_order() -> None:
    """Deliveries run concurrently, and results keep their order. A bug in one is raised at the end."""
    world = World([CREATED] * 2)

    def broken(_: CreatedMessage | None) -> CreateMessageRequest:
        raise ZeroDivisionError

    deliveries = [
        world.delivery(RetryPolicy()),
        world.delivery(RetryPolicy(), [broken]),
        world.delivery(RetryPolicy()),
    ]
    ended = deliver_all(world.sender(), deliveries)
    assert [next(ended), next(ended)] == [deliveries[0], deliveries[2]]
    assert all(delivery.progress.created == CREATED for delivery in (deliveries[0], deliveries[2]))
    with pytest.raises(ZeroDivisionError):
        next(ended)
