"""Benchmarks of machines that share a space through a real redis-server on loopback; larger fleets are simulated."""

from __future__ import annotations

import heapq
import subprocess
import time
from collections import Counter
from math import inf
from typing import TYPE_CHECKING

from chatpost.emulator import Emulator
from chatpost.pacing.queue import DEFAULT_INTERVAL, Queue
from tests.redis_servers import PortProcess

if TYPE_CHECKING:
    from tests.benchmarks.bench import Bench

MACHINES = 200
MESSAGES = 1000
SIMULATED = (1_000, 10_000)
CONNECTION_TIME = 0.05
"""Seconds between a sender's turn and its request in the simulation."""


def machine(bench: Bench, redis: PortProcess, name: int) -> dict[str, str]:
    """Return the variables that make a process one of a machine of its own."""
    home = bench.home / f"machine-{name}"
    home.mkdir(exist_ok=True)
    homes = {variable: str(home) for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return {**homes, "CHATPOST_STORE": f"redis://127.0.0.1:{redis.port}"}


def many_machines(bench: Bench) -> None:
    """Benchmark (f): many machines at once to a space that takes one request a second."""
    space = bench.chat.new_space(quota=True)
    url = bench.chat.url(space)
    with PortProcess() as redis:
        began, jobs = 0.0, []
        for number in range(MACHINES):
            command = ["chatpost", "send", "--deadline", "900", "--request-id", f"machine-{number}", "Hello"]
            jobs.append(bench.start(command, CHATPOST_URL=url, **machine(bench, redis, number)))
            began = began or time.perf_counter()
            while _tickets(redis) <= number:  # so that it is known who came first
                time.sleep(0.005)
        runs = [finish() for finish in jobs]
        seconds = time.perf_counter() - began
        asked = _calls(redis)
    seen = bench.chat.spaces[space]
    minimum = MACHINES - 1.0
    is_in_order = list(seen.ids) == [f"machine-{number}" for number in range(MACHINES)]
    print(f"\n(f) {MACHINES} machines at once, one space, one request a second, one Redis\n")
    print("| delivered | refused by Chat | failed | in order | time | to the minimum | requests to Redis a second |")
    print("|--:|--:|--:|---|--:|--:|--:|")
    failed, refused = sum(run.status != 0 for run in runs), seen.requests - len(seen.taken)
    order = "yes" if is_in_order else "no"
    rate = f"{seconds / minimum:.2f} | {asked / seconds:.0f}"
    print(f"| {seen.delivered} of {MACHINES} | {refused} | {failed} | {order} | {seconds:.0f} s | {rate} |")
    print("\nTargets: all delivered, none refused, in order, at most 1.10.")


def _tickets(redis: PortProcess) -> int:
    gates = redis.call("KEYS", "chatpost:*:gate")
    return int(float(redis.call("HGET", gates[0].decode(), "tickets"))) if gates else 0


def _calls(redis: PortProcess) -> int:
    stats = redis.call("INFO", "commandstats").decode()
    lines = [line for line in stats.splitlines() if line.startswith(("cmdstat_eval:", "cmdstat_evalsha:"))]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


def fleet_outbox(bench: Bench) -> None:
    """Benchmark (g): messages that many machines keep in Redis, and two watchers of which one is killed."""
    each = MESSAGES // MACHINES
    script = 'for i in $(seq $0); do chatpost send --spool-first --quiet "$(printf "%-80s" "job $1 message $i")"; done'
    with Emulator() as chat, PortProcess() as redis:
        shared = {"CHATPOST_URL": chat.url(), "CHATPOST_OUTBOX": "store"}
        began = time.perf_counter()
        jobs = [
            bench.start(["sh", "-c", script, str(each), str(number)], **machine(bench, redis, number), **shared)
            for number in range(MACHINES)
        ]
        for finish in jobs:
            finish()
        keeping = time.perf_counter() - began
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
    print(f"\n(g) {MESSAGES:,} messages kept in Redis by {MACHINES} machines, two watchers, one of them killed\n")
    print("| kept in | posted in | requests | in the space | each once |\n|--:|--:|--:|--:|---|")
    print(f"| {keeping:.0f} s | {flushing:.1f} s | {requests} | {sum(count.values())} | {verdict} |")
    print("\nTarget: posted within 30 s, each once.")


def simulate(machines: int) -> tuple[float, float, float, float]:
    """Let machines come within a second; return messages a second, the longest wait, and the requests to the store.

    These are a second, on average and in the busiest one.
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
    """Simulate fleets by the arithmetic of the queue, with a clock of its own."""
    print("\n(i) Simulated fleets that come at once, one space\n")
    print("| machines | messages a second | longest wait | requests to Redis a second | in the busiest second |")
    print("|--:|--:|--:|--:|--:|")
    for machines in SIMULATED:
        rate, longest, asked, busiest = simulate(machines)
        print(f"| {machines:,} | {rate:.2f} | {longest:,.0f} s | {asked:.0f} | {busiest:.0f} |", flush=True)
