"""The GitHub action: each step runs as on a GitHub runner, against the emulator."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from chatpost.emulator.faults import Fault, Kind
from tests.conftest import KEY, PIECES, TOKEN, Shell, answering
from tests.test_ci import GITHUB

if TYPE_CHECKING:
    from chatpost.emulator import Emulator

FILE = Path(__file__).parent.parent / ".github" / "actions" / "chatpost" / "action.yml"
ACTION: dict[str, Any] = yaml.safe_load(FILE.read_text())

# Stands in for uvx, which installs chatpost from the checkout that contains the action. This one runs this checkout.
UVX = """#!/bin/sh
test "$1 $2 $3" = "--quiet --from /actions/chatpost/v1/.github/actions/chatpost/../../.." && shift 3 && exec "$@"
"""


class Ended(NamedTuple):
    """A run of the action: its exit status, its output and its outputs for later steps."""

    status: int
    said: str
    outputs: dict[str, str]


@pytest.fixture
def runner(shell: Shell) -> Shell:
    """Return a shell set up like a GitHub runner."""
    del shell.env["CHATPOST_URL"]
    shell.env |= GITHUB
    uvx = shell.home / "uvx"
    uvx.write_text(UVX)
    uvx.chmod(0o755)
    shell.env["PATH"] = f"{shell.home}:{shell.env['PATH']}"
    return shell


def run_action(runner: Shell, **inputs: str) -> Ended:
    """Run each step of the action that has a script, like a GitHub runner."""
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
        environment = {
            **runner.env,
            **env,
            "GITHUB_OUTPUT": str(output),
            "GITHUB_ACTION_PATH": "/actions/chatpost/v1/.github/actions/chatpost",
        }
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
    """The action masks the secrets, posts a card about the run in its thread, and outputs the message's names."""
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


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("success", "OK"),
        ("failure", "Failed"),
        ("timed_out", "Failed"),
        ("cancelled", "Warning"),
        ("skipped", "Info"),
        ("neutral", "Info"),
    ],
)
def test_statuses(runner: Shell, chat: Emulator, status: str, word: str) -> None:
    """The card shows the job's status. The action mentions users only if the job failed."""
    assert run_action(runner, webhook_url=url_of(chat), status=status, mention="12 34").outputs["ok"] == "true"
    shown = chat.received[0].body.decode()
    assert word in shown
    assert ("<users/12> <users/34>" in shown) == (word == "Failed")


WHEN = {
    "always": {"success", "failure", "timed_out", "cancelled", "skipped", "neutral"},
    "failure": {"failure", "timed_out"},
    "success": {"success"},
    "unsuccessful": {"failure", "timed_out", "cancelled"},
}


@pytest.mark.parametrize("on", WHEN)
@pytest.mark.parametrize("status", sorted(WHEN["always"]))
def test_when_to_post(runner: Shell, chat: Emulator, on: str, status: str) -> None:
    """The action posts always, or only for some statuses. It succeeds if it has no message to post."""
    ended = run_action(runner, webhook_url=url_of(chat), status=status, on=on)
    assert (ended.status, ended.outputs["ok"]) == (0, "true")
    assert len(chat.received) == (status in WHEN[on])


@pytest.mark.parametrize(
    ("mention", "shown"),
    [
        ("<users/all>", "<users/all>"),
        ("1, 2", "<users/1> <users/2>"),
        ("@all", "<users/all>"),
        ("users/1;2", "<users/1> <users/2>"),
    ],
)
def test_forms_of_mentions(runner: Shell, chat: Emulator, mention: str, shown: str) -> None:
    """The action takes the forms in which people write mentions."""
    ended = run_action(runner, webhook_url=url_of(chat), status="failure", mention=mention)
    assert (ended.outputs["ok"], "::warning" in ended.said) == ("true", False)
    assert json.loads(chat.received[0].body)["text"].startswith(f"{shown} ")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"mention": "1 x@y.example"}, "The input 'mention' accepts user IDs (numbers) and all; other values"),
        ({"fields": "A=1\nno pair\n=x"}, "The input 'fields' has lines that are not LABEL=VALUE"),
        ({"status": "strange"}, "The input 'status' is not a known status"),
        ({"thread_key": "spaces/A/threads/B"}, "Posted without fields, text, a thread key: chatpost"),
        (
            {"mention": "1 x"} | {"fields": "\n".join(f"F{n}={'<' * 9000}" for n in range(9))},
            "Posted without fields: chatpost: error: ",
        ),
    ],
)
def test_a_failure_is_not_lost(runner: Shell, chat: Emulator, inputs: dict[str, str], said: str) -> None:
    """An input that cannot be posted is left out, with a warning: the message about the failure is posted."""
    ended = run_action(runner, webhook_url=url_of(chat), text="It failed", **({"status": "failure"} | inputs))
    assert (ended.status, ended.outputs["ok"], len(chat.received)) == (0, "true", 1)
    assert f"::warning title=chatpost::{said}" in ended.said
    shown = chat.received[0].body.decode()
    assert "Failed" in shown
    assert ("It failed" in shown) is ("thread_key" not in inputs)
    assert ("<users/1>" in shown, "no pair" in shown) == ("mention" in inputs, False)


def test_a_value_of_a_stranger(runner: Shell, chat: Emulator) -> None:
    """The lines of a value from toJSON do not become fields, and `<users/all>` in it notifies no one."""
    value = json.dumps('Fix "it"\n<users/all>\nDeployed=yes \\ no')
    assert run_action(runner, webhook_url=url_of(chat), fields=f"Commit={value}\nSize=3").outputs["ok"] == "true"
    body = json.loads(chat.received[0].body)
    widgets = body["cardsV2"][0]["card"]["sections"][0]["widgets"]
    fields = {its["topLabel"]: its["text"] for each in widgets if "topLabel" in (its := each.get("decoratedText", {}))}
    assert (fields["Commit"], fields["Size"]) == ('Fix "it" @all Deployed=yes \\ no', "3")
    assert "Deployed" not in fields
    assert "<users/" not in json.dumps(body)


def test_a_long_field(runner: Shell, chat: Emulator) -> None:
    """A field that is too long is cut; the others, and the mention, stay."""
    fields = f"Commit={'<' * 9000}\nEnv=prod"
    ended = run_action(runner, webhook_url=url_of(chat), status="failure", mention="all", fields=fields)
    body = json.loads(chat.received[0].body)
    assert (ended.outputs["ok"], body["text"].startswith("<users/all> "), len(chat.received)) == ("true", True, 1)
    assert "prod" in json.dumps(body)


def test_a_text_that_chat_rejects(runner: Shell, chat: Emulator) -> None:
    """If Chat rejects the text, the action posts the status and the run alone."""
    chat.faults.extend([answering(400), answering(400)])
    ended = run_action(runner, webhook_url=url_of(chat), status="failure", text="odd")
    assert (ended.outputs["ok"], "Posted without fields, text: " in ended.said) == ("true", True)
    assert "odd" not in chat.received[2].body.decode()


def test_a_fork(runner: Shell, chat: Emulator) -> None:
    """Without the secret, as in a pull request from a fork, the action prints a notice and succeeds."""
    ended = run_action(runner, webhook_url="", errors="true")
    assert (ended.status, ended.outputs, chat.received) == (0, {"ok": "false"}, [])
    assert ended.said.startswith("::notice title=chatpost::There is no webhook URL")
    assert "add-mask" not in ended.said


@pytest.mark.parametrize(("errors", "status"), [("false", 0), ("true", 1)])
def test_a_failure(runner: Shell, chat: Emulator, errors: str, status: int) -> None:
    """A failure to post prints a warning and sets ok=false. With errors=true, it fails the step."""
    chat.faults.extend([answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat), errors=errors)
    assert (ended.status, ended.outputs["ok"]) == (status, "false")
    assert "name" not in ended.outputs
    level = "error" if status else "warning"
    assert re.search(rf"^::{level} title=chatpost::Posting failed \(exit status 77\): .*403", ended.said, re.MULTILINE)


def test_a_part(runner: Shell, chat: Emulator) -> None:
    """If only part of a long text is posted, the outputs name the first message and the warning has the count."""
    chat.faults.extend([Fault(Kind.NONE), answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat), text="word " * 14_000)
    assert (ended.outputs["ok"], ended.outputs["name"]) == ("false", chat.space().messages[0].name)
    assert "Posted 1 of 3 parts" in ended.said
    assert "not posted" not in ended.said


def test_no_room(runner: Shell, chat: Emulator) -> None:
    """The action prints a warning if it cannot create a temporary file."""
    runner.env["TMPDIR"] = str(runner.home / "nowhere")
    ended = run_action(runner, webhook_url=url_of(chat))
    assert (ended.status, ended.outputs["ok"], chat.received) == (0, "false", [])
    assert "::warning title=chatpost::Cannot create a temporary file" in ended.said


def test_a_field_without_a_value(runner: Shell, chat: Emulator) -> None:
    """The action omits a field with an empty value, such as an unset output of another step."""
    assert run_action(runner, webhook_url=url_of(chat), fields="Tag=\nSize=3\nTime= ").outputs["ok"] == "true"
    shown = chat.received[0].body.decode()
    assert [label in shown for label in ("Tag", "Size", "Time")] == [False, True, False]


def test_a_wrong_time_to_post(runner: Shell, chat: Emulator) -> None:
    """The action prints a warning about an invalid input `on` and does not post."""
    ended = run_action(runner, webhook_url=url_of(chat), on="never")
    assert (ended.status, ended.outputs["ok"], chat.received) == (0, "false", [])
    assert "::warning title=chatpost::" in ended.said


@pytest.mark.parametrize(
    "variables",
    [{"CHATPOST_SOFT_FAIL": "1"}, {"CHATPOST_SPOOL": "1"}, {"CHATPOST_SPOOL_ONLY": "1"}, {"CHATPOST_DRY_RUN": "1"}],
    ids=lambda variables: next(iter(variables)),
)
def test_the_jobs_own_variables(runner: Shell, chat: Emulator, variables: dict[str, str]) -> None:
    """The job's CHATPOST_ variables do not affect the action: ok is true only if the message is posted."""
    runner.env |= variables | {"CHATPOST_THREAD": "spaces/AAAA/threads/T"}
    chat.faults.extend([answering(403)])
    ended = run_action(runner, webhook_url=url_of(chat))
    assert ended.outputs["ok"] == "false"
    assert "::warning" in ended.said
    ended = run_action(runner, webhook_url=url_of(chat), fields="A=1\n\nB=2\n")
    assert (ended.outputs["ok"], ended.outputs["name"]) == ("true", chat.space().messages[0].name)


def test_a_url_on_several_lines(runner: Shell, chat: Emulator) -> None:
    """The action masks each line of a secret before it prints anything else."""
    ended = run_action(runner, webhook_url=f"\n{url_of(chat)}\n")
    assert ended.outputs["ok"] == "true"
    assert all(line.startswith("::add-mask::") for line in ended.said.splitlines() if "token" in line)


def test_no_input_is_put_into_a_script() -> None:
    """Inputs reach scripts through environment variables.

    No script contains an expression, which would allow injection.
    """
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


def test_it_is_pinned() -> None:
    """By default, the action installs chatpost from its own checkout, with setup-uv pinned by hash."""
    assert ACTION["inputs"]["version"]["default"] == ""
    uses = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert [re.fullmatch(r"astral-sh/setup-uv@[0-9a-f]{40}", its) is not None for its in uses] == [True]


def test_every_action_is_pinned() -> None:
    """Every workflow pins the actions that it uses by hash."""
    for path in (FILE.parent.parent.parent / "workflows").iterdir():
        for uses in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.search(r"@[0-9a-f]{40}$", uses), f"{path.name}: {uses}"
    assert os.access(FILE, os.R_OK)
