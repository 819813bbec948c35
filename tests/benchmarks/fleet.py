"""Benchmarks of a fleet that posts to one space, with a redis-server on loopback. Larger fleets are simulated."""

from __future__ import annotations

import heapq
import subprocess
import time
from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from chatpost.delivery.model import DEFAULT_INTERVAL
from chatpost.emulator import Emulator
from chatpost.pacing.queue import Queue
from tests.redis_servers import PortProcess

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench

MACHINES = 200
MESSAGES = 1000
SIMULATED = (1_000, 10_000)
CONNECTION_TIME = 0.05
"""Seconds between a sender's turn and its request in the simulation."""


def machine(bench: Bench, redis: PortProcess, name: int) -> dict[str, str]:
    """Return the variables by which a process belongs to a separate machine of the fleet."""
    home = bench.home / f"machine-{name}"
    home.mkdir(exist_ok=True)
    homes = {variable: str(home) for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return {**homes, "CHATPOST_REDIS_URL": f"redis://127.0.0.1:{redis.port}"}


def many_machines(bench: Bench) -> None:
    """Benchmark (f): many machines at the same time, and a space that takes one request per second."""
    space = bench.chat.new_space(quota=True)
    url = bench.chat.url(space)
    with PortProcess() as redis:
        began, jobs = 0.0, []
        for number in range(MACHINES):
            command = ["chatpost", "send", "--deadline", "15m", "--request-id", f"machine-{number}", "Hello"]
            jobs.append(bench.start(command, CHATPOST_URL=url, **machine(bench, redis, number)))
            began = began or time.perf_counter()
            while _tickets(redis) <= number:  # until it has its place in line, so that the order is known
                time.sleep(0.005)
        runs = [finish() for finish in jobs]
        seconds = time.perf_counter() - began
        asked = _calls(redis)
    seen = bench.chat.spaces[space]
    minimum = MACHINES - 1.0
    is_in_order = list(seen.ids) == [f"machine-{number}" for number in range(MACHINES)]
    print(f"\n**(f) {MACHINES} machines at the same time, one space, one request per second, one Redis**\n")
    columns = "delivered | rejected by Chat | failed | in order | time | ratio to the minimum"
    print(f"| {columns} | requests to Redis per second |")
    print("|--:|--:|--:|---|--:|--:|--:|")
    failed, rejected = sum(run.status != 0 for run in runs), seen.requests - len(seen.taken)
    order = "yes" if is_in_order else "no"
    rate = f"{seconds / minimum:.2f} | {asked / seconds:.0f}"
    print(f"| {seen.delivered} of {MACHINES} | {rejected} | {failed} | {order} | {seconds:.0f} s | {rate} |")
    print("\nTargets: all delivered, none rejected, in order, at most 1.10.")


def _tickets(redis: PortProcess) -> int:
    gates = redis.call("KEYS", "chatpost:*:gate")
    return int(float(redis.call("HGET", gates[0].decode(), "tickets"))) if gates else 0


def _calls(redis: PortProcess) -> int:
    stats = redis.call("INFO", "commandstats").decode()
    lines = [line for line in stats.splitlines() if line.startswith(("cmdstat_eval:", "cmdstat_evalsha:"))]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


def fleet_outbox(bench: Bench) -> None:
    """Benchmark (g): many machines spool messages in Redis; two watchers post them, and one is killed."""
    each = MESSAGES // MACHINES
    script = 'for i in $(seq $0); do chatpost send --spool-only --quiet "$(printf "%-80s" "job $1 message $i")"; done'
    with Emulator() as chat, PortProcess() as redis:
        shared = {"CHATPOST_URL": chat.url(), "CHATPOST_OUTBOX": "redis"}
        began = time.perf_counter()
        jobs = [
            bench.start(["sh", "-c", script, str(each), str(number)], **machine(bench, redis, number), **shared)
            for number in range(MACHINES)
        ]
        for finish in jobs:
            finish()
        spooling = time.perf_counter() - began
        began = time.perf_counter()
        command = ["chatpost", "outbox", "flush", "--watch", "--digest"]
        watchers = [
            subprocess.Popen(
                command,
                env=bench.environment(command, **machine(bench, redis, number), **shared),
                stderr=subprocess.DEVNULL,
            )
            for number in range(2)
        ]
        while not chat.space().messages:
            time.sleep(0.01)
        watchers[0].kill()
        while redis.call("HGET", "chatpost:{outbox}:totals", "count") != b"0":
            time.sleep(0.01)
        flushing = time.perf_counter() - began
        for watcher in watchers:
            watcher.kill()
            watcher.wait()
        lines = [line.strip() for message in chat.space().messages for line in message.text.split("\n")]
        requests = len(chat.received)
    count = Counter(line for line in lines if line.startswith("job"))
    verdict = "yes" if len(count) == MESSAGES and set(count.values()) == {1} else "no"
    print(
        f"\n**(g) {MESSAGES:,} messages spooled in Redis by {MACHINES} machines, two watchers, one of them killed**\n"
    )
    print("| spooled in | posted in | requests | in the space | each once |\n|--:|--:|--:|--:|---|")
    print(f"| {spooling:.0f} s | {flushing:.1f} s | {requests} | {sum(count.values())} | {verdict} |")
    print("\nTarget: posted within 30 s, each once.")


def simulate(machines: int) -> tuple[float, float, float, float]:
    """Simulate machines that all arrive within one second.

    Return the messages per second, the longest wait in seconds, and the requests to Redis per second: on average, and
    in the busiest second.
    """
    queue = Queue()
    tickets = [0] * machines
    events = [(number / machines, number, "poll") for number in range(machines)]
    heapq.heapify(events)
    asked: Counter[int] = Counter()
    last_sent = longest = 0.0
    while events:
        now, number, step = heapq.heappop(events)
        asked[int(now)] += 1
        queue, tickets[number], place = queue.step(step, now, tickets[number], DEFAULT_INTERVAL, inf)
        if step == "sent":
            last_sent, longest = now, max(longest, now - number / machines)
            continue
        next_step = (now + place.sleep, number, "poll") if place.sleep else (now + CONNECTION_TIME, number, "sent")
        heapq.heappush(events, next_step)
    return machines / last_sent, longest, sum(asked.values()) / last_sent, max(asked.values())


def simulation(_: Bench) -> None:
    """Benchmark (i): the arithmetic of the pacing queue, on a simulated clock."""
    print("\n**(i) Simulated fleets that post at the same time, one space**\n")
    print("| machines | messages per second | longest wait | requests to Redis per second | in the busiest second |")
    print("|--:|--:|--:|--:|--:|")
    for machines in SIMULATED:
        rate, longest, asked, busiest = simulate(machines)
        print(f"| {machines:,} | {rate:.2f} | {longest:,.0f} s | {asked:.0f} | {busiest:.0f} |", flush=True)
