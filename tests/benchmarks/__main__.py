"""`make bench`: how quick chatpost is, beside what else a user could take. Prints the tables of docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chatpost.emulator import Emulator
from tests.benchmarks.bench import Bench, Run
from tests.benchmarks.chat import Chat
from tests.benchmarks.fleet import fleet_outbox, many_machines, simulation
from tests.benchmarks.full import full_outbox
from tests.redis_servers import PortProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE = Path(__file__).parent
ROUNDS = 21
JOBS = 20
PROFILES = 30
LATENCY = 0.3
MESSAGES = 1000


def interleaved(contenders: Mapping[str, Callable[[], Run]]) -> dict[str, Run]:
    """Run each in turn, many times; return the medians. A run that fails ends the benchmark."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, contender in contenders.items():
            run = contender()
            if run.status != 0:
                sys.exit(f"{name} failed with status {run.status}")
            if number:  # the first warms the caches
                runs[name].append(run)
    return {
        name: Run(statistics.median(run.cpu for run in its), statistics.median(run.wall for run in its), 0)
        for name, its in runs.items()
    }


def running(bench: Bench, *command: str) -> Callable[[], Run]:
    """Return what runs a command to its end."""

    def run() -> Run:
        finish = bench.start(command)
        return finish()

    return run


def apprise_url(url: str) -> str:
    """Return the URL by which apprise posts JSON to a server of one's own; its Chat plugin knows only Google's."""
    return url.replace("https://", "jsons://")


def compare(title: str, runs: Mapping[str, Run], ours: str, targets: Mapping[str, float]) -> None:
    """Print a table of medians, with the ratio of our CPU time to each of the others', and what it may be."""
    print(f"\n{title}\n\n| | CPU | time | our CPU to its | target |\n|---|--:|--:|--:|--:|")
    for name, run in runs.items():
        ratio = f"{runs[ours].cpu / run.cpu:.2f}"
        target = f"{targets[name]:.2f}" if name in targets else ""
        print(f"| {name} | {run.cpu * 1000:.0f} ms | {run.wall * 1000:.0f} ms | {ratio} | {target} |")


def one_send(bench: Bench) -> None:
    """Benchmark (a): one message."""

    def posting(*command: str) -> Callable[[], Run]:
        def run() -> Run:
            url = bench.chat.url(bench.chat.new_space())
            words = [apprise_url(url) if word == "URL" else word for word in command]
            return bench.start(words, CHATPOST_URL=url)()

        return run

    contenders = {
        "`chatpost send`": posting("chatpost", "send", "Hello"),
        "bare click + requests": posting("python", str(HERE / "bare_send.py"), "Hello"),
        "Google's httplib2 quickstart": posting("python", str(HERE / "quickstart.py")),
        "apprise": posting("apprise", "-b", "Hello", "URL"),
    }
    runs = interleaved(contenders)
    targets = {"bare click + requests": 0.9, "Google's httplib2 quickstart": 1.0, "apprise": 0.5}
    compare("(a) One message", runs, "`chatpost send`", targets)


def help_page(bench: Bench) -> None:
    """Benchmark (b): the help page."""
    contenders = {
        "`chatpost --help`": running(bench, "chatpost", "--help"),
        "bare click": running(bench, "python", str(HERE / "bare_help.py"), "--help"),
    }
    compare("(b) The help page", interleaved(contenders), "`chatpost --help`", {"bare click": 1.35})


def many_jobs(bench: Bench) -> None:
    """Benchmark (c): many processes at once to a space that takes one request a second."""
    curl = ["curl", "--silent", "--fail", "--retry", "8", "--retry-all-errors", "--json", '{"text": "Hello"}', "URL"]
    contenders = {
        "`chatpost send`": ["chatpost", "send", "Hello"],
        "`curl --retry 8 --retry-all-errors`": curl,
        "apprise": ["apprise", "-b", "Hello", "APPRISE"],
    }
    print(f"\n(c) {JOBS} processes at once, one space, one request a second\n")
    print("| | delivered | requests | reported as sent | time |\n|---|--:|--:|--:|--:|")
    for name, command in contenders.items():
        space = bench.chat.new_space(quota=True)
        url = bench.chat.url(space)
        words = [{"URL": url, "APPRISE": apprise_url(url)}.get(word, word) for word in command]
        began = time.perf_counter()
        runs = [finish() for finish in [bench.start(words, CHATPOST_URL=url) for _ in range(JOBS)]]
        seconds = time.perf_counter() - began
        said = sum(run.status == 0 for run in runs)
        seen = bench.chat.spaces[space]
        print(f"| {name} | {seen.delivered} of {JOBS} | {seen.requests} | {said} | {seconds:.1f} s |")
    print(f"\nTarget for chatpost: {JOBS} of {JOBS}, {JOBS} requests, at most 24 s.")


def many_profiles(bench: Bench) -> None:
    """Benchmark (d): one message to many profiles at once, whose server takes its time."""

    def posting(count: int) -> Callable[[], Run]:
        def run() -> Run:
            names = [f"p{number}" for number in range(count)]
            urls = [bench.chat.url(bench.chat.new_space(latency=LATENCY)) for _ in names]
            profiles = bench.home / "profiles.toml"
            profiles.write_text(
                "".join(f'[profiles.{name}]\nurl = "{url}"\n' for name, url in zip(names, urls, strict=True))
            )
            profiles.chmod(0o600)
            options = [word for name in names for word in ("-p", name)]
            return bench.start(["chatpost", "send", "--config", str(profiles), *options, "Hello"])()

        return run

    many, one = f"{PROFILES} profiles", "one profile"
    runs = interleaved({many: posting(PROFILES), one: posting(1)})
    print(f"\n(d) Profiles at once, answered after {LATENCY * 1000:.0f} ms\n\n| | CPU | time |\n|---|--:|--:|")
    for name, run in runs.items():
        print(f"| {name} | {run.cpu * 1000:.0f} ms | {run.wall * 1000:.0f} ms |")
    print(f"\nRatio of the times: {runs[many].wall / runs[one].wall:.2f}; target: 2.50.")


def outbox(bench: Bench) -> None:
    """Benchmark (e): many messages that are kept at once, then flushed to a space that takes one request a second."""
    each = MESSAGES // JOBS
    script = 'for i in $(seq $0); do chatpost send --spool-first --quiet "$(printf "%-80s" "job $1 message $i")"; done'
    with Emulator() as chat:
        began = time.perf_counter()
        jobs = [bench.start(["sh", "-c", script, str(each), str(job)], CHATPOST_URL=chat.url()) for job in range(JOBS)]
        for finish in jobs:
            finish()
        keeping = time.perf_counter() - began
        began = time.perf_counter()
        status = bench.start(["chatpost", "outbox", "flush", "--digest"], CHATPOST_URL=chat.url())().status
        flushing = time.perf_counter() - began
        lines = [line for message in chat.space().messages for line in message.text.split("\n")]
        requests = len(chat.received)
    found = [tuple(map(int, re.findall(r"\d+", line))) for line in lines if line.startswith("job")]
    is_in_order = all(
        [message for job, message in found if job == number] == list(range(1, each + 1)) for number in range(JOBS)
    )
    print(f"\n(e) {MESSAGES:,} messages of 80 bytes, kept by {JOBS} processes, one space, one request a second\n")
    print("| kept in | a minute | posted in | requests | in the space | each once, in order |")
    print("|--:|--:|--:|--:|--:|---|")
    rate = MESSAGES / keeping * 60
    verdict = "yes" if is_in_order and status == 0 and len(found) == MESSAGES else "no"
    print(f"| {keeping:.0f} s | {rate:.0f} | {flushing:.1f} s | {requests} | {len(found)} | {verdict} |")
    print("\nTargets: at least 500 a minute, posted within 30 s.")


def one_send_of_a_fleet(bench: Bench) -> None:
    """Benchmark (h): one message, paced by a fleet's store or by the machine alone."""

    def posting(**store: str) -> Callable[[], Run]:
        def run() -> Run:
            return bench.start(
                ["chatpost", "send", "Hello"], CHATPOST_URL=bench.chat.url(bench.chat.new_space()), **store
            )()

        return run

    with PortProcess() as redis:
        contenders = {
            "with a store": posting(CHATPOST_STORE=f"redis://127.0.0.1:{redis.port}"),
            "without": posting(),
        }
        compare("(h) One message of a fleet", interleaved(contenders), "with a store", {"without": 1.6})


BENCHMARKS: dict[str, Callable[[Bench], None]] = {
    "a": one_send,
    "b": help_page,
    "c": many_jobs,
    "d": many_profiles,
    "e": outbox,
    "f": many_machines,
    "g": fleet_outbox,
    "h": one_send_of_a_fleet,
    "i": simulation,
    "j": full_outbox,
}


def main() -> None:
    """Run them all, or those whose letters are given."""
    asked = sys.argv[1:] or list(BENCHMARKS)
    for tool in ("curl", "openssl", "redis-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, medians of {ROUNDS} interleaved runs")
    with tempfile.TemporaryDirectory() as home, Chat(Path(home)) as chat:
        for letter in asked:
            BENCHMARKS[letter](Bench(chat, Path(home)))


if __name__ == "__main__":
    main()
