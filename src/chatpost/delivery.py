"""A message to each of several webhooks: what was asked becomes what came of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatpost.retry import Attempt, Outcome, RetryPolicy, Timing, with_retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chatpost.client import ChatClient
    from chatpost.message import CreateMessageRequest
    from chatpost.webhook import Webhook


@dataclass(frozen=True)
class Delivery:
    """One message for one webhook. ``profile`` is None where the URL came from the environment."""

    profile: str | None
    webhook: Webhook
    request: CreateMessageRequest
    policy: RetryPolicy


@dataclass(frozen=True)
class Result:
    """A delivery and its outcome."""

    delivery: Delivery
    outcome: Outcome


def deliver(
    deliveries: Sequence[Delivery],
    client: ChatClient,
    timing: Timing,
    on_attempt: Callable[[Delivery, Attempt], None],
) -> Iterator[Result]:
    """Post all of them at the same time; yield their results in the order given, each as soon as it is there.

    ``on_attempt`` is called from the thread of its delivery. An exception that should never have been is raised
    after all that did come through has been yielded.
    """

    def run(delivery: Delivery) -> Result:
        outcome = with_retries(
            lambda seconds: client.create_message(delivery.webhook, delivery.request, seconds),
            delivery.policy,
            timing,
            lambda attempt: on_attempt(delivery, attempt),
        )
        return Result(delivery, outcome)

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
