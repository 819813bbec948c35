"""Processes, their terminal, and their signals."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set as AbstractSet
from contextlib import contextmanager, suppress
from itertools import chain, count
from math import inf
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, NoReturn, TextIO

_SI_KERNEL = 0x80
_POLL = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal: in a shell, but not in cron or CI."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def is_open(descriptor: int) -> bool:
    """Return whether the file descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def descent(process: int) -> Iterator[int]:
    """Yield a process and its descendants (only on Linux, else nothing but the process)."""
    try:
        children = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:  # it has ended
        return
    yield process
    for child in chain.from_iterable(children):
        yield from descent(int(child))


def is_stopped(process: int) -> bool:
    """Return whether a child process is stopped."""
    try:
        return os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has ended
        return False


def has_members(group: int) -> bool:
    """Return whether the process group has a process that is not a zombie."""
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


spawning = RLock()
"""Held while a child is started, and its process id added to `children`, so that `reap_orphans` leaves it alone."""

children: set[int] = set()


def reap_orphans(job: int) -> None:
    """Reap orphaned processes, as the first process of a container must."""
    with spawning, suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == job or ended.si_pid in children:  # its own thread waits for it
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


class Surroundings(NamedTuple):
    """The process's environment and standard streams; a stream is None if it was closed at start-up."""

    environment: Mapping[str, str]
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None


class Received(NamedTuple):
    """A signal, and whether the terminal may have sent it, to its whole foreground process group."""

    number: int
    may_be_of_terminal: bool


def next_signal(signals: AbstractSet[int], seconds: float | None = None) -> Received | None:
    """Wait for one of the signals, which must be blocked. Return None after ``seconds``."""
    if hasattr(signal, "sigtimedwait"):
        info = signal.sigwaitinfo(signals) if seconds is None else signal.sigtimedwait(signals, max(0.0, seconds))
        return None if info is None else Received(info.si_signo, may_be_of_terminal=info.si_code == _SI_KERNEL)
    # macOS has no wait with a timeout, and does not report the sender.
    until = inf if seconds is None else time.monotonic() + seconds
    while not (pending := signal.sigpending() & signals):
        if time.monotonic() >= until:
            return None
        time.sleep(_POLL)
    return Received(signal.sigwait(pending), may_be_of_terminal=True)


@contextmanager
def handling_ends(handle: Callable[[int, Any], None]) -> Iterator[None]:
    """Within this context, call ``handle`` on SIGINT, SIGTERM and SIGHUP, with the signal and its previous handler.

    Ignored signals stay ignored. In threads other than the main thread, which cannot set handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found: dict[int, Any] = {number: signal.getsignal(number) for number in _ENDING}
    found = {number: handler for number, handler in found.items() if handler not in {signal.SIG_IGN, None}}
    for number in found:
        signal.signal(number, lambda number, _: handle(number, found[number]))
    try:
        yield
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


def exit_now(status: int) -> NoReturn:
    """End the process without the interpreter's clean-up, which takes a tenth of the time of one `send`."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, RuntimeError):  # the last after a signal during a flush
            stream.flush()
    _run_exit_functions()
    os._exit(status)


def _run_exit_functions() -> None:
    """Run exit handlers: in a zipapp, certifi's deletes its extracted file."""
    atexit._run_exitfuncs()  # noqa: SLF001 - it has no public name


def reraise_signal(number: int) -> NoReturn:
    """End the process by the signal, or if it survives, with the exit status that a shell would show."""
    _run_exit_functions()  # no flush: the signal may have interrupted a write
    with suppress(OSError):  # SIGKILL has no handler
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # a container's first process does not die of signals


@contextmanager
def report_on_signal(
    speak: Callable[[], None],
    take: Callable[[int], bool] = lambda _: False,
    die: Callable[[int], NoReturn] = reraise_signal,
) -> Iterator[None]:
    """Within this context, call ``speak`` and then ``die`` on SIGINT, SIGTERM or SIGHUP.

    If ``take`` returns True for the first signal, the command continues and ends by itself. A signal during ``speak``
    ends the process at once.

    The handler raises no exception, which could be lost, for example in a finalizer.
    """
    is_dying = False
    signals = count()  # handlers can nest, so a flag could make two signals the first

    def end(number: int, _before: object) -> None:
        nonlocal is_dying
        is_first = next(signals) == 0
        if is_dying:  # `speak` may be blocked, for example by stderr
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
