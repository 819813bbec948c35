"""A text to each of several webhooks, in one message or in parts: what was asked becomes what came of it."""

from __future__ import annotations

import threading
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from chatpost.delivery.retry import Attempt, Outcome, PartPosted, Pause, Progress, RetryPolicy, Timing, with_retries
from chatpost.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chatpost.chat.client import ChatClient
    from chatpost.chat.message import CreatedMessage, CreateMessageRequest, Message
    from chatpost.chat.webhook import Webhook
    from chatpost.delivery.pacing import Pacer


class Delivery(NamedTuple):
    """One text for one webhook. ``profile`` is None where the URL came from the environment.

    ``parts`` are the messages that it makes: the one of ``request``, or several that are posted one after the other.
    ``interval`` is the seconds its space wants between two requests, None for as many as come. ``progress`` tells
    how far it has come while it is under way.
    """

    profile: str | None
    webhook: Webhook
    request: CreateMessageRequest
    parts: tuple[Message, ...]
    policy: RetryPolicy
    interval: float | None
    progress: Progress


class Result(NamedTuple):
    """A delivery and its outcome."""

    delivery: Delivery
    outcome: Outcome


class _Route:
    """Straight to Chat."""

    def __init__(self, client: ChatClient, webhook: Webhook, request: Callable[[], CreateMessageRequest]) -> None:
        """``request`` is asked for when its time has come, for each attempt."""
        self.client = client
        self.webhook = webhook
        self.request = request

    def reserve(self, _within: float) -> float:
        return 0.0

    def enter(self, _within: float) -> float:
        return 0.0

    def post(self, seconds: float, on_sending: Callable[[], None]) -> CreatedMessage:
        return self.client.create_message(self.webhook, self.request(), seconds, on_sending)


class _PacedRoute(_Route):
    """To Chat when it is the message's turn in the space."""

    def __init__(
        self,
        client: ChatClient,
        webhook: Webhook,
        request: Callable[[], CreateMessageRequest],
        pacer: Pacer,
        interval: float,
    ) -> None:
        super().__init__(client, webhook, request)
        self._space = f"{webhook.origin}/{webhook.space}"
        self.pacer = pacer
        self.interval = interval

    def reserve(self, within: float) -> float:
        return self.pacer.reserve(self._space, self.interval, within)

    def enter(self, within: float) -> float:
        return self.pacer.enter(self._space, self.interval, within)

    def post(self, seconds: float, on_sending: Callable[[], None]) -> CreatedMessage:
        def sending() -> None:
            on_sending()
            self.pacer.sent(self._space, self.interval)

        try:
            return super().post(seconds, sending)
        except Unavailable as failure:
            if failure.code == HTTPStatus.TOO_MANY_REQUESTS:
                self.pacer.push(self._space, failure.retry_after or self.interval)
            raise


def _route(delivery: Delivery, client: ChatClient, pacer: Pacer, request: Callable[[], CreateMessageRequest]) -> _Route:
    if delivery.interval is None:
        return _Route(client, delivery.webhook, request)
    return _PacedRoute(client, delivery.webhook, request, pacer, delivery.interval)


def _post_parts(
    delivery: Delivery,
    route: Callable[[Callable[[], CreateMessageRequest]], _Route],
    timing: Timing,
    started: float,
    tell: Callable[[Attempt | Pause | PartPosted], None],
) -> Result:
    progress, count = delivery.progress, len(delivery.parts)
    outcome = Outcome(0)
    for number in range(1, count + 1):
        request = partial(_request, delivery, number)
        outcome = with_retries(route(request), delivery.policy, timing, tell, progress, started)
        if outcome.error is not None:
            break
        if count > 1:
            tell(PartPosted(number, count))
    return Result(delivery, outcome._replace(attempts=progress.attempts, created=progress.created))


def _request(delivery: Delivery, number: int) -> CreateMessageRequest:
    if len(delivery.parts) == 1:
        return delivery.request
    return delivery.request.of_part(number, delivery.parts[number - 1], delivery.progress.created)


def deliver_when_free(
    delivery: Delivery,
    message: Callable[[], Message],
    client: ChatClient,
    pacer: Pacer,
    timing: Timing,
    tell: Callable[[Delivery, Attempt | Pause | PartPosted], None],
) -> Result:
    """Post one message that is made only once the space is free for it; its deadline begins now."""
    made = cache(lambda: delivery.request._replace(message=message()))
    route = _route(delivery, client, pacer, made)
    outcome = with_retries(route, delivery.policy, timing, partial(tell, delivery), delivery.progress, timing.clock())
    return Result(delivery, outcome)


def deliver(
    deliveries: Sequence[Delivery],
    client: ChatClient,
    pacer: Pacer,
    timing: Timing,
    started: float,
    tell: Callable[[Delivery, Attempt | Pause | PartPosted], None],
) -> Iterator[Result]:
    """Post all of them at the same time; yield their results in the order given, each as soon as it is there.

    ``started`` is when their deadlines began, by ``timing``'s clock. ``tell`` is called from the thread of its
    delivery. An exception that should never have been is raised after all that did come through has been yielded.
    """

    def run(delivery: Delivery) -> Result:
        route = partial(_route, delivery, client, pacer)
        return _post_parts(delivery, route, timing, started, lambda fact: tell(delivery, fact))

    if len(deliveries) == 1:
        yield run(deliveries[0])
        return
    results: dict[int, Result] = {}
    bugs: list[BaseException] = []

    def work(place: int) -> None:
        try:
            results[place] = run(deliveries[place])
        except BaseException as bug:  # noqa: BLE001 - raised again below, in the thread that asked
            bugs.append(bug)

    # Daemons, so that an interrupted command does not stay for its last attempt.
    workers = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(len(deliveries))]
    for worker in workers:
        worker.start()
    for place, worker in enumerate(workers):
        worker.join()
        if place in results:
            yield results[place]
    if bugs:
        raise bugs[0]
