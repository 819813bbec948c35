"""Runs calls with a timeout, or concurrently."""

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
    """An event that `select` can wait for and a signal handler can set."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.is_set = False

    def set(self) -> None:
        """Set the event, for good."""
        self.is_set = True
        with suppress(BlockingIOError):
            os.write(self._write, b"!")

    def fileno(self) -> int:
        """Return the file descriptor that is readable once the event is set."""
        return self._read


def start_without_signals(thread: threading.Thread) -> None:
    """Start a thread with signals blocked, so that they interrupt the main thread, which handles them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Call(threading.Thread, Generic[T]):
    """A daemon thread that runs a step; ``values`` gets its result, or ``failures`` its exception."""

    def __init__(self, step: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self.values: list[T] = []
        self.failures: list[BaseException] = []
        start_without_signals(self)

    def run(self) -> None:
        try:
            self.values.append(self._step())
        except BaseException as failure:  # noqa: BLE001 - raised again in the caller's thread
            self.failures.append(failure)


def run_concurrently(steps: Sequence[Callable[[], T]]) -> Iterator[T]:
    """Run each step in a thread; yield their results in the given order, then raise the first exception."""
    calls = [_Call(step) for step in steps]
    for call in calls:
        call.join()
        yield from call.values
    for failure in chain.from_iterable(call.failures for call in calls):
        raise failure


def run_with_timeout(seconds: float, step: Callable[[], T]) -> T:
    """Return the step's result; raises its exception, or `TimeoutError`. The step's thread then keeps running."""
    call = _Call(step)
    call.join(seconds)
    if call.values:
        return call.values[0]
    raise call.failures[0] if call.failures else TimeoutError
