"""SIGINT, SIGTERM and SIGHUP: the command reports its state, then dies of the signal, as the sender expects."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def last_words(speak: Callable[[], None], is_ending: Callable[[int], bool] = lambda _: False) -> Iterator[None]:
    """In this context, a signal lets the command speak before it dies. Signals that were ignored stay ignored.

    If ``is_ending`` returns True, the command ends by itself on account of the signal. A signal that comes while the
    command speaks ends it at once. At the end of the context the handlers that were found are put back.

    The handler does it all itself: an exception raised from it could come in the middle of anything, for example of a
    finalizer, which would swallow it.
    """
    is_dying = False

    def end(number: int, _frame: object) -> None:
        nonlocal is_dying
        if is_dying:  # it could not speak, perhaps since nobody reads stderr
            die_of(number)
        if is_ending(number):
            return
        is_dying = True
        try:
            speak()
        finally:
            die_of(number)

    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    found = {number: handler for number, handler in handlers.items() if handler not in {signal.SIG_IGN, None}}
    for number in found:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


@contextmanager
def raising_interrupt() -> Iterator[None]:
    """In this context Ctrl-C raises `KeyboardInterrupt`, as by Python's own handler; if it was ignored, it stays so."""
    found = signal.getsignal(signal.SIGINT)
    if found is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, found)


def die_of(number: int) -> NoReturn:
    """End the process by the signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)
