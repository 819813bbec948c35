"""`make soak`: post many messages from many processes through faults and kills, with the outbox; check for lost ones.

`python -m tests.soak 10000 SEED` posts 10,000 messages. SEED determines the faults and kills.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from pathlib import Path

from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from tests.conftest import Shell, answering

WORKERS = 40
FLUSHERS = 2
MEMBER_FAULTS = (
    answering(503),
    answering(500),
    answering(429),
    Fault(Kind.DROP_BEFORE),
    Fault(Kind.DROP_AFTER),
    Fault(Kind.TRUNCATE),
)


class Weather(deque[Fault]):
    """An endless supply of faults; a third of the requests fail."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.is_fair = False

    def __bool__(self) -> bool:
        return not self.is_fair

    def popleft(self) -> Fault:
        """Return the fault for the next request."""
        return self._chance.choice(MEMBER_FAULTS) if self._chance.random() < 1 / 3 else Fault(Kind.NONE)


class Worker(threading.Thread):
    """Sends messages one after another into one thread, and kills a tenth of the processes.

    ``kept`` lists texts that chatpost accepted, and ``uncertain`` those whose process was killed.
    """

    def __init__(self, shell: Shell, name: str, count: int, chance: random.Random) -> None:
        super().__init__()
        self._shell = shell
        self._count = count
        self._chance = chance
        self.name = name
        self.kept: list[str] = []
        self.uncertain: set[str] = set()
        self.refused: list[str] = []

    def run(self) -> None:
        """Send all messages."""
        for number in range(self._count):
            text = f"{self.name} {number}"
            command = ["chatpost", "send", "--spool", "--quiet", "--retries", "1", "-k", self.name, text]
            process = subprocess.Popen(command, env=self._shell.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if self._chance.random() < 0.1:
                threading.Timer(self._chance.uniform(0, 1), process.kill).start()
            _, err = process.communicate()
            if process.returncode == 0:
                self.kept.append(text)
            elif process.returncode < 0:
                self.uncertain.add(text)
            else:
                self.refused.append(f"{text}: {process.returncode} {err.decode()}")


def flush_until(is_over: threading.Event, shell: Shell) -> None:
    """Flush the outbox repeatedly."""
    while not is_over.is_set():
        subprocess.run(["chatpost", "outbox", "flush", "-q"], env=shell.env, stderr=subprocess.DEVNULL, check=False)
        is_over.wait(0.5)


def complaints(workers: list[Worker], texts: list[str]) -> list[str]:
    """Return the violations found: rejected, duplicated, lost and misordered messages."""
    wrong = [f"not kept: {line}" for worker in workers for line in worker.refused]
    count = Counter(texts)
    wrong += [f"posted {times} times: {text}" for text, times in count.items() if times > 1]
    wrong += [f"lost: {text}" for worker in workers for text in worker.kept if not count[text]]
    for worker in workers:
        numbers = [int(text.split()[1]) for text in texts if text.split()[0] == worker.name]
        if numbers != sorted(numbers):
            wrong.append(f"out of order in {worker.name}: {numbers}")
    return wrong


def main() -> int:
    """Return the exit status: 1 if a message was lost, duplicated, or posted out of order."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1_000_000)
    print(f"{total} messages by {WORKERS} processes at once, seed {seed}", flush=True)
    chance, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as home, Emulator(quota=0) as chat:
        shell = Shell(Path(home))
        shell.env["CHATPOST_URL"] = chat.url()
        weather = chat.faults = Weather(random.Random(chance.random()))
        workers = [
            Worker(shell, f"thread-{number}", total // WORKERS, random.Random(chance.random()))
            for number in range(WORKERS)
        ]
        is_over = threading.Event()
        flushers = [threading.Thread(target=flush_until, args=(is_over, shell)) for _ in range(FLUSHERS)]
        for thread in (*workers, *flushers):
            thread.start()
        for worker in workers:
            worker.join()
        is_over.set()
        for flusher in flushers:
            flusher.join()
        weather.is_fair = True
        last = subprocess.run(["chatpost", "outbox", "flush"], env=shell.env, check=False)
        texts, requests = [message.text for message in chat.space().messages], len(chat.received)
    wrong = complaints(workers, texts)
    if last.returncode:
        wrong.append(f"the last flush ended with {last.returncode}")
    kept, uncertain = sum(len(worker.kept) for worker in workers), sum(len(worker.uncertain) for worker in workers)
    print(f"{kept} taken, {uncertain} killed, {len(texts)} in the space by {requests} requests")
    print(f"{len(wrong)} wrong, in {time.monotonic() - began:.0f} s", *wrong[:50], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
