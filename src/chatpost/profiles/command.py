"""Runs a command that prints a secret, with limits on its time and on its output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_for_first_line(command: Sequence[str], timeout: float, limit: int) -> bytes:
    """Return the command's first line, about `limit` bytes at most.

    It gets no stdin, which may hold the message, and its stderr, which may hold the secret, is dropped. Without a
    terminal it has a process group, which is killed whole when it takes longer than `timeout` seconds, or when a signal
    ends this process. (At a terminal it may have to ask for a password, so it stays in our group.) Raises
    `ConfigurationError`, whose text is a predicate, if it cannot be run, fails, or takes too long.
    """
    group = None if _has_terminal() else 0
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, from a file that only the user can write
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=group,
        )
    except OSError as failure:
        msg = f"cannot be run: {os.strerror(failure.errno or 0).lower()}"
        raise ConfigurationError(msg) from None
    except ValueError:
        msg = "cannot be run: it has a NUL character"
        raise ConfigurationError(msg) from None

    def kill() -> None:
        with suppress(OSError):
            if group is None:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)

    until = time.monotonic() + timeout
    with _ending_with_us(kill):
        try:
            read = _read_line(process, until, limit)
            status = process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            msg = f"took longer than {timeout:.3g} s"
            raise ConfigurationError(msg) from None
        finally:
            kill()
            process.wait()
    # Its output was not read to the end, so SIGPIPE is our doing, and no failure.
    if status not in {0, -signal.SIGPIPE}:
        msg = f"failed with status {status}: run it by hand to see why"
        raise ConfigurationError(msg)
    return read


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def _ending_with_us(kill: Callable[[], None]) -> Iterator[None]:
    """In this context, a signal that ends this process kills the command first."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can have handlers
        return
    found: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

    def end(number: int, frame: object) -> None:
        kill()
        handler = found[number]
        if callable(handler):
            handler(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    for number, handler in found.items():
        if handler not in {signal.SIG_IGN, None}:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in found.items():
            if handler not in {signal.SIG_IGN, None}:
                signal.signal(number, handler)


def _read_line(process: subprocess.Popen[bytes], until: float, limit: int) -> bytes:
    read = b""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with process.stdout as stdout, selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while b"\n" not in read and len(read) < limit:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise subprocess.TimeoutExpired(process.args, 0)
            chunk = os.read(stdout.fileno(), limit)
            if not chunk:
                break
            read += chunk
    return read
