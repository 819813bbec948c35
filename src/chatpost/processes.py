"""Processes, their terminal and their signals, as the system tells of them."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Set as AbstractSet
from contextlib import contextmanager, suppress
from itertools import chain, count
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_SI_KERNEL = 0x80
_POLL = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal, as in a shell, but not in cron or CI."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def is_open(descriptor: int) -> bool:
    """Return whether this process has such a file descriptor."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def descent(process: int) -> Iterator[int]:
    """Yield a process and those that it has started, so far as the system tells."""
    try:
        children = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    yield process
    for child in chain.from_iterable(children):
        yield from descent(int(child))


def is_stopped(process: int) -> bool:
    """Return whether a child of ours is stopped."""
    try:
        return os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has ended
        return False


def has_members(group: int) -> bool:
    """Return whether a process of the group lives; one that has ended, and nobody has asked for, does not count."""
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    states = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):  # it has ended
            state, _parent, its_group, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(its_group) == group:
                states.add(state)
    return not states or not states <= {"Z", "X"}


class Received(NamedTuple):
    """A signal, and whether it may be one that the terminal has sent to all of its process group."""

    number: int
    may_be_of_terminal: bool


def next_signal(signals: AbstractSet[int], seconds: float | None = None) -> Received | None:
    """Wait for one of the signals, which must be blocked, at most so many seconds; return None if none came."""
    if hasattr(signal, "sigtimedwait"):
        info = signal.sigwaitinfo(signals) if seconds is None else signal.sigtimedwait(signals, max(0.0, seconds))
        return None if info is None else Received(info.si_signo, may_be_of_terminal=info.si_code == _SI_KERNEL)
    # macOS has no wait with an end, and does not tell where a signal comes from.
    until = inf if seconds is None else time.monotonic() + seconds
    while not (pending := signal.sigpending() & signals):
        if time.monotonic() >= until:
            return None
        time.sleep(_POLL)
    return Received(signal.sigwait(pending), may_be_of_terminal=True)


@contextmanager
def handling_ends(handle: Callable[[int, Any], None]) -> Iterator[None]:
    """In this context, ``handle`` gets SIGINT, SIGTERM and SIGHUP, each with the handler that it had before.

    Signals that were ignored stay ignored. At the end of the context the handlers that were found are put back. Only
    the main thread can have handlers: in others, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    found = {number: handler for number, handler in handlers.items() if handler not in {signal.SIG_IGN, None}}
    for number in found:
        signal.signal(number, lambda number, _: handle(number, found[signal.Signals(number)]))
    try:
        yield
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


def exit_now(status: int) -> NoReturn:
    """End the process without taking the interpreter apart, which is a tenth of the time of one `send`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, RuntimeError):  # the last if a signal has come in the middle of a flush
            stream.flush()
    _run_exit_functions()
    os._exit(status)


def _run_exit_functions() -> None:
    """Run what libraries leave for the end: certifi deletes the copy of its file that it makes in a zip file."""
    atexit._run_exitfuncs()  # noqa: SLF001 - it has no other name


def reraise_signal(number: int) -> NoReturn:
    """End the process by the signal, or if that does not end it, with the exit status that a shell would show."""
    _run_exit_functions()  # not the streams: the signal can have come while one was being written
    with suppress(OSError):  # SIGKILL has no action to be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container does not die of signals


@contextmanager
def report_on_signal(
    speak: Callable[[], None],
    take: Callable[[int], bool] = lambda _: False,
    die: Callable[[int], NoReturn] = reraise_signal,
) -> Iterator[None]:
    """In this context, a signal lets the command speak before it dies, by ``die``.

    The first signal is given to ``take``; if it returns True, the command will end by itself. A signal that comes while
    the command speaks ends it at once.

    The handler does it all itself: an exception raised from it could come in the middle of anything, for example of a
    finalizer, which would swallow it.
    """
    is_dying = False
    signals = count()  # handlers can nest, so that two signals at once could both be the first

    def end(number: int, _before: object) -> None:
        nonlocal is_dying
        is_first = next(signals) == 0
        if is_dying:  # it could not speak, perhaps since nobody reads stderr
            die(number)
        if is_first and take(number):
            return
        is_dying = True
        try:
            speak()
        finally:
            die(number)

    with handling_ends(end):
        yield
