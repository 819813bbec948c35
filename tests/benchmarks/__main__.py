"""`make bench`: measures chatpost and its alternatives, and prints the tables of docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


class Contender(NamedTuple):
    """A command that posts "Hello", and its variables.

    In both, URL stands for the webhook's URL, and APPRISE for the URL by which apprise posts to the same server.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str] = {}

    def start(self, bench: Bench, space: str) -> Callable[[], Run]:
        """Start the command for a space; return a function that waits for its end."""
        url = bench.chat.url(space)
        # apprise's plugin for Google Chat posts only to Google's host, so apprise posts JSON as to any other server.
        apprise_url = url.replace("https://", "jsons://")

        def fill(word: str) -> str:
            return url if word == "URL" else word.replace("APPRISE", apprise_url)

        variables = {name: fill(value) for name, value in self.variables.items()}
        return bench.start([fill(word) for word in self.command], CHATPOST_URL=url, **variables)


SPOOLING = "`chatpost send --spool-only`"
CHATPOST = Contender(("chatpost", "send", "Hello"))
APPRISE = {
    "apprise, defaults": Contender(("apprise", "-b", "Hello", "APPRISE")),
    # As its documentation describes: the URL in a variable, and the most retries that it allows. Its plugin for Google
    # Chat keeps 5.5 s between two requests; ten waits of that length fit into its limit of 60 s for a service.
    "apprise, `retry=10&wait=5.5`": Contender(
        ("apprise", "-b", "Hello"), {"APPRISE_URLS": "APPRISE&retry=10&wait=5.5&overflow=split"}
    ),
}


def interleaved(contenders: Mapping[str, Callable[[], Run]]) -> dict[str, Run]:
    """Run the contenders in turn, ROUNDS times; return the medians. A failed run ends the benchmark."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(ROUNDS + 1):
        for name, contender in contenders.items():
            run = contender()
            if run.status != 0:
                sys.exit(f"{name} failed with status {run.status}")
            if number:  # the first round warms the caches
                runs[name].append(run)
    return {
        name: Run(statistics.median(run.cpu for run in its), statistics.median(run.wall for run in its), 0)
        for name, its in runs.items()
    }


def running(bench: Bench, *command: str) -> Callable[[], Run]:
    """Return a function that runs a command to its end."""

    def run() -> Run:
        finish = bench.start(command)
        return finish()

    return run


def compare(title: str, runs: Mapping[str, Run], own: str, targets: Mapping[str, float]) -> None:
    """Print a table of medians, with the ratio of chatpost's CPU time to that of each row, and its target."""
    print(f"\n**{title}**\n\n| | CPU | time | CPU ratio | target |\n|---|--:|--:|--:|--:|")
    for name, run in runs.items():
        ratio = f"{runs[own].cpu / run.cpu:.2f}"
        target = f"{targets[name]:.2f}" if name in targets else ""
        print(f"| {name} | {run.cpu * 1000:.0f} ms | {run.wall * 1000:.0f} ms | {ratio} | {target} |")


def one_send(bench: Bench) -> None:
    """Benchmark (a): one message."""

    def posting(contender: Contender) -> Callable[[], Run]:
        def run() -> Run:
            return contender.start(bench, bench.chat.new_space())()

        return run

    contenders = {
        "`chatpost send`": CHATPOST,
        "bare click + requests": Contender(("python", str(HERE / "bare_send.py"), "Hello")),
        "Google's httplib2 quickstart": Contender(("python", str(HERE / "quickstart.py"))),
        **APPRISE,
    }
    runs = interleaved({name: posting(contender) for name, contender in contenders.items()})
    targets = {"bare click + requests": 0.9, "Google's httplib2 quickstart": 1.0, "apprise, defaults": 0.5}
    compare("(a) One message", runs, "`chatpost send`", targets)
    spooling = Contender(("chatpost", "send", "--spool-only", "--quiet", "Hello"))
    bare = "bare click + requests"
    runs = interleaved({SPOOLING: posting(spooling), bare: posting(contenders[bare])})
    compare("(a) One message for the outbox", runs, SPOOLING, {"bare click + requests": 0.5})
    bench.start(["chatpost", "outbox", "delete", "--all", "--yes"])()


def help_page(bench: Bench) -> None:
    """Benchmark (b): the help page."""
    contenders = {
        "`chatpost --help`": running(bench, "chatpost", "--help"),
        "bare click": running(bench, "python", str(HERE / "bare_help.py"), "--help"),
    }
    compare("(b) The help page", interleaved(contenders), "`chatpost --help`", {"bare click": 1.35})


def many_jobs(bench: Bench) -> None:
    """Benchmark (c): many processes at the same time, and a space that takes one request per second."""
    curl = ("curl", "--silent", "--fail", "--retry", "8", "--retry-all-errors", "--json", '{"text": "Hello"}', "URL")
    contenders = {"`chatpost send`": CHATPOST, "`curl --retry 8 --retry-all-errors`": Contender(curl), **APPRISE}
    print(f"\n**(c) {JOBS} processes at the same time, one space, one request per second**\n")
    print("| | delivered | requests | reported as posted | time |\n|---|--:|--:|--:|--:|")
    for name, contender in contenders.items():
        space = bench.chat.new_space(quota=True)
        began = time.perf_counter()
        runs = [finish() for finish in [contender.start(bench, space) for _ in range(JOBS)]]
        seconds = time.perf_counter() - began
        reported = sum(run.status == 0 for run in runs)
        seen = bench.chat.spaces[space]
        print(f"| {name} | {seen.delivered} of {JOBS} | {seen.requests} | {reported} | {seconds:.1f} s |")
    print(f"\nTarget for chatpost: {JOBS} of {JOBS}, {JOBS} requests, at most 24 s.")


def many_profiles(bench: Bench) -> None:
    """Benchmark (d): one message to many profiles at the same time, with slow responses."""

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
    print(f"\n**(d) Several profiles at the same time; each response takes {LATENCY * 1000:.0f} ms**\n")
    print("| | CPU | time |\n|---|--:|--:|")
    for name, run in runs.items():
        print(f"| {name} | {run.cpu * 1000:.0f} ms | {run.wall * 1000:.0f} ms |")
    print(f"\nRatio of the times: {runs[many].wall / runs[one].wall:.2f}; target: 2.50.")


def outbox(bench: Bench) -> None:
    """Benchmark (e): many processes spool messages; a flush then posts them to one space."""
    each = MESSAGES // JOBS
    script = 'for i in $(seq $0); do chatpost send --spool-only --quiet "$(printf "%-80s" "job $1 message $i")"; done'
    with Emulator() as chat:
        began = time.perf_counter()
        jobs = [bench.start(["sh", "-c", script, str(each), str(job)], CHATPOST_URL=chat.url()) for job in range(JOBS)]
        for finish in jobs:
            finish()
        spooling = time.perf_counter() - began
        began = time.perf_counter()
        status = bench.start(["chatpost", "outbox", "flush", "--digest"], CHATPOST_URL=chat.url())().status
        flushing = time.perf_counter() - began
        lines = [line for message in chat.space().messages for line in message.text.split("\n")]
        requests = len(chat.received)
    found = [tuple(map(int, re.findall(r"\d+", line))) for line in lines if line.startswith("job")]
    is_in_order = all(
        [message for job, message in found if job == number] == list(range(1, each + 1)) for number in range(JOBS)
    )
    print(
        f"\n**(e) {MESSAGES:,} messages of 80 bytes, spooled by {JOBS} processes, one space, one request per second**\n"
    )
    print("| spooled in | per minute | posted in | requests | in the space | each once, in order |")
    print("|--:|--:|--:|--:|--:|---|")
    rate = MESSAGES / spooling * 60
    verdict = "yes" if is_in_order and status == 0 and len(found) == MESSAGES else "no"
    print(f"| {spooling:.0f} s | {rate:.0f} | {flushing:.1f} s | {requests} | {len(found)} | {verdict} |")
    print("\nTargets: at least 1,000 per minute, posted within 30 s.")


def one_send_of_a_fleet(bench: Bench) -> None:
    """Benchmark (h): one message, paced by a fleet's Redis or by the machine alone."""

    def posting(**variables: str) -> Callable[[], Run]:
        def run() -> Run:
            return bench.start(
                ["chatpost", "send", "Hello"], CHATPOST_URL=bench.chat.url(bench.chat.new_space()), **variables
            )()

        return run

    with PortProcess() as redis:
        contenders = {
            "with Redis": posting(CHATPOST_REDIS_URL=f"redis://127.0.0.1:{redis.port}"),
            "without Redis": posting(),
        }
        compare("(h) One message of a fleet", interleaved(contenders), "with Redis", {"without Redis": 1.6})


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
    """Run all benchmarks, or those whose letters are the arguments."""
    asked = sys.argv[1:] or list(BENCHMARKS)
    for tool in ("curl", "openssl", "redis-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    versions = f"Python {platform.python_version()}, apprise {version('apprise')}"
    print(f"{versions}, {os.cpu_count()} CPUs, medians of {ROUNDS} interleaved runs")
    with tempfile.TemporaryDirectory() as home, Chat(Path(home)) as chat:
        for letter in asked:
            BENCHMARKS[letter](Bench(chat, Path(home)))


if __name__ == "__main__":
    main()
