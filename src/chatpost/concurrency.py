"""Waits for what may hang, for so long and no longer."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


class SelectableEvent:
    """An event that `select` can wait for, too. A signal's handler can set it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.is_set = False

    def set(self) -> None:
        """Make it happen, once and for all."""
        self.is_set = True
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def fileno(self) -> int:
        """Return the file descriptor that is readable once the event has happened."""
        return self._read


def start_without_signals(thread: threading.Thread) -> None:
    """Start a thread that signals leave alone: the main thread handles them, and would not wake up for another's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_concurrently(steps: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Run the steps, each in a thread; yield each one's value when it is there, in the order given.

    A step's failure is raised after the values of all others have been yielded.
    """
    values: dict[int, T] = {}
    failures: dict[int, BaseException] = {}

    def run(place: int) -> None:
        try:
            values[place] = steps[place]()
        except BaseException as failure:  # noqa: BLE001 - raised again below, in the thread that asked
            failures[place] = failure

    # Daemons, so that an interrupted command does not stay for its last step.
    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(steps))]
    for thread in threads:
        start_without_signals(thread)
    for place, thread in enumerate(threads):
        thread.join()
        if place in values:
            yield values[place]
    for failure in failures.values():
        raise failure


def run_with_timeout(seconds: float, step: Callable[[], T]) -> T:
    """Return the step's value; raises what it raises, or `TimeoutError` after so many seconds.

    The step has a thread of its own, which is then left behind, and goes on until the process ends.
    """
    values: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            values.append(step())
        except BaseException as failure:  # noqa: BLE001 - raised again, in the thread that asked
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    start_without_signals(thread)
    thread.join(seconds)
    if values:
        return values[0]
    raise failures[0] if failures else TimeoutError
