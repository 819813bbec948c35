"""SIGINT, SIGTERM and SIGHUP: the command reports its state, then dies of the signal, as the sender expects."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, NoReturn

from chatpost.processes import handling_ends, reraise_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


@contextmanager
def restoring_terminal() -> Iterator[None]:
    """In this context a signal that ends the process leaves the terminal of stdin as it was found, with its echo.

    Ctrl-C raises `KeyboardInterrupt`.
    """
    import termios  # for the prompt only

    found = termios.tcgetattr(sys.stdin)

    def end(number: int, _before: object) -> None:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, found)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        reraise_signal(number)

    with handling_ends(end):
        yield


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
