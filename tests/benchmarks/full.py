"""Benchmark of a full outbox in SQLite and in a redis-server, with short and long messages."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, Message
from chatpost.chat.webhook import Webhook
from chatpost.emulator import Emulator
from chatpost.outbox.model import Origin, OutboxMessage, Rules, Status
from chatpost.outbox.redis import RedisOutbox
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import SqliteOutbox
from chatpost.outbox.store import MOST_MESSAGES
from chatpost.redis_client import RedisClient
from tests.redis_servers import PortProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.outbox.store import Outbox
    from tests.benchmarks.bench import Bench

SIZES = (100, 8000)
FLUSHED = 100
"""Bytes of the messages that are also flushed. Three long ones fill a digest, so flushing those would take an hour."""


class Timed(NamedTuple):
    """The seconds of a command, and the longest that another process waited for the outbox during it."""

    seconds: float
    longest_wait: float


def full_outbox(bench: Bench) -> None:
    """Benchmark (j): list, post and delete the largest number of messages that an outbox holds."""
    print(f"\n**(j) An outbox with {MOST_MESSAGES:,} messages, one space, one request per second**\n")
    columns = "outbox | bytes each | listed in | deleted in | longest delay of other processes"
    print(f"| {columns} | posted in | requests | each once |")
    print("|---|--:|--:|--:|--:|--:|--:|---|")
    with PortProcess() as redis:
        url = f"redis://127.0.0.1:{redis.port}"
        file = bench.home / "chatpost" / "outbox.sqlite3"
        stores: dict[str, tuple[Callable[[], Outbox], dict[str, str]]] = {
            "SQLite": (lambda: SqliteOutbox(file, time.time), {}),
            "Redis": (
                lambda: RedisOutbox(RedisClient(url, 30)),
                {"CHATPOST_REDIS_URL": url, "CHATPOST_OUTBOX": "redis"},
            ),
        }
        for name, (opened, variables) in stores.items():
            for size in SIZES:
                _measure(bench, f"{name} | {size:,}", opened, variables, size)
    print(
        "\nTargets: listed within 1 s, deleted within 2 s, no delay longer than 0.1 s, posted within 60 s, each once."
    )


def _measure(bench: Bench, name: str, opened: Callable[[], Outbox], variables: dict[str, str], size: int) -> None:
    with Emulator() as chat:
        variables = {**variables, "CHATPOST_URL": chat.url()}
        texts = _fill(opened(), chat.url(), size)
        listed = _timed(bench, opened, variables, "list")
        posted = " |  | "
        waits = []
        if size == FLUSHED:
            flushed = _timed(bench, opened, variables, "flush", "--digest")
            count = Counter(line for message in chat.space().messages for line in message.text.split("\n"))
            verdict = "yes" if all(count[text] == 1 for text in texts) else "no"
            posted = f"{flushed.seconds:.1f} s | {len(chat.received)} | {verdict}"
            waits.append(flushed.longest_wait)
            _fill(opened(), chat.url(), size)
        deleted = _timed(bench, opened, variables, "delete", "--all", "--yes")
        longest = max(*waits, listed.longest_wait, deleted.longest_wait)
        print(f"| {name} | {listed.seconds:.2f} s | {deleted.seconds:.2f} s | {longest * 1000:.0f} ms | {posted} |")


def _fill(outbox: Outbox, url: str, size: int) -> list[str]:
    """Spool distinct messages until the outbox is full; return their texts."""
    reference, texts = reference_to(Webhook.parse(url), None, None), []
    for start in range(0, MOST_MESSAGES, 100):
        texts += [f"{number:05} ".ljust(size, "x") for number in range(start, start + 100)]
        outbox.add(
            [
                OutboxMessage(
                    0,
                    Origin("host", time.time()),
                    reference,
                    thread="",
                    rules=Rules(1.1, 0.0),
                    status=Status(),
                    preview=text[:60],
                    size=size,
                    request=CreateMessageRequest(Message(text), str(uuid4())),
                )
                for text in texts[start:]
            ],
            3600,
        )
    return texts


def _timed(bench: Bench, opened: Callable[[], Outbox], variables: dict[str, str], *argv: str) -> Timed:
    """Run a command on the outbox, while a thread with a separate connection keeps reading it."""
    outbox, waits, is_over = opened(), [0.0], threading.Event()

    def wait() -> None:
        while not is_over.wait(0.005):
            began = time.perf_counter()
            outbox.cool_down("")
            waits.append(time.perf_counter() - began)

    other = threading.Thread(target=wait)
    other.start()
    run = bench.start(["chatpost", "outbox", *argv], **variables)()
    is_over.set()
    other.join()
    return Timed(run.wall, max(waits))
