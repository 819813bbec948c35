"""This process, its terminal and its signals."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal, as in a shell, but not in cron or CI."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


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


def die_of(number: int) -> NoReturn:
    """End the process by the signal, or if that does not end it, with the exit status that a shell would show."""
    with suppress(OSError):  # SIGKILL has no action to be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container does not die of signals
