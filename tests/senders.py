"""Real programs that send mail, in a mount namespace where /usr/sbin/sendmail is `chatpost sendmail`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import BIN, WAIT_LIMIT

TOP = Path(__file__).parents[1]
_PRIVATE = ("/usr/sbin", "/usr/bin", "/etc")
"""Directories whose changes stay in the namespace. The daemons' own directories are empty there."""
_EMPTY = ("/run", "/var/spool/cron", "/var/mail")


def can_unshare() -> bool:
    """Return whether this process may create a mount namespace with overlays: as root, outside most containers."""
    overlay = "mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/b,workdir=/mnt/c /etc"
    command = ["unshare", "--mount", "sh", "-ec", f"mount -t tmpfs none /mnt; mkdir /mnt/b /mnt/c; {overlay}"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


class MailHost:
    """A host whose mail goes to chatpost, with ``profiles`` as the system's profile file.

    ``state`` is the state directory of all its users.
    """

    def __init__(self, folder: Path, profiles: str) -> None:
        if not can_unshare():
            pytest.skip("this user may not create a mount namespace: run the tests as root")
        self.state = folder / "state"
        self._folder = folder
        (folder / "upper").mkdir()
        setup = [f"mount -t tmpfs none {folder}/upper"]
        for place in _PRIVATE:
            upper, work = (f"{folder}/upper/{kind}{place.replace('/', '-')}" for kind in ("upper", "work"))
            setup.append(f"mkdir {upper} {work}")
            setup.append(f"mount -t overlay none -o lowerdir={place},upperdir={upper},workdir={work} {place}")
        setup += [f"mkdir -p {place}; mount -t tmpfs none {place}" for place in _EMPTY]
        setup += ["rm -f /etc/crontab /etc/cron.*/* /etc/localtime", "ln -sf s-nail /usr/bin/mail"]
        documented = (TOP / "docs" / "sendmail.md").read_text().split("```sh\n")[2].split("```")[0]
        first, command = documented.replace("/usr/local/bin", str(BIN)).splitlines()
        wrapper = f"{first}\nexport XDG_STATE_HOME={self.state}\n{command}\n"
        setup += [f"printf %s {shlex.quote(wrapper)} > /usr/sbin/sendmail", "chmod 755 /usr/sbin/sendmail"]
        setup += ["mkdir -p /etc/xdg/chatpost", f"printf %s {shlex.quote(profiles)} > /etc/xdg/chatpost/profiles.toml"]
        self._setup = "\n".join(setup)

    def start(self, script: str) -> subprocess.Popen[bytes]:
        """Run a script on the host, in a process group of its own."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-ec",
                f"{self._setup}\n{script}",
            ],
            env=environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, script: str) -> str:
        """Run a script to its end; return its output."""
        process = self.start(script)
        out, _ = process.communicate(timeout=WAIT_LIMIT)
        assert process.returncode == 0, out.decode()
        return out.decode()

    def stop(self, process: subprocess.Popen[bytes]) -> str:
        """Kill a daemon and all its children; return its output."""
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate(timeout=WAIT_LIMIT)[0].decode()
