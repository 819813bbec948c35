"""Runs a job: a command to which chatpost is transparent.

The job inherits stdin. Its stdout and stderr are passed through unchanged, each to its own. It receives the signals
that this process receives, and SIGTERM if this process is killed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import NamedTuple

from chatpost.errors import ExitStatus, system_reason
from chatpost.jobs.output import Output, Pump
from chatpost.processes import Received, descent, has_members, has_terminal, is_open, is_stopped, next_signal

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL when the time limit is over."""

NOT_FOUND, NOT_EXECUTABLE, OVER_TIME = 127, 126, 124
"""Exit statuses as of a shell, and as of `timeout`."""

_TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (*_TERMINATING, signal.SIGUSR1, signal.SIGUSR2)
# A terminal sends these to the command, too.
_FROM_TERMINALS = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
_PIPE_SIZE = 1024 * 1024  # so that a command that writes much seldom waits for us
_PR_SET_PDEATHSIG = 1
_POLL = 0.05


class ExitResult(NamedTuple):
    """How a job ended, after so many ``seconds``. ``status`` is the exit status that a shell would show.

    ``signal`` is the one that it died of. ``failure`` says, for a person, why it could not be started.
    ``is_over_time``: it was ended because of its time limit. ``lost_output`` says why its output could not be written;
    then ``status`` is never 0.
    """

    status: int
    seconds: float = 0.0
    signal: int | None = None
    failure: str | None = None
    is_over_time: bool = False
    lost_output: str | None = None


class Job:
    """A command that has been started, or could not be: then ``failed`` is its result.

    It is started, and waited for, in the main thread, and no other thread may run before it is started: threads that
    are started later leave the signals to it.
    """

    def __init__(
        self,
        command: Sequence[str],
        output: Output | None,
        environment: Mapping[str, str],
        *,
        is_merged: bool = False,
    ) -> None:
        """Start the command at once.

        ``output`` gets a copy of what it writes; without one, it has our stdout and stderr itself. ``is_merged``: both
        go to stdout, in their exact order.
        """
        self._began = time.monotonic()
        self._environment = environment
        self._output = output or Output()
        self._is_at_terminal = has_terminal()
        self._process: subprocess.Popen[bytes] | None = None
        self.failed: ExitResult | None = None
        # They are blocked and waited for, like the command's end: so it is known where they come from. If ours is
        # ignored, the command's end would not be told.
        self._on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        heard = {number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
        self._signals = {*heard, signal.SIGCHLD}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        # Found before a pipe of ours takes the number of a stream that is closed.
        targets = {} if output is None else _targets(is_merged=is_merged)
        self._command_end, self._until_command_end = os.pipe()
        self._pumps: list[Pump] = []
        try:
            self._start(command, targets)
        except OSError as failure:
            is_missing = failure.errno == errno.ENOENT or not command[0]
            reason = "not found" if is_missing else system_reason(failure)
            self.failed = ExitResult(NOT_FOUND if is_missing else NOT_EXECUTABLE, failure=reason)

    def wait(self, time_limit: float | None = None) -> ExitResult:
        """Wait for the end of the command, then of its output; meanwhile pass signals on to it.

        After ``time_limit`` seconds the command is ended. A signal that comes while only the output is waited for ends
        the wait. Later ones are delivered when `release` is called.
        """
        result = self._wait_for_command(self._process, time_limit) if self._process else ExitResult(0)
        os.close(self._until_command_end)
        self._wait_for_output(GRACE if result.is_over_time else inf)
        self._output.end()
        reason = next((pump.failure for pump in self._pumps if pump.failure is not None), None)
        if reason is not None:
            result = result._replace(status=result.status or ExitStatus.IO, lost_output=reason)
        return self.failed or result

    def release(self) -> None:
        """Deliver signals to us again."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _start(self, command: Sequence[str], targets: dict[str, int]) -> None:
        pipes = {target: _open_pipe() for target in set(targets.values())}
        streams = {name: pipes[target][1] for name, target in targets.items()}
        try:
            try:
                self._process = self._spawn(command, streams)
            except OSError as failure:
                if failure.errno != errno.ENOEXEC:
                    raise
                # A script without a line that names its interpreter is the shell's, as for execvp(3).
                script = shutil.which(command[0]) or command[0]
                self._process = self._spawn(["/bin/sh", script, *command[1:]], streams)
        finally:
            for _, writing in pipes.values():
                os.close(writing)
        on_end = partial(signal.pthread_kill, threading.get_ident(), signal.SIGCHLD)  # wakes us, as the command does
        for target, (reading, _) in pipes.items():
            pump = Pump(reading, target, partial(self._output.add, target), self._command_end, on_end)
            self._pumps.append(pump)
            pump.start()

    def _spawn(self, command: Sequence[str], streams: dict[str, int]) -> subprocess.Popen[bytes]:
        parent, libc = os.getpid(), ctypes.CDLL(None)

        def in_child() -> None:
            signal.signal(signal.SIGCHLD, self._on_child)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            with suppress(AttributeError):  # only Linux has it
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # we were killed before
                os.kill(os.getpid(), signal.SIGTERM)

        return subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdout=streams.get("stdout"),
            stderr=streams.get("stderr"),
            env=_given(self._environment),
            close_fds=False,  # what we were given is the job's; our own are not inherited
            process_group=None if self._is_at_terminal else 0,
            preexec_fn=in_child,  # noqa: PLW1509 - there is no other thread yet
        )

    def _wait_for_command(self, process: subprocess.Popen[bytes], time_limit: float | None) -> ExitResult:
        due = [] if time_limit is None else [(time_limit, signal.SIGTERM), (time_limit + GRACE, signal.SIGKILL)]
        is_over_time = False
        while process.poll() is None:
            received = next_signal(self._signals, due[0][0] - self._seconds() if due else None)
            if received is None:
                is_over_time = True
                self._signal(process, due.pop(0)[1])
                self._signal(process, signal.SIGCONT)  # one that is stopped does not end
            elif received.number == signal.SIGCHLD:
                self._stop_with(process)
            elif not self._is_known(process, received):
                self._signal(process, received.number)
        seconds, code = self._seconds(), process.returncode
        if is_over_time:
            self._end_group(process, time_limit + GRACE if time_limit else 0.0)
            return ExitResult(OVER_TIME, seconds, is_over_time=True)
        return ExitResult(128 - code, seconds, -code) if code < 0 else ExitResult(code, seconds)

    def _wait_for_output(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(pump.is_done for pump in self._pumps):
            received = next_signal(self._signals, None if seconds == inf else until - time.monotonic())
            if received is None or received.number in _TERMINATING:
                return

    def _stop_with(self, process: subprocess.Popen[bytes]) -> None:
        """Stop, too, if the command has stopped itself at a terminal: the shell then takes over."""
        if self._is_at_terminal and is_stopped(process.pid):
            time.sleep(_POLL)  # at `fg` the shell lets both go on, but not in the same moment
            if is_stopped(process.pid):
                os.kill(os.getpid(), signal.SIGSTOP)

    def _end_group(self, process: subprocess.Popen[bytes], due: float) -> None:
        """End what the command has left behind in its process group, when SIGKILL is due."""
        while not self._is_at_terminal and has_members(process.pid):
            if self._seconds() >= due:
                self._signal(process, signal.SIGKILL)
                return
            next_signal(self._signals, _POLL)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _is_known(self, process: subprocess.Popen[bytes], received: Received) -> bool:
        """Return whether the command has got the signal, too: from the terminal, which signals our process group.

        At a hang-up it signals only the leader of the session.
        """
        if not (self._is_at_terminal and received.may_be_of_terminal and received.number in _FROM_TERMINALS):
            return False
        if received.number == signal.SIGHUP and os.getsid(0) == os.getpid():
            return False
        with suppress(OSError):
            return os.getpgid(process.pid) == os.getpgrp()
        return True  # it has ended

    def _signal(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Signal the command and what it has started: its process group, or its part of ours."""
        if self._is_at_terminal:
            for member in list(descent(process.pid)):
                with suppress(OSError):
                    os.kill(member, number)
        else:
            with suppress(OSError):
                os.killpg(process.pid, number)


def _given(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the environment that we were given: Python sets LC_CTYPE itself in a locale without UTF-8."""
    try:
        given = Path("/proc/self/environ").read_bytes()
    except OSError:
        return None
    if "LC_CTYPE" not in environment or any(entry.startswith(b"LC_CTYPE=") for entry in given.split(b"\0")):
        return None
    return {name: value for name, value in environment.items() if name != "LC_CTYPE"}


def _targets(*, is_merged: bool) -> dict[str, int]:
    """Return, for each stream of the command that needs a pipe, ours that it is passed on to.

    A stream of ours that is closed is closed for the command. If both of ours are one, so is the pipe: it keeps the
    order.
    """
    targets = {name: number for name, number in (("stdout", 1), ("stderr", 2)) if is_open(number)}
    if len(targets) > 1 and (is_merged or os.path.sameopenfile(1, 2)):
        return dict.fromkeys(targets, 1)
    return targets


def _open_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    with suppress(AttributeError, OSError):  # not on macOS, or beyond the user's limit
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return reading, writing
