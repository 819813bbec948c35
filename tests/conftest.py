from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import chdir, contextmanager
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from unittest import mock
from urllib.parse import quote, unquote

import pytest
from hypothesis import settings

from chatpost.cli.app import run
from chatpost.commands import chatpost as group
from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from tests.forks import Fork, can_fork
from tests.redis_servers import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent
KEY = "AIzaSyMadeUpKeyOfTheTests0123456789-_xy"
TOKEN = "Rt7pZ1madeUpTokenOfTheTests_98765-qwertz%3D"
WAIT_LIMIT = 60
"""Maximum time in seconds that a test waits for any event."""


def secret_pieces(*secrets: str) -> set[str]:
    """Return every 8-character piece of the secrets, in raw, decoded and encoded form."""
    forms = [form for secret in secrets for form in (secret, unquote(secret), quote(unquote(secret), safe=""))]
    return {form[i : i + 8] for form in forms for i in range(len(form) - 7)}


PIECES = secret_pieces(KEY, TOKEN)


class Finished(NamedTuple):
    """The result of a command. A negative status is the signal that killed it."""

    status: int
    out: str
    err: str

    def expect(self, status: int, *said: str) -> Finished:
        """Check the exit status and that stderr contains each text; show the full output on failure. Return self."""
        __tracebackhide__ = True
        whole = f"exit status {self.status}\nstdout: {self.out}\nstderr: {self.err}"
        assert self.status == status, whole
        for text in said:
            assert text in self.err, whole
        return self


def check_for_people(finished: Finished) -> Finished:
    """Check the rules that apply to every run: no traceback, no secrets."""
    said = finished.out + finished.err
    assert "Traceback" not in said, said
    leaked = [piece for piece in PIECES if piece in said]
    assert not leaked, said
    return finished


class Shell:
    """Runs chatpost as a process in an isolated environment, with empty stdin by default."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {"HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(home / "config")}
        self.env |= {"XDG_STATE_HOME": str(home / "state"), "CHATPOST_PACING": "0"}
        for variable in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            if variable in os.environ:
                self.env[variable] = os.environ[variable]

    @property
    def config(self) -> Path:
        """Return the path of the user's profile file."""
        return self.home / "config" / "chatpost" / "profiles.toml"

    def write_profiles(self, text: str, mode: int = 0o600) -> Path:
        """Write the user's profile file and return its path."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)
        return self.config

    def __call__(
        self, *argv: str, stdin: bytes | str | int = b"", stdout: int = subprocess.PIPE, redirect: str = ""
    ) -> Finished:
        """Run ``chatpost`` to completion.

        An int for stdin or stdout is a file descriptor; ``redirect`` is shell syntax.
        """
        if redirect:
            return self.run("sh", "-c", f'exec chatpost "$@" {redirect}', "sh", *argv, stdin=stdin, stdout=stdout)
        if isinstance(stdin, int):
            return self.start(*argv, stdin=stdin, stdout=stdout).end()
        return self.start(*argv, stdout=stdout).end(stdin.encode() if isinstance(stdin, str) else stdin)

    def run(self, *command: str, stdin: bytes | str | int = b"", stdout: int = subprocess.PIPE) -> Finished:
        """Run any command to completion."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        feed: dict[str, Any] = {"stdin": given} if isinstance(given, int) else {"input": given}
        feed |= {"stdout": stdout, "stderr": subprocess.PIPE, "timeout": WAIT_LIMIT}
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, env=self.env, cwd=self.home, check=False, **feed
        )
        return check_for_people(Finished(done.returncode, (done.stdout or b"").decode(), done.stderr.decode()))

    def start(self, *argv: str, **streams: Any) -> Running:
        """Start ``chatpost``. stdin, stdout and stderr are pipes by default."""
        return Running(self, "chatpost", *argv, **streams)


class Running:
    """A running command that a test can interact with."""

    def __init__(self, shell: Shell, *command: str, **streams: Any) -> None:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        # Unbuffered, so that reading a line does not consume bytes of the next one.
        options: dict[str, Any] = {"env": shell.env, "cwd": shell.home, **pipes, **streams}
        self.process: subprocess.Popen[bytes] | Fork
        if command[0] == "chatpost" and can_fork(shell.env) and streams.keys() <= pipes.keys():
            self.process = Fork(command[1:], **options)
        else:
            self.process = subprocess.Popen(command, bufsize=0, **options)
        self._heard = b""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def write(self, text: bytes) -> None:
        """Write to the process's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)

    def line(self) -> str:
        """Return the next line of the process's stdout."""
        return self._next_line(self.process.stdout).decode()

    def read(self, count: int) -> bytes:
        """Return up to this many bytes of the process's stdout."""
        assert self.process.stdout is not None
        return b"".join(self.process.stdout.read(1) for _ in range(count))

    def wait_to_say(self, words: str) -> None:
        """Read the process's stderr until it contains these words."""
        while words.encode() not in self._heard:
            line = self._next_line(self.process.stderr)
            assert line, f"{words!r} is not in {self._heard!r}"
            self._heard += line

    def _next_line(self, stream: IO[bytes] | None) -> bytes:
        assert stream is not None
        assert select.select([stream], [], [], WAIT_LIMIT)[0], f"it says no more than {self._heard!r}"
        return stream.readline()

    def end(self, given: bytes = b"") -> Finished:
        """Write to its stdin and wait for the process to exit. Return its unread stdout and its complete stderr."""
        out, err = self.process.communicate(given, timeout=WAIT_LIMIT)
        err = self._heard + (err or b"")
        return check_for_people(Finished(self.process.wait(), (out or b"").decode(), err.decode()))


def answering(status: int, body: bytes | None = None, **headers: str) -> Fault:
    """Return a fault of kind ``STATUS``; ``Retry_After`` is the header ``Retry-After``."""
    return Fault(Kind.STATUS, status, headers={k.replace("_", "-"): value for k, value in headers.items()}, body=body)


def wait_for(what: str, condition: Callable[[], object]) -> None:
    """Wait until a condition is true. ``what`` names the condition in the error if it times out."""
    deadline = time.monotonic() + WAIT_LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_LIMIT} s in vain for {what}"
        time.sleep(0.01)


def wait_for_requests(chat: Emulator, count: int = 1) -> None:
    """Wait until the emulator has received at least this many requests, answered or not."""
    wait_for(f"request {count}", lambda: len(chat.received) >= count)


def texts(chat: Emulator, space: str = "AAAA") -> list[str]:
    """Return the texts of the messages in a space, in order."""
    return [message.text for message in chat.space(space).messages]


def body_of(chat: Emulator) -> dict[str, Any]:
    """Return the body of the last message in the space."""
    return chat.space().messages[-1].body


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run more workers than there are CPUs: most tests wait for processes or timers."""
    return 3 * (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Exempt what has been imported and collected from garbage collection, which takes a tenth of the time."""
    gc.freeze()


# A busy machine must not make a test fail.
settings.register_profile("chatpost", deadline=None)
settings.load_profile("chatpost")

# A shell starts background jobs with SIGINT ignored, and nohup ignores SIGHUP; child processes would inherit both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisProcess]:
    """Start one redis-server for all tests; each test flushes it first."""
    with RedisProcess() as process:
        yield process


@pytest.fixture
def redis(shared_redis: RedisProcess) -> RedisProcess:
    """Return an empty redis-server, shared with other tests. A test must not stop or reconfigure it."""
    shared_redis.call("FLUSHALL")
    return shared_redis


@pytest.fixture
def chat() -> Iterator[Emulator]:
    """Run an emulator without the quota."""
    with Emulator(quota=0) as emulator:
        yield emulator


@pytest.fixture
def shell(tmp_path: Path, chat: Emulator) -> Shell:
    """Return the command as a process, with CHATPOST_URL set to an emulator webhook."""
    shell = Shell(tmp_path)
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    return shell


class InProcess(Shell):
    """Runs the command in the test's own process, which takes a tenth of the time of a new one.

    What concerns the process itself still runs in one of its own: jobs, the emulator, file descriptors, other threads,
    and PYTHONPATH, which Python reads at start-up.
    """

    def __call__(
        self, *argv: str, stdin: bytes | str | int = b"", stdout: int = subprocess.PIPE, redirect: str = ""
    ) -> Finished:
        """Run ``chatpost`` to its end."""
        is_plain = not (isinstance(stdin, int) or stdout != subprocess.PIPE or redirect or "PYTHONPATH" in self.env)
        is_job = argv[:1] in {(), ("run",), ("emulator",)}
        if not is_plain or is_job or threading.current_thread() is not threading.main_thread():
            return super().__call__(*argv, stdin=stdin, stdout=stdout, redirect=redirect)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            with TemporaryFile() as file, _captured(1) as out, _captured(2) as err:
                file.write(stdin if isinstance(stdin, bytes) else str(stdin).encode())
                file.seek(0)
                with (
                    TextIOWrapper(file, encoding="utf-8") as given,
                    mock.patch.dict(os.environ, self.env, clear=True),
                    mock.patch.multiple(sys, argv=["chatpost", *argv], stdin=given, stdout=out, stderr=err),
                    chdir(self.home),
                ):
                    status = run(group)
                said = [os.pread(stream.fileno(), stream.tell(), 0).decode() for stream in (out, err)]
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return check_for_people(Finished(int(status), *said))


@contextmanager
def _captured(number: int) -> Iterator[TextIOWrapper]:
    """Yield a stream to a file that is also this file descriptor, for whatever writes to the descriptor itself."""
    saved = os.dup(number)
    try:
        with TemporaryFile(buffering=0) as file, TextIOWrapper(file, encoding="utf-8", write_through=True) as stream:
            os.dup2(file.fileno(), number)
            yield stream
    finally:
        os.dup2(saved, number)
        os.close(saved)


@pytest.fixture
def chatpost(tmp_path: Path, chat: Emulator) -> InProcess:
    """Give the command in this process, with CHATPOST_URL set to a webhook of the emulator."""
    shell = InProcess(tmp_path)
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    return shell
