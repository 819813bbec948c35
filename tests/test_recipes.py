"""The recipes of docs/recipes.md, each run in as real a form as a test can."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import BIN, KEY, TOKEN, Shell
from tests.test_action import ACTION, run_action, runner, url_of
from tests.test_ci import BITBUCKET, GITHUB, GITLAB, JENKINS
from tests.test_docs import READERS_SCRIPTS, TOP

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator

__all__ = ["runner"]  # the fixture

PAGE = (TOP / "docs" / "recipes.md").read_text()
ALERTS = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DiskFull", "instance": "db-1"},
            "annotations": {"summary": "97 %"},
        },
        {"status": "resolved", "labels": {"alertname": "Down"}, "annotations": {}},
    ],
}


def recipe(heading: str, language: str) -> str:
    """Return the block of a language below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split(f"```{language}\n")[1].split("```")[0]


@pytest.fixture
def user(shell: Shell, chat: Emulator) -> Shell:
    """Give a user with a profile and scripts of their own, for whom pip and pipx have installed chatpost."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url(key=KEY, token=TOKEN)}"\n')
    scripts = {**READERS_SCRIPTS, "pip": "exit 0", "make": "exit 0"}
    scripts["pipx"] = 'test "$1 $2 $3" = "run --spec chatpost-cli" && shift 3 && exec "$@"'
    for name, script in scripts.items():
        path = shell.home / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    shell.env["PATH"] = f"{shell.home}:{shell.env['PATH']}"
    return shell


def shown(chat: Emulator) -> str:
    return json.dumps(json.loads(chat.received[-1].body), ensure_ascii=False)


def test_the_action(runner: Shell, chat: Emulator) -> None:
    """The step names inputs that the action has, and posts."""
    (step,) = [
        its
        for its in yaml.safe_load(recipe("GitHub Actions, with the action", "yaml"))["jobs"]["build"]["steps"]
        if "chatpost" in its.get("uses", "")
    ]
    given = {("on" if name is True else name): value for name, value in step["with"].items()}  # YAML 1.1 reads on so
    assert set(given) <= set(ACTION["inputs"])
    given["webhook-url"] = url_of(chat)
    ended = run_action(
        runner, status="failure", **{name.replace("-", "_"): str(value) for name, value in given.items()}
    )
    assert (ended.outputs["ok"], "The nightly build has failed." in shown(chat)) == ("true", True)


def lines_of(heading: str) -> list[str]:
    """Return the lines of shell of a CI's configuration."""
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
        ("GitHub Actions, without it", GITHUB),
        ("GitLab CI", GITLAB | {"CI_JOB_STATUS": "failed"}),
        ("Bitbucket Pipelines", BITBUCKET | {"BITBUCKET_EXIT_CODE": "1"}),
    ],
)
def test_cis(user: Shell, chat: Emulator, heading: str, environment: dict[str, str]) -> None:
    """Each line of the configuration runs in its CI's environment, and a failure is told."""
    user.env |= environment
    for line in lines_of(heading):
        assert user.run("bash", "-e", "-c", line).status == 0, line
    assert ("has failed." in shown(chat), "Failed" in shown(chat), len(chat.received)) == (True, True, 1)


def test_jenkins(user: Shell, chat: Emulator) -> None:
    """The steps in the shell run in Jenkins's environment."""
    user.env |= JENKINS
    lines = re.findall(r"sh '(.*)'", recipe("Jenkins", "groovy"))
    assert [user.run("sh", "-c", line).status for line in lines] == [0, 0]
    assert "app/main #153" in shown(chat)


def test_docker() -> None:
    """The image installs the package, runs as a user of its own, and is the command."""
    text = recipe("Docker", "dockerfile")
    assert re.search(r"^RUN pip install .*\bchatpost-cli\b", text, re.MULTILINE)
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    entry = json.loads(text.split("ENTRYPOINT ")[1])
    assert (BIN / entry[0]).exists()


def test_make(user: Shell, chat: Emulator) -> None:
    """`make deploy` posts how it went, and fails as the deployment does."""
    (user.home / "Makefile").write_text(recipe("A Makefile", "make"))
    program = shutil.which("make", path="/usr/bin:/bin:/usr/local/bin")
    assert program
    assert user.run(program, "deploy").status == 0
    assert "deploy" in shown(chat)
    (user.home / "deploy.sh").write_text("#!/bin/sh\nexit 3\n")
    assert user.run(program, "deploy").status == 2
    assert len(chat.received) == 2


def test_ansible(user: Shell, chat: Emulator) -> None:
    """The tasks' commands run."""
    (play,) = yaml.safe_load(recipe("Ansible", "yaml"))
    for task in (*play["tasks"], *play["post_tasks"]):
        command = task["ansible.builtin.command"]
        words = command["argv"] if isinstance(command, dict) else command.split()
        assert user.run(*[re.sub(r"\{\{.*?\}\}", "web-1, web-2", word) for word in words]).status == 0
    assert "Deployed to web-1, web-2" in shown(chat)


def test_alerts(user: Shell, chat: Emulator) -> None:
    """The alerts of Alertmanager and Grafana become a message; without any, nothing is posted."""
    script = recipe("Alertmanager and Grafana", "sh")
    assert user.run("sh", "-c", script, stdin=json.dumps(ALERTS)).status == 0
    assert "*firing* DiskFull db-1: 97 %\\n*resolved* Down : " in shown(chat)
    assert user.run("sh", "-c", script, stdin='{"alerts": []}').status == 0
    assert len(chat.received) == 1


def test_git_hooks(user: Shell, chat: Emulator, tmp_path: Path) -> None:
    """A push to a real repository is told."""
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
    assert ("Alice: Mend the pump" in shown(chat), "Pushed to main" in shown(chat)) == (True, True)
    git("push", "-q", "origin", "main:other")
    assert ("Alice: One" in shown(chat), "Pushed to other" in shown(chat)) == (True, True)
    git("push", "-q", "origin", ":other")
    assert "other is deleted" in shown(chat)


def test_a_script_that_fails(user: Shell, chat: Emulator) -> None:
    """The trap tells the line and the command that failed, and the script fails as before."""
    script = user.home / "job.sh"
    script.write_text(recipe("A script that fails", "sh"))
    done = user.run("bash", str(script))
    assert done.status == 2
    assert "Line 5 failed: ls /no/such/file" in shown(chat)


def test_the_template_of_systemd(user: Shell, chat: Emulator) -> None:
    """The template's command runs, as systemd fills it in."""
    (line,) = re.findall(r"^ExecStart=(.*chatpost.*)$", recipe("systemd", "ini"), re.MULTILINE)
    filled = line.replace("%i", "backup.service").replace("%H", "db-1")
    assert user.run("sh", "-c", filled).status == 0
    assert "backup.service has failed" in shown(chat)
    assert os.path.exists("/usr/bin/env")  # noqa: PTH110 - as the unit names it
