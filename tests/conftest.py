from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import settings

from chatpost.cli.app import run
from chatpost.commands import chatpost as group
from chatpost.emulator import Emulator
from tests.redis_servers import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
KEY = "AIzaSyMadeUpKeyOfTheTests0123456789-_xy"
TOKEN = "Rt7pZ1madeUpTokenOfTheTests_98765-qwertz%3D"


def secret_pieces(*secrets: str) -> set[str]:
    """Every piece of 8 characters of the secrets, raw, decoded and encoded."""
    forms = [form for secret in secrets for form in (secret, unquote(secret), quote(unquote(secret), safe=""))]
    return {form[i : i + 8] for form in forms for i in range(len(form) - 7)}


PIECES = secret_pieces(KEY, TOKEN)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str


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
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, env=self.env, cwd=self.home, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False, **feed
        )
        return check_for_people(Finished(done.returncode, (done.stdout or b"").decode(), done.stderr.decode()))


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
