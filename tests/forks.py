"""Runs `chatpost` in processes that are forked from one that has imported it, which takes a seventh of the time.

Each is a process of its own, with its own streams, environment and signals. Only the start of Python and the imports
are skipped. Tests of start-up and imports use the installed command.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

_TOP = Path(__file__).parent.parent
_CHATPOST = str(Path(sys.executable).parent / "chatpost")
_READ_BY_PYTHON = ("PYTHON", "LC_", "LANG", "COVERAGE_")
_LENGTH = 4  # of a request's length, in bytes


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a forked process behaves like a new one: no variable is set that Python reads at start-up."""
    return sys.platform == "linux" and not any(name.startswith(_READ_BY_PYTHON) for name in environment)


class Fork:
    """A running `chatpost`, with the attributes of Popen that tests use. Pipes are unbuffered."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, **streams: int | IO[bytes]) -> None:
        ends = [_open(streams[name], is_input=name == "stdin") for name in ("stdin", "stdout", "stderr")]
        self._report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        _SERVER.send([list(argv), dict(env), str(cwd)], [*(end for end, _ in ends), theirs.fileno()])
        theirs.close()
        for end, _ in ends:
            os.close(end)
        self.stdin, self.stdout, self.stderr = (ours for _, ours in ends)
        self.returncode: int | None = None
        self.pid = self._receive()

    def _receive(self) -> int:
        if not (number := self._report.recv(20)):
            raise RuntimeError("the process that forks has ended; the reason is on stderr")
        return int(number)

    def poll(self) -> int | None:
        """Return the exit status, or the negative number of the signal that ended the process, or None."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end; return its exit status. Raise TimeoutExpired after this many seconds."""
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                self.returncode = self._receive()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("chatpost", timeout or 0) from None
            self._report.close()
        return self.returncode

    def communicate(self, given: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write to stdin and close it, read stdout and stderr, and wait for the end. Raise TimeoutExpired."""
        said = {1: b"", 2: b""}
        threads = [
            threading.Thread(target=_feed, args=(self.stdin, given), daemon=True),
            threading.Thread(target=_read, args=(self.stdout, said, 1), daemon=True),
            threading.Thread(target=_read, args=(self.stderr, said, 2), daemon=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout)  # descendants can hold the pipes
        if any(thread.is_alive() for thread in threads):
            self.kill()
            raise subprocess.TimeoutExpired("chatpost", timeout or 0)
        self.wait(timeout)
        return said[1], said[2]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _open(stream: int | IO[bytes], *, is_input: bool) -> tuple[int, Any]:
    """Return the process's end of a stream, and for a pipe ours."""
    if stream == subprocess.PIPE:
        read, write = os.pipe()
        return (read, os.fdopen(write, "wb", 0)) if is_input else (write, os.fdopen(read, "rb", 0))
    return os.dup(stream if isinstance(stream, int) else stream.fileno()), None


def _feed(stdin: IO[bytes] | None, given: bytes) -> None:
    if stdin is not None:
        left = memoryview(given)
        with suppress(BrokenPipeError), stdin:
            while left:
                left = left[stdin.write(left) :]


def _read(stream: IO[bytes] | None, said: dict[int, bytes], number: int) -> None:
    if stream is not None:
        with stream:
            said[number] = stream.read()


class _Server:
    """The process that forks the others. It starts at the first use, and ends with the test process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None

    def send(self, request: list[Any], descriptors: list[int]) -> None:
        """Start a process with these arguments, environment and folder, streams, and socket for its PID and status."""
        data = json.dumps(request).encode()
        with self._lock:
            self._requests = self._requests or self._start()
            socket.send_fds(self._requests, [len(data).to_bytes(_LENGTH)], descriptors)
            self._requests.sendall(data)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                env={"PATH": os.defpath},
                cwd=_TOP,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # without the terminal that the tests may run at
            )
        return ours


_SERVER = _Server()


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request, and report its PID and exit status, until the socket is closed."""
    running = selectors.DefaultSelector()
    running.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in running.select():
            if key.fileobj is requests:
                length, descriptors, *_ = socket.recv_fds(requests, _LENGTH, 4)
                if not length:
                    return
                request = json.loads(requests.recv(int.from_bytes(length), socket.MSG_WAITALL))
                *streams, report = descriptors
                pid = os.fork()
                if not pid:
                    _run(streams, *request)
                _report(report, pid)
                running.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))
                for stream in streams:
                    os.close(stream)
            else:
                pid, report = key.data
                running.unregister(key.fd)
                os.close(key.fd)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _report(report, status)
                os.close(report)


def _report(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the test has ended
        os.write(report, b"%d" % number)


def _run(streams: list[int], argv: list[str], environment: dict[str, str], folder: str) -> NoReturn:
    """Run the command as a new Python would: with UTF-8, as no variable asks for another encoding."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({"LC_CTYPE": "C.UTF-8"} | environment)
    time.tzset()
    sys.argv = [_CHATPOST, *argv]
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", errors="surrogateescape", newline="\n")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape")
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace")
    from chatpost.__main__ import main

    main()


def _import_everything() -> None:
    """Import everything that a command might, except what `main` blocks."""
    sys.modules["chardet"] = sys.modules["charset_normalizer"] = None  # type: ignore[assignment]
    import chatpost

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # requests misses what is blocked
        for module in pkgutil.walk_packages(chatpost.__path__, "chatpost."):
            if not module.name.startswith("chatpost.emulator"):
                import_module(module.name)
        import_module("redis")  # chatpost imports it only when it first connects to one
    gc.freeze()


if __name__ == "__main__":
    _import_everything()
    _serve(socket.socket(fileno=int(sys.argv[1])))
