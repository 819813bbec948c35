"""The details of a run that GitHub, Gitea and Forgejo have only in the event file.

Source: GitHub's and Gitea's documentation of events that start workflows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from chatpost.content.json_parts import part

_OF_WORKFLOW_RUN = {
    "HEAD_REF": "head_branch",
    "SHA": "head_sha",
    "WORKFLOW": "name",
    "RUN_NUMBER": "run_number",
    "RUN_ID": "id",
    "RUN_ATTEMPT": "run_attempt",
}
_ACTORS = ("triggering_actor", "actor")
"""The variables that a ``workflow_run`` replaces, without GITHUB_, and its keys."""


def github_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the details that GitHub has only in the event file, and the variables that a ``workflow_run`` replaces.

    No variable has the commit's message, or a pull request's head commit: GITHUB_SHA is the merge commit, and
    GITHUB_REF can be the base branch.
    """
    event = _github_event(environment.get("GITHUB_EVENT_PATH", ""))
    # Since Gitea 1.26, URLs contain the run's ID. Only the runner's version is known: runners before 0.4 are older.
    is_old = re.match(r"v?0\.[0-3]\.", environment.get("GITEA_ACTIONS_RUNNER_VERSION", ""))
    found = {"gitea.run": environment.get("GITHUB_RUN_NUMBER" if is_old else "GITHUB_RUN_ID", "")}
    if environment.get("GITHUB_EVENT_NAME") == "workflow_run" and (run := part(event, "workflow_run", dict)):
        found |= {f"GITHUB_{name}": _text(run, key) for name, key in _OF_WORKFLOW_RUN.items()}
        found |= {"GITHUB_REF": "", "GITHUB_REF_TYPE": "branch", "GITHUB_JOB": "", "gitea.run": _text(run, "id")}
        found |= _of_commit(part(run, "head_commit", dict))
        actors = filter(None, (_text(part(run, name, dict), "login") for name in _ACTORS))
        found["GITHUB_TRIGGERING_ACTOR"] = found["GITHUB_ACTOR"] = next(actors, "")
        return found | {"event.conclusion": _text(run, "conclusion")}
    pull_request = part(event, "pull_request", dict)
    head = _text(part(pull_request, "head", dict), "sha")
    if not environment.get("GITHUB_HEAD_REF"):
        return found | _of_commit(part(event, "head_commit", dict))
    if not re.fullmatch("[0-9a-f]{40}(?:[0-9a-f]{24})?", head):
        return found
    found |= {
        "event.head": head,
        "event.number": _text(pull_request, "number"),
        "event.title": _text(pull_request, "title"),
    }
    return found | {"event.author": _text(part(pull_request, "user", dict), "login")}


def _of_commit(commit: object) -> dict[str, str]:
    author = part(commit, "author", dict)
    return {
        "event.message": _text(commit, "message"),
        "event.author": _text(author, "name") or _text(author, "username"),
    }


def _github_event(path: str) -> object:
    """Return the event in the file, {} if it cannot be read."""
    file = Path(path)
    try:
        # Reading a named pipe, or some files of the kernel, could block forever. GitHub's files have at most 25 MB.
        is_safe = file.is_file() and 0 < file.stat().st_size <= 32 * 1024 * 1024
        return json.loads(file.read_bytes() if is_safe else b"")
    except (OSError, ValueError, RecursionError):
        return {}


def _text(value: object, name: str) -> str:
    """Return a text or a number in a JSON object as text, else an empty text."""
    return part(value, name, str) or str(part(value, name, int) or "")
