"""Waits for what may hang, for so long and no longer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Generic, TypeVar

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


class _Call(threading.Thread, Generic[T]):
    """A step under way in a daemon thread, so that an interrupted command does not stay for it.

    ``values`` gets its value, or ``failures`` what it raises.
    """

    def __init__(self, step: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self.values: list[T] = []
        self.failures: list[BaseException] = []
        start_without_signals(self)

    def run(self) -> None:
        try:
            self.values.append(self._step())
        except BaseException as failure:  # noqa: BLE001 - raised again, in the thread that asked
            self.failures.append(failure)


def run_concurrently(steps: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Run the steps, each in a thread; yield each one's value when it is there, in the order given.

    A step's failure is raised after the values of all others have been yielded.
    """
    calls = [_Call(step) for step in steps]
    for call in calls:
        call.join()
        yield from call.values
    for failure in chain.from_iterable(call.failures for call in calls):
        raise failure


def run_with_timeout(seconds: float, step: Callable[[], T]) -> T:
    """Return the step's value; raises what it raises, or `TimeoutError` after so many seconds.

    The step has a thread of its own, which is then left behind, and goes on until the process ends.
    """
    call = _Call(step)
    call.join(seconds)
    if call.values:
        return call.values[0]
    raise call.failures[0] if call.failures else TimeoutError
