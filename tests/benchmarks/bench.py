"""The processes of the contenders: their server, their environment, and their cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.chat import Chat

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Run:
    """A finished process: its seconds of CPU time and of wall-clock time, and its exit status."""

    cpu: float
    wall: float
    status: int


@dataclass(frozen=True)
class Bench:
    """The server, and the home directory of the processes that post to it."""

    chat: Chat
    home: Path

    def environment(self, command: Sequence[str], **more: str) -> dict[str, str]:
        """Return the environment of a contender, which trusts the server as it trusts Google by default.

        requests, httplib2 and curl load a bundle. chatpost looks into the machine's hashed directory.
        """
        bundle = str(self.chat.ca_bundle)
        trusted = dict.fromkeys(("REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS", "CURL_CA_BUNDLE"), bundle)
        if command[0] == "chatpost":
            trusted = {"SSL_CERT_DIR": str(self.chat.ca_directory)}
        homes = {name: str(self.home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
        return {"PATH": f"{BIN}:/usr/bin:/bin", **homes, **trusted, **more}

    def start(self, command: Sequence[str], **more: str) -> Callable[[], Run]:
        """Start a process; return a function that waits for its end."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=self.environment(command, **more),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def finish() -> Run:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            return Run(usage.ru_utime + usage.ru_stime, time.perf_counter() - began, process.returncode)

        return finish
