"""SIGINT, SIGTERM and SIGHUP: the command says what it knows, and dies of the signal, as who sent it expects."""

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
    """Have the signals let the command speak before it dies, but for those the process was told to ignore.

    Where the command says that it is ending by itself, on account of that signal, it is left to that; a second signal
    ends it at once. The handler does it all: an exception raised out of it could come in the middle of anything, a
    finalizer say, which would swallow it.
    """

    def end(number: int, _frame: object) -> None:
        # Whoever asks again gets what they want at once.
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        if is_ending(number):
            return
        try:
            speak()
        finally:
            die_of(number)

    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def die_of(number: int) -> NoReturn:
    """End the process by the signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)
