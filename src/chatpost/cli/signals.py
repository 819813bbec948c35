"""SIGINT, SIGTERM and SIGHUP: the command reports its state, then dies of the signal, as the sender expects."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chatpost.processes import handling_ends, reraise_signal

if TYPE_CHECKING:
    from collections.abc import Iterator


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
