"""The action for GitHub: each of its steps runs as the runner would run it, against the emulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from chatpost import __version__
from chatpost.emulator.faults import Fault, Kind, answering
from tests.conftest import KEY, PIECES, TOKEN, Shell
from tests.test_ci import GITHUB

if TYPE_CHECKING:
    from chatpost.emulator import Emulator

FILE = Path(__file__).parent.parent / ".github" / "actions" / "chatpost" / "action.yml"
ACTION: dict[str, Any] = yaml.safe_load(FILE.read_text())

# Stands in for the program that installs a version and runs it: this checkout is what it installs.
UVX = """#!/bin/sh
test "$1 $2" = "--quiet --from" && test "$3" = "chatpost-cli==VERSION" && shift 3 && exec "$@"
"""


class Ended(NamedTuple):
    """A run of the action: its status, what it has said to the runner, and its outputs."""

    status: int
    said: str
    outputs: dict[str, str]


@pytest.fixture
def runner(shell: Shell) -> Shell:
    """Give a runner of GitHub's."""
    del shell.env["CHATPOST_URL"]
    shell.env |= GITHUB
    uvx = shell.home / "uvx"
    uvx.write_text(UVX.replace("VERSION", __version__))
    uvx.chmod(0o755)
    shell.env["PATH"] = f"{shell.home}:{shell.env['PATH']}"
    return shell


def run_action(runner: Shell, **inputs: str) -> Ended:
    """Run each step of the action that has a script, as the runner does."""
    given = {"status": "success", "thread-key": "1658821493"}
    values = {name: str(its.get("default", "")) for name, its in ACTION["inputs"].items()} | given
    values |= {name.replace("_", "-"): value for name, value in inputs.items()}
    output, said = runner.home / "output", ""
    output.write_text("")
    for step in ACTION["runs"]["steps"]:
        if "run" not in step:
            continue
        env = {name: values[re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", r"\1", its)] for name, its in step["env"].items()}
        script = runner.home / "script.sh"
        script.write_text(step["run"])
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        environment = {**runner.env, **env, "GITHUB_OUTPUT": str(output)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=runner.home)
        said += done.stdout
        hidden = [
            line.partition("::add-mask::")[2].replace("%25", "%")
            for line in said.splitlines()
            if line.startswith("::add-mask::")
        ]
        shown = "\n".join(line for line in (said + done.stderr).splitlines() if not line.startswith("::add-mask::"))
        for secret in hidden:
            shown = shown.replace(secret, "***")
        assert not [piece for piece in PIECES if piece in shown]
        if done.returncode:
            break
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return Ended(done.returncode, said, outputs)


def url_of(chat: Emulator) -> str:
    return chat.url(key=KEY, token=TOKEN)


def test_a_message(runner: Shell, chat: Emulator) -> None:
    """It posts a card of the run, in the run's thread, hides the secrets, and gives the message's names."""
    ended = run_action(runner, webhook_url=url_of(chat), text="Done -- *all* $(of) it", fields="Size=3\nTime=4 s")
    assert ended.status == 0
    masks = re.findall("::add-mask::(.*)", ended.said)
    assert masks == [KEY, TOKEN.replace("%", "%25"), url_of(chat).replace("%", "%25")]
    message = chat.space().messages[0]
    assert ended.outputs["ok"] == "true"
    assert (ended.outputs["name"], ended.outputs["thread"]) == (
        message.name,
        message.name.replace("messages", "threads").partition(".")[0],
    )
    assert ended.outputs["request-id"] == chat.received[0].query["requestId"]
    body = json.loads(chat.received[0].body)
    shown = json.dumps(body)
    assert [part for part in ("Tests #3", "Done -- ", "Size", "4 s", "Open run", "OK") if part not in shown] == []
    assert body["thread"]["threadKey"] == "1658821493"


@pytest.mark.parametrize(("status", "word"), [("success", "OK"), ("failure", "Failed"), ("cancelled", "Warning")])
def test_statuses(runner: Shell, chat: Emulator, status: str, word: str) -> None:
    """The card shows the job's status, and mentions people only if it has failed."""
    assert run_action(runner, webhook_url=url_of(chat), status=status, mention="12 34").outputs["ok"] == "true"
    shown = chat.received[0].body.decode()
    assert word in shown
    assert ("<users/12> <users/34>" in shown) == (status == "failure")


@pytest.mark.parametrize("on", ["always", "failure", "success"])
@pytest.mark.parametrize("status", ["success", "failure", "cancelled"])
def test_when_to_post(runner: Shell, chat: Emulator, on: str, status: str) -> None:
    """It posts always, or only for one status; nothing to post is no failure."""
    ended = run_action(runner, webhook_url=url_of(chat), status=status, on=on)
    assert (ended.status, ended.outputs["ok"]) == (0, "true")
    assert len(chat.received) == (on in {"always", status})


def test_a_fork(runner: Shell, chat: Emulator) -> None:
    """Without the secret, as in a pull request from a fork, it is a notice and no failure."""
    ended = run_action(runner, webhook_url="", errors="true")
    assert (ended.status, ended.outputs, chat.received) == (0, {"ok": "false"}, [])
    assert ended.said.startswith("::notice title=chatpost::There is no webhook URL")
    assert "add-mask" not in ended.said


@pytest.mark.parametrize(("errors", "status"), [("false", 0), ("true", 1)])
def test_a_failure(runner: Shell, chat: Emulator, errors: str, status: int) -> None:
    """A message that cannot be posted is never silent: a warning and ok=false, or with errors=true a failure."""
    chat.faults.extend([answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat), errors=errors)
    assert (ended.status, ended.outputs["ok"]) == (status, "false")
    assert "name" not in ended.outputs
    level = "error" if status else "warning"
    assert re.search(rf"^::{level} title=chatpost::Posting has failed \(status 77\): .*403", ended.said, re.MULTILINE)


def test_a_part(runner: Shell, chat: Emulator) -> None:
    """Of a long text of which only a part could be posted, the outputs name that part, and the warning says so."""
    chat.faults.extend([Fault(Kind.NONE), answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat), text="word " * 14_000)
    assert (ended.outputs["ok"], ended.outputs["name"]) == ("false", chat.space().messages[0].name)
    assert "1 of 3 parts are posted" in ended.said
    assert "not posted" not in ended.said


def test_no_room(runner: Shell, chat: Emulator) -> None:
    """If the runner has no room for a temporary file, it is told."""
    runner.env["TMPDIR"] = str(runner.home / "nowhere")
    ended = run_action(runner, webhook_url=url_of(chat))
    assert (ended.status, ended.outputs["ok"], chat.received) == (0, "false", [])
    assert "::warning title=chatpost::There is no room for a temporary file" in ended.said


def test_a_field_without_a_value(runner: Shell, chat: Emulator) -> None:
    """A field with an empty value, such as another step's output that is not set, is left out."""
    assert run_action(runner, webhook_url=url_of(chat), fields="Tag=\nSize=3\nTime= ").outputs["ok"] == "true"
    shown = chat.received[0].body.decode()
    assert [label in shown for label in ("Tag", "Size", "Time")] == [False, True, False]


@pytest.mark.parametrize(
    "inputs",
    [{"on": "never"}, {"status": "skipped"}, {"fields": "no pair"}, {"mention": "x y z!", "status": "failure"}],
)
def test_wrong_inputs(runner: Shell, chat: Emulator, inputs: dict[str, str]) -> None:
    """A wrong input is told and posts nothing."""
    ended = run_action(runner, webhook_url=url_of(chat), **inputs)
    assert (ended.status, ended.outputs["ok"], chat.received) == (0, "false", [])
    assert "::warning title=chatpost::" in ended.said


@pytest.mark.parametrize(
    "variables",
    [{"CHATPOST_SOFT_FAIL": "1"}, {"CHATPOST_SPOOL": "1"}, {"CHATPOST_SPOOL_FIRST": "1"}, {"CHATPOST_DRY_RUN": "1"}],
    ids=lambda variables: next(iter(variables)),
)
def test_the_jobs_own_variables(runner: Shell, chat: Emulator, variables: dict[str, str]) -> None:
    """They do not change the action's message: ok is true only if it is posted."""
    runner.env |= variables | {"CHATPOST_THREAD": "spaces/AAAA/threads/T"}
    chat.faults.extend([answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat))
    assert ended.outputs["ok"] == "false"
    assert "::warning" in ended.said
    ended = run_action(runner, webhook_url=url_of(chat), fields="A=1\n\nB=2\n")
    assert (ended.outputs["ok"], ended.outputs["name"]) == ("true", chat.space().messages[0].name)


def test_a_url_on_several_lines(runner: Shell, chat: Emulator) -> None:
    """Each line of a secret is hidden, before anything else is said."""
    ended = run_action(runner, webhook_url=f"\n{url_of(chat)}\n")
    assert ended.outputs["ok"] == "true"
    assert all(line.startswith("::add-mask::") for line in ended.said.splitlines() if "token" in line)


def test_no_input_is_put_into_a_script() -> None:
    """Values go by the environment: no script holds an expression, which could be anybody's words."""
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_it_is_pinned() -> None:
    """It installs this version, by an action that is pinned by its hash."""
    assert str(ACTION["inputs"]["version"]["default"]) == __version__
    uses = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert [re.fullmatch(r"astral-sh/setup-uv@[0-9a-f]{40}", its) is not None for its in uses] == [True]


def test_every_action_is_pinned() -> None:
    """Every action that a workflow uses is pinned by its hash."""
    for path in (FILE.parent.parent.parent / "workflows").iterdir():
        for uses in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.search(r"@[0-9a-f]{40}$", uses), f"{path.name}: {uses}"
    assert os.access(FILE, os.R_OK)
