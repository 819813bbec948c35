"""Runs a job: a command to which chatpost is transparent.

The job inherits stdin. Its stdout and stderr are passed through unchanged. It receives the signals that this process
receives, and SIGTERM if this process is killed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shlex
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
from chatpost.processes import (
    Received,
    descent,
    has_members,
    has_terminal,
    is_open,
    is_stopped,
    next_signal,
    reap_orphans,
)

_GRACE = 10.0  # seconds between SIGTERM and SIGKILL after the time limit
_NOT_FOUND, _NOT_EXECUTABLE, _OVER_TIME = 127, 126, 124  # exit statuses of a shell, and of timeout(1)
_TERMINATING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (*_TERMINATING, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINALS = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}  # sent to the whole process group
_PIPE_SIZE = 1024 * 1024  # bytes; in a larger pipe, a job with much output rarely waits for this process
_PR_SET_PDEATHSIG = 1
_POLL = 0.05


class ExitResult(NamedTuple):
    """How a job ended, after ``seconds``. ``status`` is its exit status, as a shell would show it.

    ``signal`` is the signal that killed it. ``failure`` is the reason why it could not be started. ``time_limit`` is
    the limit, in seconds, at which it was ended. ``lost_output`` is the reason why its output could not be written;
    then ``status`` is never 0.
    """

    status: int
    seconds: float = 0.0
    signal: int | None = None
    failure: str | None = None
    time_limit: float | None = None
    lost_output: str | None = None


class Job:
    """A command that was started. ``failed`` is its result if it could not be started.

    Only the main thread may start it and wait for it, and must start it before all other threads, so that these have
    its signals blocked.
    """

    def __init__(
        self, command: Sequence[str], output: Output | None, environment: Mapping[str, str], *, is_merged: bool = False
    ) -> None:
        """``output`` gets a copy of the output; without it, the command inherits stdout and stderr.

        ``is_merged``: send both to stdout, in their exact order.
        """
        self._began = time.monotonic()
        self._environment = environment
        self._output = output or Output()
        self._is_at_terminal = has_terminal()
        self.failed: ExitResult | None = None
        # Blocked, so that sigwaitinfo can distinguish the terminal's signals. An ignored SIGCHLD would not be sent.
        self._on_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        heard = {number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
        self._signals = {*heard, signal.SIGCHLD}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        # Before os.pipe, which can return the number of a closed stream.
        targets = {} if output is None else _targets(is_merged=is_merged)
        self._command_end, self._until_command_end = os.pipe()
        self._pumps: list[Pump] = []
        try:
            self._start(command, targets)
        except OSError as failure:
            is_missing = failure.errno == errno.ENOENT or not command[0]
            reason = _missing(command[0]) if is_missing else system_reason(failure)
            self.failed = ExitResult(_NOT_FOUND if is_missing else _NOT_EXECUTABLE, failure=reason)

    def wait(self, time_limit: float | None = None) -> ExitResult:
        """Wait for the end of the command, then of its output; pass signals on to the command.

        After ``time_limit`` seconds, end the command. A signal after the command's end stops the wait for its output.
        Later signals are delivered by `release`.
        """
        if self.failed is not None:
            return self.failed
        result = self._wait_for_command(time_limit)
        os.close(self._until_command_end)
        self._wait_for_output(inf if result.time_limit is None else _GRACE)
        self._output.end()
        reason = next(filter(None, (pump.failure for pump in self._pumps)), None)
        failed = result._replace(status=result.status or ExitStatus.IO, lost_output=reason)
        return failed if reason else result

    def release(self) -> None:
        """Unblock the signals."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _start(self, command: Sequence[str], targets: dict[str, int]) -> None:
        pipes = {target: os.pipe() for target in set(targets.values())}
        for _, writing in pipes.values():
            with suppress(AttributeError, OSError):  # not on macOS, or above the user's limit
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        streams = {name: pipes[target][1] for name, target in targets.items()}
        try:
            try:
                self._process = self._spawn(command, streams)
            except OSError as failure:
                if failure.errno != errno.ENOEXEC:
                    raise
                # The shell runs a script without an interpreter line, as in execvp(3).
                script = shutil.which(command[0]) or command[0]
                self._process = self._spawn(["/bin/sh", script, *command[1:]], streams)
        finally:
            for _, writing in pipes.values():
                os.close(writing)
        on_end = partial(signal.pthread_kill, threading.get_ident(), signal.SIGCHLD)  # wakes wait()
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
            if os.getppid() != parent:  # the parent has already died
                os.kill(os.getpid(), signal.SIGTERM)

        return subprocess.Popen(  # noqa: S603 - the user's own command
            command,
            stdout=streams.get("stdout"),
            stderr=streams.get("stderr"),
            env=_given(self._environment),
            close_fds=False,  # the job inherits what this process inherited; Python's own are not inheritable
            process_group=None if self._is_at_terminal else 0,
            preexec_fn=in_child,  # noqa: PLW1509 - no other thread runs yet
        )

    def _wait_for_command(self, time_limit: float | None) -> ExitResult:
        due = [] if time_limit is None else [(time_limit, signal.SIGTERM), (time_limit + _GRACE, signal.SIGKILL)]
        is_over_time = False
        while self._process.poll() is None:
            received = next_signal(self._signals, due[0][0] - self._seconds() if due else None)
            if received is None:
                is_over_time = True
                self._signal(due.pop(0)[1])
                self._signal(signal.SIGCONT)  # a stopped process does not end
            elif received.number == signal.SIGCHLD:
                self._stop_with_command()
                if os.getpid() == 1:  # in a container
                    reap_orphans(self._process.pid)
            elif not self._is_known(received):
                self._signal(received.number)
        seconds, code = self._seconds(), self._process.returncode
        while next_signal(self._signals - {signal.SIGCHLD}, 0.0):  # signals for the command, which has ended meanwhile
            pass
        if is_over_time:
            self._end_group(time_limit + _GRACE if time_limit else 0.0)
            return ExitResult(_OVER_TIME, seconds, time_limit=time_limit)
        return ExitResult(128 - code, seconds, -code) if code < 0 else ExitResult(code, seconds)

    def _wait_for_output(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(pump.is_done for pump in self._pumps):
            received = next_signal(self._signals, None if seconds == inf else until - time.monotonic())
            if received is None or received.number in _TERMINATING:
                return

    def _stop_with_command(self) -> None:
        """Stop this process if the command has stopped at a terminal, so that the shell takes over."""
        if self._is_at_terminal and is_stopped(self._process.pid):
            time.sleep(_POLL)  # `fg` continues both, but not at the same time
            if is_stopped(self._process.pid):
                os.kill(os.getpid(), signal.SIGSTOP)

    def _end_group(self, due: float) -> None:
        """Wait for the rest of the command's process group, and kill it when SIGKILL is due."""
        while not self._is_at_terminal and has_members(self._process.pid):
            if self._seconds() >= due:
                self._signal(signal.SIGKILL)
                return
            next_signal(self._signals, _POLL)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _is_known(self, received: Received) -> bool:
        """Return whether the terminal has also sent the signal to the command, in the same process group.

        It sends SIGHUP only to the session leader.
        """
        if not (self._is_at_terminal and received.may_be_of_terminal and received.number in _FROM_TERMINALS):
            return False
        if received.number == signal.SIGHUP and os.getsid(0) == os.getpid():
            return False
        with suppress(OSError):
            return os.getpgid(self._process.pid) == os.getpgrp()
        return True  # it has ended

    def _signal(self, number: int) -> None:
        """Signal the command and its descendants, or its process group."""
        process = self._process.pid
        kill, targets = (os.kill, list(descent(process))) if self._is_at_terminal else (os.killpg, [process])
        for target in targets:
            with suppress(OSError):
                kill(target, number)


def _missing(program: str) -> str:
    """Return the reason why a program cannot be found: the program, or the interpreter that a script names."""
    line, path = b"", shutil.which(program)
    if path is not None:
        with suppress(OSError), Path(path).open("rb") as file:
            line = file.read(256).partition(b"\n")[0]
    interpreter = line[2:].lstrip().partition(b" ")[0]
    if not line.startswith(b"#!") or os.path.exists(interpreter):  # noqa: PTH110 - bytes
        return "not found"
    shown = interpreter.decode(errors="replace").replace("\r", "\\r")
    fix = ": the script has Windows line endings; convert it with dos2unix" if interpreter.endswith(b"\r") else ""
    return f"its interpreter {shown} does not exist{fix}"


def hint_for(command: Sequence[str]) -> str:
    """Return advice for a command that is not found because it is meant for a shell, as the end of a sentence."""
    is_assignment = re.match(r"[A-Za-z_]\w*=", command[0])
    if is_assignment and any("=" not in word for word in command[1:]):
        return f"; to set variables, use: chatpost run -- env {shlex.join(command)}"
    if command[0] in {"cd", "export", "alias", "source", "set", "ulimit", "umask"}:
        return f"; for a builtin of the shell, use: chatpost run -- sh -c {shlex.quote(shlex.join(command))}"
    if len(command) == 1 and re.search(r"[\s|&;<>$`(]", command[0]):
        if re.fullmatch(r"[\w./ =:@-]+", command[0]) and not is_assignment:
            return f"; pass the arguments separately: chatpost run -- {command[0]}"
        return f"; to run a shell command, use: chatpost run -- sh -c {shlex.quote(command[0])}"
    if os.path.isfile(command[0]) and "/" not in command[0]:  # noqa: PTH113 - pathlib's can raise
        return f"; to run the file in this directory, use: chatpost run -- ./{shlex.join(command)}"
    return ""


def _given(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without the LC_CTYPE that Python sets in the C locale."""
    with suppress(OSError):
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
        if "LC_CTYPE" in environment and not any(entry.startswith(b"LC_CTYPE=") for entry in given):
            return {name: value for name, value in environment.items() if name != "LC_CTYPE"}
    return environment


def _targets(*, is_merged: bool) -> dict[str, int]:
    """Return the file descriptor that each stream of the command is copied to.

    A closed stdout or stderr is also closed for the command. If both are one file, they share a pipe, which keeps the
    order.
    """
    targets = {name: number for name, number in (("stdout", 1), ("stderr", 2)) if is_open(number)}
    if len(targets) > 1 and (is_merged or os.path.sameopenfile(1, 2)):
        return dict.fromkeys(targets, 1)
    return targets
