"""Runs a command that prints a secret, with a timeout and a limit on its output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from chatpost.concurrency import LONGEST_WAIT
from chatpost.errors import ConfigurationError, system_reason
from chatpost.processes import children, handling_ends, has_terminal, reraise_signal, spawning


def run_for_first_line(command: Sequence[str], timeout: float, limit: int) -> bytes:
    """Return the first line of the command's output, or about its first `limit` bytes.

    Its stdin is empty, because chatpost's own may hold the message, and its stderr is dropped, because it may hold the
    secret. It is killed after `timeout` seconds, or when a signal ends this process: with its process group, unless
    there is a terminal, where it stays in chatpost's group so that it can ask for a password. Raises
    `ConfigurationError`, whose message is a predicate, if it cannot be run, fails, or times out.
    """
    group = None if has_terminal() else 0
    process: subprocess.Popen[bytes] | None = None
    received: tuple[int, Any] | None = None

    def kill() -> None:
        with suppress(OSError):
            if process is not None and group is None:
                process.kill()
            elif process is not None:
                os.killpg(process.pid, signal.SIGKILL)

    def end(number: int, before: Any) -> None:
        nonlocal received
        received = number, before
        if process is None:  # it is being started, and would be left behind
            return
        kill()
        if callable(before):
            before(number, None)
        reraise_signal(number)

    until = time.monotonic() + timeout
    with handling_ends(end):
        process = _start(command, group)
        if received is not None:
            end(*received)
        try:
            read = _read_line(process, until, limit)
            status = process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"took longer than {timeout:.3g} s") from None
        finally:
            kill()
            process.wait()
    # The command dies of SIGPIPE if it prints more than is read.
    if status not in {0, -signal.SIGPIPE}:
        raise ConfigurationError(f"failed with status {status}: run it by hand to see why")
    return read


def _start(command: Sequence[str], group: int | None) -> subprocess.Popen[bytes]:
    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, set())

    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, set())  # while a job runs
    try:
        with spawning:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, from a file that only the user can write
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                process_group=group,
                preexec_fn=unblock if blocked else None,  # noqa: PLW1509 - it takes no lock
            )
            children.add(process.pid)
            return process
    except OSError as failure:
        raise ConfigurationError(f"cannot be run: {system_reason(failure)}") from None
    except ValueError:
        raise ConfigurationError("cannot be run: it contains a NUL character") from None


def _read_line(process: subprocess.Popen[bytes], until: float, limit: int) -> bytes:
    read = b""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with process.stdout as stdout, selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while b"\n" not in read and len(read) < limit:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired(process.args, 0)
            if not selector.select(min(max(0.0, until - time.monotonic()), LONGEST_WAIT)):
                continue
            chunk = os.read(stdout.fileno(), limit)
            if not chunk:
                break
            read += chunk
    return read
