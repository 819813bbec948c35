"""The recipes and workflows in the programs they are written for: act, gitlab-ci-local, Alertmanager and systemd.

The tests of cron and of programs that send mail are in test_sendmail.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from chatpost.emulator import Emulator
from tests.conftest import BIN, KEY, TOKEN, Shell, answering, body_of, texts, wait_for
from tests.senders import can_unshare
from tests.test_recipes import alert_server, recipe, section, served, user
from tests.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["user"]  # a fixture of another module

TOP = Path(__file__).parents[1]
CI = yaml.safe_load((TOP / ".github" / "workflows" / "ci.yml").read_text())
# Stands in for an action of another repository, which sets up a program that is already there.
SET_UP = """
name: Set up
description: Nothing
inputs: {python-version: {}, allow-prereleases: {}, enable-cache: {}}
runs: {using: composite, steps: [{shell: bash, run: echo set up}]}
"""
GIT_USER = ("-c", "user.name=Alice", "-c", "user.email=a@example.com")


def repository(folder: Path, **files: str) -> Path:
    """Create a Git repository with one commit."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], [*GIT_USER, "commit", "-q", "-m", "Mend the pump"]):
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
        subprocess.run(["git", *argv], cwd=folder, env=environment, check=True, capture_output=True)
    return folder


class Act:
    """act, which runs workflows as GitHub does, here without containers and with other actions replaced."""

    def __init__(self, shell: Shell, repository: Path) -> None:
        self._shell, self._repository = shell, repository
        self._actions: dict[str, Path] = {}

    def replace(self, action: str, folder: Path) -> None:
        """Take an action, ``OWNER/NAME@REF``, from a local repository."""
        self._actions[action] = folder

    def __call__(self, event: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the workflows of an event."""
        local = [f"--local-repository={action}={folder}" for action, folder in self._actions.items()]
        command = [need("act"), event, "--pull=false", "-P", "ubuntu-latest=-self-hosted", *local, *argv]
        return subprocess.run(
            command, env=self._shell.env, cwd=self._repository, capture_output=True, text=True, check=False
        )


def actions_in(text: str) -> list[str]:
    """Return the actions of other repositories that a workflow or an action uses."""
    return re.findall(r"uses: (\S+/\S+@\S+)", text)


def test_the_ci_workflow(shell: Shell, tmp_path: Path) -> None:
    """Each job of ci.yml on Linux runs the README's two commands and the checks, in order."""
    workflow = (TOP / ".github" / "workflows" / "ci.yml").read_text()
    makefile = "".join(f"{name}:\n\t@echo ran {name}\n" for name in ("demo", "lint", "test"))
    files = {".github/workflows/ci.yml": workflow, "Makefile": makefile}
    act = Act(shell, repository(tmp_path / "checkout", **files))
    stand_in = repository(tmp_path / "set-up", **{"action.yml": SET_UP})
    for action in actions_in(workflow):
        act.replace(action, stand_in)
    done = act("push", "--matrix", "os:ubuntu-latest")
    assert done.returncode == 0, done.stdout + done.stderr
    for python in CI["jobs"]["test"]["strategy"]["matrix"]["python"]:
        job = f"[CI/Python {python} on ubuntu-latest"
        lines = [line for line in done.stdout.splitlines() if line.startswith(job)]
        assert [line.split()[-1] for line in lines if "| ran" in line] == ["demo", "lint", "test"], done.stdout


def test_the_action(user: Shell, chat: Emulator, tmp_path: Path) -> None:
    """The recipe's workflow posts its failure through the action, with a link to the run and without secrets."""
    action = (TOP / ".github" / "actions" / "chatpost" / "action.yml").read_text()
    workflow = recipe("GitHub Actions with the chatpost action", "yaml")
    act = Act(
        user, repository(tmp_path / "app", **{".github/workflows/nightly.yml": workflow, "Makefile": "all:\n\tfalse\n"})
    )
    release = repository(tmp_path / "chatpost", **{".github/actions/chatpost/action.yml": action})
    stand_in = repository(tmp_path / "set-up", **{"action.yml": SET_UP})
    for used in actions_in(workflow + action):
        name, _, version = used.partition("@")
        act.replace(f"{'/'.join(name.split('/')[:2])}@{version}", release if "chatpost" in name else stand_in)
    # Stands in for uvx, which would install the chatpost of the release.
    (user.home / "uvx").write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    (user.home / "uvx").chmod(0o755)
    (user.home / "make").unlink()
    done = act("schedule", "-s", f"CHAT_WEBHOOK={chat.url(key=KEY, token=TOKEN)}")
    assert "Success - Main OWNER/chatpost/.github/actions/chatpost@v1" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1  # of make
    shown = json.dumps(body_of(chat), ensure_ascii=False)
    parts = ("The nightly build has failed.", "Nightly", "/actions/runs/", "Failed", "<users/all>")
    assert [part for part in parts if part not in shown] == []
    assert not [secret for secret in (KEY, TOKEN) if secret in shown + done.stdout + done.stderr]


def test_gitlab(user: Shell, chat: Emulator, tmp_path: Path) -> None:
    """A job that fails posts its failure in its after_script, with a link to the pipeline; a success does not."""
    work = repository(tmp_path / "app", **{".gitlab-ci.yml": recipe("GitLab CI", "yaml")})
    remote = ["remote", "add", "origin", "git@gitlab.example.com:group/app.git"]
    subprocess.run(["git", *remote], cwd=work, check=True)
    del user.env["CHATPOST_URL"]
    # Without a change, GITLAB_CI is false.
    variables = [f"--variable=CHAT_WEBHOOK={chat.url()}", "--variable=GITLAB_CI=true"]
    command = [need("gitlab-ci-local"), "--force-shell-executor", *variables, "build"]
    for status, count in (("0", 0), ("3", 1)):
        (user.home / "make").write_text(f"#!/bin/sh\nexit {status}\n")
        done = subprocess.run(command, env=user.env, cwd=work, capture_output=True, text=True, check=False)
        assert (done.returncode != 0, len(chat.received)) == (status != "0", count), done.stdout + done.stderr
    shown = json.dumps(body_of(chat), ensure_ascii=False)
    parts = ("The job has failed.", "https://gitlab.example.com/group/app/pipelines/", "group/app", "build")
    assert [part for part in parts if part not in shown] == []


def test_alertmanager(user: Shell, chat: Emulator) -> None:
    """Alertmanager posts an alert through the recipe's receiver and script, and its resolution in the same thread."""
    with alert_server(user) as hook:
        receiver = recipe("Alertmanager and Grafana", "yaml").replace("http://127.0.0.1:9000", hook)
        (user.home / "alertmanager.yml").write_text(f"{receiver}  group_wait: 0s\n  group_interval: 1s\n")
        options = ("--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=")
        with served(user, need("prometheus-alertmanager"), *options, "--web.listen-address=127.0.0.1:{port}") as url:
            alert: dict[str, Any] = {"labels": {"alertname": "DiskFull", "instance": "db-1"}}
            alert["annotations"] = {"summary": "97 %"}
            alert["startsAt"] = "2026-01-02T03:04:05Z"
            assert requests.post(f"{url}/api/v2/alerts", json=[alert], timeout=60).status_code == 200
            wait_for("the alert", lambda: texts(chat) == ["*firing* DiskFull db-1: 97 %"])
            alert["endsAt"] = "2026-01-02T04:00:00Z"
            assert requests.post(f"{url}/api/v2/alerts", json=[alert], timeout=60).status_code == 200
            wait_for("its resolution", lambda: texts(chat)[1:] == ["*resolved* DiskFull db-1: 97 %"])
    assert len(chat.space().threads()) == 1


_FOLDERS = ("usr", "run", "tmp", "bin-of-host", "var/lib/systemd/timers", "etc/systemd/system", "etc/xdg/chatpost")


class Machine:
    """A machine with systemd as its PID 1, the system's Python, this chatpost, and units of the docs.

    It has the host's network. ``root`` is its root directory, with the units' state in ``/var/lib``.
    """

    def __init__(self, root: Path, units: dict[str, str]) -> None:
        self.root = root
        if not can_unshare():
            pytest.skip("this user may not start a machine: run the tests as root")
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True)
        for folder in ("bin", "lib", "lib64", "sbin"):
            (root / folder).symlink_to(f"usr/{folder}")
        (root / "etc/os-release").write_text("ID=test\n")
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        targets = {f"{name}.target": "[Unit]\n" for name in ("sysinit", "basic", "timers", "shutdown")}
        for name, unit in {**targets, **units}.items():
            path = root / "etc/systemd/system" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(unit)
        program = root / "bin-of-host/chatpost"
        program.write_text(f'#!/bin/sh\nexec {BIN}/chatpost "$@"\n')
        program.chmod(0o755)
        same = {Path("/usr"), Path(sys.prefix), Path(sys.base_prefix), TOP}
        paths = sorted(path for path in same if path == Path("/usr") or not path.is_relative_to("/usr"))
        binds = [f"--bind-ro={path}" for path in paths] + [f"--bind-ro={program.parent}:/usr/local/sbin"]
        options = ["--quiet", "--register=no", "--keep-unit", f"--directory={root}"]
        command = [need("systemd-container"), *options]
        tried = subprocess.run([*command, "--bind-ro=/usr", "/bin/true"], stdin=subprocess.DEVNULL, check=False)
        if tried.returncode:
            pytest.skip("this machine does not allow systemd-nspawn")
        self._command = [*command, *binds]

    @contextmanager
    def booted(self, target: str) -> Iterator[None]:
        """Boot it to a target."""
        command = [*self._command, "--setenv=SYSTEMD_UNIT_PATH=/etc/systemd/system", "--boot", "--", f"--unit={target}"]
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        with subprocess.Popen(command, **quiet) as process:
            try:
                yield
            finally:
                subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=False)  # PID 1 of the machine


def test_systemd(chat: Emulator, tmp_path: Path) -> None:
    """When a service fails, the template posts it; if Chat cannot be reached, the timer's service posts it later."""
    blocks = re.findall(r"```ini\n# (\S+)\n(.*?)```", section("systemd"), re.DOTALL)
    units = dict(blocks)
    units["backup.service"] = (
        f"{section('systemd').split('```text')[1].split('```')[0]}[Service]\nExecStart=/bin/false\n"
    )
    units["boot.target"] = "[Unit]\nWants=backup.service\n"
    # Once the message is in the outbox, the timer starts, and is overdue.
    units["chatpost-failed@.service.d/test.conf"] = (
        "[Unit]\nOnSuccess=chatpost-outbox.timer\n[Service]\nEnvironment=CHATPOST_RETRIES=0\n"
    )
    units["chatpost-outbox.timer.d/test.conf"] = "[Timer]\nAccuracySec=1us\n"
    machine = Machine(tmp_path / "machine", units)
    stamp = machine.root / "var/lib/systemd/timers/stamp-chatpost-outbox.timer"
    stamp.touch()
    yesterday = time.time() - 86_400
    os.utime(stamp, (yesterday, yesterday))
    profiles = machine.root / "etc/xdg/chatpost/profiles.toml"
    profiles.write_text(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    profiles.chmod(0o600)
    chat.faults.append(answering(503))
    with machine.booted("boot.target"):
        wait_for("the message", lambda: texts(chat))
    assert [received.status for received in chat.received] == [503, 200]
    shown = json.dumps(body_of(chat), ensure_ascii=False)
    assert "backup.service has failed" in shown
    assert re.fullmatch(r"backup\.service-\d{4}-\d\d-\d\d", body_of(chat)["thread"]["threadKey"])
