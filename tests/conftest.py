from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

import pytest
from hypothesis import settings

from chatpost.cli.app import run
from chatpost.commands import chatpost as group
from chatpost.emulator import Emulator
from tests.redis_servers import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent
KEY = "AIzaSyMadeUpKeyOfTheTests0123456789-_xy"
TOKEN = "Rt7pZ1madeUpTokenOfTheTests_98765-qwertz%3D"
WAIT_LIMIT = 60
"""Seconds that a test waits for anything, at most."""


def secret_pieces(*secrets: str) -> set[str]:
    """Every piece of 8 characters of the secrets, raw, decoded and encoded."""
    forms = [form for secret in secrets for form in (secret, unquote(secret), quote(unquote(secret), safe=""))]
    return {form[i : i + 8] for form in forms for i in range(len(form) - 7)}


PIECES = secret_pieces(KEY, TOKEN)


class Finished(NamedTuple):
    """A command that has ended; a negative status is the signal that it died of."""

    status: int
    out: str
    err: str

    def expect(self, status: int, *said: str) -> Finished:
        """Check the exit status, and that stderr has each text; a failure shows the whole output. Returns itself."""
        __tracebackhide__ = True
        whole = f"exit status {self.status}\nstdout: {self.out}\nstderr: {self.err}"
        assert self.status == status, whole
        for text in said:
            assert text in self.err, whole
        return self


def check_for_people(finished: Finished) -> Finished:
    """Check the rules of every run: no traceback, no secret."""
    said = finished.out + finished.err
    assert "Traceback" not in said, said
    leaked = [piece for piece in PIECES if piece in said]
    assert not leaked, said
    return finished


class Shell:
    """Runs the installed command in an environment of its own, with nothing on stdin."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {"HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(home / "config")}
        self.env |= {"XDG_STATE_HOME": str(home / "state"), "CHATPOST_PACING": "0"}
        for variable in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
            if variable in os.environ:
                self.env[variable] = os.environ[variable]

    @property
    def config(self) -> Path:
        """The user's profile file."""
        return self.home / "config" / "chatpost" / "profiles.toml"

    def write_profiles(self, text: str, mode: int = 0o600) -> Path:
        """Write the user's profile file."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text)
        self.config.chmod(mode)
        return self.config

    def __call__(
        self, *argv: str, stdin: bytes | str | int = b"", stdout: int = subprocess.PIPE, redirect: str = ""
    ) -> Finished:
        """Run ``chatpost`` to its end. An int for stdin or stdout is a file descriptor; ``redirect`` is shell."""
        script = f'exec chatpost "$@" {redirect}'
        return self.run("sh", "-c", script, "sh", *argv, stdin=stdin, stdout=stdout)

    def run(self, *command: str, stdin: bytes | str | int = b"", stdout: int = subprocess.PIPE) -> Finished:
        """Run any command to its end."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        feed: dict[str, Any] = {"stdin": given} if isinstance(given, int) else {"input": given}
        feed |= {"stdout": stdout, "stderr": subprocess.PIPE, "timeout": WAIT_LIMIT}
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, env=self.env, cwd=self.home, check=False, **feed
        )
        return check_for_people(Finished(done.returncode, (done.stdout or b"").decode(), done.stderr.decode()))

    def start(self, *argv: str, **streams: Any) -> Running:
        """Start ``chatpost``; each of stdin, stdout and stderr is a pipe unless it is given."""
        return Running(self, "chatpost", *argv, **streams)


class Running:
    """A command that a test talks to while it runs."""

    def __init__(self, shell: Shell, *command: str, **streams: Any) -> None:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        # Unbuffered, so that reading a line takes nothing of the next one.
        options: dict[str, Any] = {"env": shell.env, "cwd": shell.home, "bufsize": 0, **pipes, **streams}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(command, **options)
        self._heard = b""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def write(self, text: bytes) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(text)

    def line(self) -> str:
        """Return the next line of its stdout."""
        return self._next_line(self.process.stdout).decode()

    def read(self, count: int) -> bytes:
        """Return this many bytes of its stdout, or fewer at its end."""
        assert self.process.stdout is not None
        return b"".join(self.process.stdout.read(1) for _ in range(count))

    def wait_to_say(self, words: str) -> None:
        """Read its stderr until it has these words."""
        while words.encode() not in self._heard:
            line = self._next_line(self.process.stderr)
            assert line, f"{words!r} is not in {self._heard!r}"
            self._heard += line

    def _next_line(self, stream: IO[bytes] | None) -> bytes:
        assert stream is not None
        assert select.select([stream], [], [], WAIT_LIMIT)[0], f"it says no more than {self._heard!r}"
        return stream.readline()

    def end(self) -> Finished:
        """Wait for its end. Stdout is what has not been read by then; stderr is whole."""
        out, err = self.process.communicate(timeout=WAIT_LIMIT)
        err = self._heard + (err or b"")
        return check_for_people(Finished(self.process.returncode, (out or b"").decode(), err.decode()))


def wait_for(what: str, condition: Callable[[], object]) -> None:
    """Wait until a condition is true; ``what`` names it if that takes longer than a minute."""
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
    """Run more tests at once than there are CPUs: most of them wait for processes and seconds."""
    return 2 * (os.cpu_count() or 1)


# A busy machine must fail no test.
settings.register_profile("chatpost", deadline=None)
settings.load_profile("chatpost")

# A shell's background job ignores SIGINT, one under nohup SIGHUP, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisProcess]:
    """Give one redis-server to many tests, of which each empties it first."""
    with RedisProcess() as process:
        yield process


@pytest.fixture
def redis(shared_redis: RedisProcess) -> RedisProcess:
    """Give a redis-server that is empty, and that the test leaves running as it was."""
    shared_redis.call("FLUSHALL")
    return shared_redis


@pytest.fixture
def chat() -> Iterator[Emulator]:
    """Serve a Google Chat without its quota."""
    with Emulator(quota=False) as emulator:
        yield emulator


@pytest.fixture
def shell(tmp_path: Path, chat: Emulator) -> Shell:
    """Give the installed command, with CHATPOST_URL set to a webhook of the emulator."""
    shell = Shell(tmp_path)
    shell.env["CHATPOST_URL"] = chat.url(key=KEY, token=TOKEN)
    return shell


class InProcess:
    """Runs the command in this process, which is faster, for tests that need no process of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *argv: str) -> Finished:
        """Run ``chatpost`` with the arguments."""
        self._monkeypatch.setattr(sys, "argv", ["chatpost", *argv])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            status = run(group)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        captured = self._capsys.readouterr()
        return check_for_people(Finished(int(status), captured.out, captured.err))


@pytest.fixture
def chatpost(
    tmp_path: Path, chat: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    """Give the command in this process, with CHATPOST_URL set to a webhook of the emulator and nothing else."""
    for variable in [name for name in os.environ if name.startswith(("CHATPOST_", "XDG_")) or "CA_BUNDLE" in name]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CHATPOST_PACING", "0")
    monkeypatch.setenv("CHATPOST_URL", chat.url(key=KEY, token=TOKEN))
    return InProcess(monkeypatch, capsys)
