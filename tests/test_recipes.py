"""Runs the recipes of docs/recipes.md in conditions as real as a test allows."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from tests.conftest import BIN, KEY, TOKEN, Shell, answering, body_of, texts
from tests.test_action import ACTION, run_action, runner, url_of
from tests.test_ci import BITBUCKET, GITHUB, GITLAB, JENKINS
from tests.test_docs import READERS_SCRIPTS, TOP
from tests.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chatpost.emulator import Emulator

__all__ = ["runner"]  # a fixture of another module

PAGE = (TOP / "docs" / "recipes.md").read_text()
ALERTS: dict[str, Any] = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": "db-1"},
            "annotations": {"summary": "97 %\n<users/all>"},
            "fingerprint": "3b15fd163d36582e",
            "startsAt": "2026-01-02T03:04:05Z",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "Down"},
            "annotations": {},
            "fingerprint": "9f3a2b1c",
            "startsAt": "2026-01-02T03:00:00Z",
        },
    ],
}


def section(heading: str) -> str:
    """Return the text below a heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def recipe(heading: str, language: str) -> str:
    """Return the first block of a language below a heading."""
    return section(heading).split(f"```{language}\n")[1].split("```")[0]


@pytest.fixture
def user(shell: Shell, chat: Emulator) -> Shell:
    """Return a user with a profile and scripts. Stubs stand in for pip, pipx and make."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url(key=KEY, token=TOKEN)}"\n')
    scripts = {**READERS_SCRIPTS, "pip": "exit 0", "make": "exit 0"}
    scripts["pipx"] = 'test "$1 $2 $3" = "run --spec $ARCHIVE" && shift 3 && exec "$@"'
    for name, script in scripts.items():
        path = shell.home / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    shell.env["PATH"] = f"{shell.home}:{shell.env['PATH']}"
    return shell


def shown(chat: Emulator) -> str:
    return json.dumps(body_of(chat), ensure_ascii=False)


def test_the_action(runner: Shell, chat: Emulator) -> None:
    """The workflow step uses only inputs that the action declares, and posts the message."""
    (step,) = [
        its
        for its in yaml.safe_load(recipe("GitHub Actions with the chatpost action", "yaml"))["jobs"]["build"]["steps"]
        if "chatpost" in its.get("uses", "")
    ]
    given = {("on" if name is True else name): value for name, value in step["with"].items()}  # YAML 1.1: "on" is true
    assert set(given) <= set(ACTION["inputs"])
    given["webhook-url"] = url_of(chat)
    ended = run_action(
        runner, status="failure", **{name.replace("-", "_"): str(value) for name, value in given.items()}
    )
    assert ended.outputs["ok"] == "true"
    assert "The nightly build has failed." in shown(chat)


def lines_of(heading: str) -> list[str]:
    """Return the shell commands of a CI configuration."""
    document = yaml.safe_load(recipe(heading, "yaml"))
    lines: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for key, its in value.items():
                if key == "run":
                    lines.append(its)
                elif key in {"script", "after_script", "after-script"}:
                    lines.extend(its)
                else:
                    collect(its)
        elif isinstance(value, list):
            for its in value:
                collect(its)

    collect(document)
    return lines


@pytest.mark.parametrize(
    ("heading", "environment"),
    [
        ("GitHub Actions without the action", GITHUB),
        ("GitLab CI", GITLAB | {"CI_JOB_STATUS": "failed"}),
        ("Bitbucket Pipelines", BITBUCKET | {"BITBUCKET_EXIT_CODE": "1"}),
    ],
)
def test_cis(user: Shell, chat: Emulator, heading: str, environment: dict[str, str]) -> None:
    """Each shell command of the configuration runs in the CI's environment, and the recipe posts the failure."""
    user.env |= environment
    user.env["ARCHIVE"] = "https://github.com/OWNER/chatpost/archive/main.tar.gz"
    for line in lines_of(heading):
        assert user.run("bash", "-e", "-c", line).status == 0, line
    assert len(chat.received) == 1
    assert "has failed." in shown(chat)
    assert "Failed" in shown(chat)


def test_jenkins(user: Shell, chat: Emulator) -> None:
    """The pipeline's shell steps run in Jenkins' environment."""
    user.env |= JENKINS
    lines = re.findall(r"sh '(.*)'", recipe("Jenkins", "groovy"))
    assert [user.run("sh", "-c", line).status for line in lines] == [0, 0]
    assert "app/fix/login #153" in shown(chat)


def test_docker() -> None:
    """The Dockerfile installs the package, switches to a non-root user, and sets chatpost as its entrypoint."""
    text = recipe("Docker", "dockerfile")
    assert re.search(r"^RUN pip install .*\bchatpost-cli\b", text, re.MULTILINE)
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    entry = json.loads(text.split("ENTRYPOINT ")[1])
    assert (BIN / entry[0]).exists()


def test_make(user: Shell, chat: Emulator) -> None:
    """`make deploy` posts the outcome of the deployment, and fails if the deployment fails."""
    (user.home / "Makefile").write_text(recipe("Make", "make"))
    program = shutil.which("make", path="/usr/bin:/bin:/usr/local/bin")
    assert program
    assert user.run(program, "deploy").status == 0
    assert "deploy" in shown(chat)
    (user.home / "deploy.sh").write_text("#!/bin/sh\nexit 3\n")
    assert user.run(program, "deploy").status == 2
    assert len(chat.received) == 2


def test_ansible(user: Shell, chat: Emulator) -> None:
    """Ansible runs the playbook on two hosts, and chatpost posts one message that names both."""
    (user.home / "play.yml").write_text(recipe("Ansible", "yaml"))
    (user.home / "hosts").write_text("[web]\nweb-[1:2]\n[web:vars]\nansible_connection=local\n")
    (user.home / "secrets.json").write_text(json.dumps({"chat_webhook": chat.url()}))
    done = user.run(need("ansible-core"), "-i", "hosts", "-e", "@secrets.json", "play.yml")
    assert (done.status, len(chat.received)) == (0, 1), done
    assert "Deployed to web-1, web-2" in shown(chat)


def test_alerts(user: Shell, chat: Emulator) -> None:
    """The webhook server passes alerts to the script, which posts each incident in its thread.

    A payload without alerts gets a 500.
    """
    with alert_server(user) as url:
        assert requests.post(f"{url}/hooks/alerts", json=ALERTS, timeout=60).status_code == 200
        firing, resolved = texts(chat)
        assert (firing, resolved) == ("*firing* DiskFull db-1: 97 %\n<\u200busers/all>", "*resolved* Down : ")
        first = chat.space().messages[0].body["thread"]
        assert first == {"threadKey": "alert 3b15fd163d36582e 2026-01-02T03:04:05Z"}
        again = {"alerts": [{**ALERTS["alerts"][0], "status": "resolved"}] * 2000}
        assert requests.post(f"{url}/hooks/alerts", json=again, timeout=60).status_code == 200
        assert "bytes omitted after this" in shown(chat)
        assert len(chat.space().threads()) == 2
        for wrong in ('{"alerts": []}', '{"alerts": 5}', "{}"):
            assert requests.post(f"{url}/hooks/alerts", wrong, timeout=60).status_code == 500
    assert len(chat.received) == 3


def alert_server(user: Shell) -> AbstractContextManager[str]:
    """Run the recipe's webhook and script on a free loopback port. Yield its URL."""
    program = user.home / "chatpost-alerts"
    program.write_text(recipe("Alertmanager and Grafana", "sh"))
    program.chmod(0o755)
    hooks = recipe("Alertmanager and Grafana", "json").replace("/usr/local/bin/chatpost-alerts", str(program))
    (user.home / "hooks.json").write_text(hooks)
    return served(user, need("webhook"), "-ip", "127.0.0.1", "-port", "{port}", "-hooks", "hooks.json")


@contextmanager
def served(user: Shell, *command: str) -> Iterator[str]:
    """Run a server, whose command has ``{port}``, on a free loopback port. Yield its URL."""
    environment = {**user.env, "TMPDIR": str(user.home)}
    for _ in range(5):  # another process can take the port
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        argv = [word.replace("{port}", str(port)) for word in command]
        with subprocess.Popen(argv, env=environment, cwd=user.home) as process:
            try:
                if has_started(process, port):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                process.kill()
    pytest.fail(f"{command[0]} does not start")


def has_started(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server accepts connections. Return False if it exits, for example because the port is taken."""
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10):
            return True
        time.sleep(0.01)
    return False


def test_git_hooks(user: Shell, chat: Emulator, tmp_path: Path) -> None:
    """The post-receive hook posts each push to a real repository."""
    bare, work = tmp_path / "bare.git", tmp_path / "work"
    who = {"GIT_AUTHOR_NAME": "Alice", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_CONFIG_GLOBAL": "/dev/null"}
    who |= {"GIT_COMMITTER_NAME": "Alice", "GIT_COMMITTER_EMAIL": "a@example.com"}
    env = {**user.env, **who}

    def git(*argv: str, folder: Path = work) -> None:
        subprocess.run(["git", *argv], cwd=folder, env=env, check=True, capture_output=True)

    git("init", "-q", "--bare", str(bare), folder=tmp_path)
    git("clone", "-q", str(bare), str(work), folder=tmp_path)
    git("checkout", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "One")
    git("push", "-q", "origin", "main")
    hook = bare / "hooks" / "post-receive"
    hook.write_text(recipe("Git hooks", "sh"))
    hook.chmod(0o755)
    git("commit", "-q", "--allow-empty", "-m", "Mend the pump")
    git("push", "-q", "origin", "main")
    assert "Alice: Mend the pump" in shown(chat)
    assert "Pushed to main" in shown(chat)
    git("push", "-q", "origin", "main:other")
    assert "Alice: One" in shown(chat)
    assert "Pushed to other" in shown(chat)
    git("push", "-q", "origin", ":other")
    assert "other is deleted" in shown(chat)


@pytest.mark.parametrize(
    ("line", "command", "status"),
    [
        ("ls /no/such/file", "ls /no/such/file", 2),
        ("n=$(ls /no/such/file)", "n=$(ls /no/such/file)", 2),
        ("( exit 3 )", "( exit 3 )", 3),
        ("tell() { false; }; tell", "false", 1),
    ],
)
def test_a_script_that_fails(user: Shell, chat: Emulator, line: str, command: str, status: int) -> None:
    """The trap posts the failed line and command once, and the script exits with its original status."""
    script = user.home / "job.sh"
    script.write_text(recipe("Shell script errors", "sh").replace("ls /no/such/file", line))
    done = user.run("bash", str(script))
    assert (done.status, len(chat.received)) == (status, 1)
    assert f"Line 6 failed: {command}" in shown(chat)
    user.env["CHATPOST_RETRIES"] = "wrong"
    assert user.run("bash", str(script)).status == status


def test_systemd(user: Shell, chat: Emulator) -> None:
    """The template's command runs with systemd's substitutions, and the timer's service flushes the spooled message."""
    template, service = re.findall(r"^ExecStart=(.*chatpost.*)$", section("systemd"), re.MULTILINE)
    assert section("systemd").count("\nEnvironment=XDG_STATE_HOME=/var/lib\n") == 2  # both units use the same outbox
    filled = template.replace("%i", "backup.service").replace("%H", "db-1").replace("%%", "%").replace("$$", "$")
    user.env["CHATPOST_RETRIES"] = "0"
    chat.faults.append(answering(503))
    assert (user.run("sh", "-c", filled).status, chat.spaces) == (0, {})
    assert user.run("sh", "-c", service).status == 0
    assert "backup.service has failed" in shown(chat)
    assert re.fullmatch(r"backup\.service-\d{4}-\d\d-\d\d", body_of(chat)["thread"]["threadKey"])
    assert os.path.exists("/usr/bin/env")  # noqa: PTH110 - the path as the units have it


SCHEMAS = {
    "GitHub Actions with the chatpost action": "github-workflows",
    "GitHub Actions without the action": "github-workflows",
    "GitLab CI": "gitlab-ci",
    "Bitbucket Pipelines": "bitbucket-pipelines",
}


@pytest.mark.parametrize("heading", SCHEMAS)
def test_schemas(tmp_path: Path, heading: str) -> None:
    """The configuration is valid against the CI's own schema."""
    path = tmp_path / "ci.yml"
    path.write_text(recipe(heading, "yaml"))
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", f"vendor.{SCHEMAS[heading]}", str(path)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
