"""Runs a command that prints a secret, with limits on its time and on its output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_for_first_line(command: Sequence[str], timeout: float, limit: int) -> bytes:
    """Return the command's first line, about `limit` bytes at most.

    It gets no stdin, which may hold the message, and its stderr, which may hold the secret, is dropped. Raises
    `ConfigurationError`, whose text is a predicate, if it cannot be run, fails, or takes longer than `timeout` seconds,
    in which case it is killed.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, from a file that only the user can write
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as failure:
        msg = f"cannot be run: {os.strerror(failure.errno or 0).lower()}"
        raise ConfigurationError(msg) from None
    except ValueError:
        msg = "cannot be run: it has a NUL character"
        raise ConfigurationError(msg) from None
    until = time.monotonic() + timeout
    try:
        read = _read_line(process, until, limit)
        status = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        msg = f"took longer than {timeout:g} s"
        raise ConfigurationError(msg) from None
    finally:
        process.kill()
        process.wait()
    # Its output was not read to the end, so SIGPIPE is our doing, and no failure.
    if status not in {0, -signal.SIGPIPE}:
        msg = f"failed with status {status}: run it by hand to see why"
        raise ConfigurationError(msg)
    return read


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
