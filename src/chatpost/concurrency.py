"""Runs calls with a timeout, or concurrently, so that signals are handled at once.

Python runs signal handlers in the main thread, between two bytecodes. A signal that another thread receives, or that
arrives just before the main thread's system call, does not interrupt that call. So other threads have signals blocked,
and the main thread waits in steps.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")

LONGEST_WAIT = 0.5
"""Maximum duration of one blocking call in the main thread, in seconds."""


def sleep(seconds: float) -> None:
    """Sleep, and handle signals meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, LONGEST_WAIT))


def join(thread: threading.Thread, seconds: float = inf) -> None:
    """Wait for a thread's end, at most ``seconds``, and handle signals meanwhile."""
    until = time.monotonic() + seconds
    while thread.is_alive() and (left := until - time.monotonic()) > 0:
        thread.join(min(left, LONGEST_WAIT))


def wait_until_readable(descriptor: int) -> None:
    """Wait until reading a file descriptor does not block, and handle signals meanwhile."""
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    while not readable.poll(LONGEST_WAIT * 1000):
        pass


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


@contextmanager
def signals_blocked() -> Iterator[None]:
    """In this context, new threads start with signals blocked, so that the main thread receives them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_without_signals(thread: threading.Thread) -> None:
    """Start a thread with signals blocked."""
    with signals_blocked():
        thread.start()


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
        join(call)
        yield from call.values
    for failure in chain.from_iterable(call.failures for call in calls):
        raise failure


def run_with_timeout(seconds: float, step: Callable[[], T]) -> T:
    """Return the step's result; raises its exception, or `TimeoutError`. The step's thread then keeps running."""
    call = _Call(step)
    join(call, seconds)
    if call.values:
        return call.values[0]
    raise call.failures[0] if call.failures else TimeoutError
