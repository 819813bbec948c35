"""The CI run that a command is a part of, from the CI's variables: fields of a card, and a link to the run.

The sources are each CI's own list of predefined variables. Only what it tells is shown.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatpost.content.secrets import MASK, masked
from chatpost.content.terminal import screen_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COMMIT = 8  # hexadecimal digits of a commit that are shown
_LONGEST = 200
_LARGEST_EVENT = 32 * 1024 * 1024  # bytes; GitHub's have 25 MB at most
_LONGEST_URL = 2000
_PULL_REQUEST = re.compile(r"refs/pull/(\d+)/.*|(\d+)|https?://.*/(?:pull|pull-requests|merge_requests)/(\d+)")
_COMMIT_NAME = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Anyone who opens a pull request names its branch.
_TURNING = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_PASSWORD = re.compile(r"(?<=://)\S*@")
# A pull request's own commit is only in GitHub's event file: GITHUB_SHA is the one that merges it, GITHUB_REF can be
# the branch that it is for.
_EVENT_HEAD, _EVENT_NUMBER = "event.head", "event.number"


CIS: Mapping[str, Mapping[str, str]] = {
    "GitHub Actions": {
        "markers": "GITHUB_ACTIONS",
        "repository": "{GITHUB_REPOSITORY}",
        "tag": "{GITHUB_REF_TYPE}:{GITHUB_REF_NAME}",
        "branch": "{GITHUB_HEAD_REF} {GITHUB_REF_NAME}",
        "commit": "{event.head} {GITHUB_SHA}",
        "pull_request": "{event.number} {GITHUB_REF}",
        "workflow": "{GITHUB_WORKFLOW}",
        "job": "{GITHUB_JOB}",
        "started_by": "{GITHUB_TRIGGERING_ACTOR} {GITHUB_ACTOR}",
        "number": "{GITHUB_RUN_NUMBER}",
        "attempt": "{GITHUB_RUN_ATTEMPT}",
        "url": "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}/attempts/{GITHUB_RUN_ATTEMPT}"
        " {GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    },
    "GitLab CI": {
        "markers": "GITLAB_CI",
        "repository": "{CI_PROJECT_PATH}",
        "tag": "{CI_COMMIT_TAG}",
        "branch": "{CI_MERGE_REQUEST_SOURCE_BRANCH_NAME} {CI_COMMIT_BRANCH} {CI_COMMIT_REF_NAME}",
        "commit": "{CI_MERGE_REQUEST_SOURCE_BRANCH_SHA} {CI_COMMIT_SHA}",
        "pull_request": "{CI_MERGE_REQUEST_IID}",
        "workflow": "{CI_PIPELINE_NAME}",
        "job": "{CI_JOB_NAME}",
        "started_by": "{GITLAB_USER_LOGIN}",
        "number": "{CI_PIPELINE_IID} {CI_PIPELINE_ID}",
        "url": "{CI_PIPELINE_URL} {CI_JOB_URL}",
    },
    "Jenkins": {
        "markers": "JENKINS_URL JENKINS_HOME",
        "repository": "{GIT_URL}",
        "tag": "{TAG_NAME}",
        "branch": "{CHANGE_BRANCH} {BRANCH_NAME} {GIT_BRANCH}",
        "commit": "{GIT_COMMIT}",
        "pull_request": "{CHANGE_ID}",
        "workflow": "{JOB_NAME}",
        "job": "{STAGE_NAME}",
        "started_by": "{BUILD_USER} {CHANGE_AUTHOR}",
        "number": "{BUILD_NUMBER}",
        "url": "{BUILD_URL}",
    },
    "Bitbucket Pipelines": {
        "markers": "BITBUCKET_BUILD_NUMBER",
        "repository": "{BITBUCKET_REPO_FULL_NAME}",
        "tag": "{BITBUCKET_TAG}",
        "branch": "{BITBUCKET_BRANCH}",
        "commit": "{BITBUCKET_COMMIT}",
        "pull_request": "{BITBUCKET_PR_ID}",
        "number": "{BITBUCKET_BUILD_NUMBER}",
        "url": "https://bitbucket.org/{BITBUCKET_REPO_FULL_NAME}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    },
    "CircleCI": {
        "markers": "CIRCLECI",
        "repository": "{CIRCLE_PROJECT_USERNAME}/{CIRCLE_PROJECT_REPONAME}",
        "tag": "{CIRCLE_TAG}",
        "branch": "{CIRCLE_BRANCH}",
        "commit": "{CIRCLE_SHA1}",
        "pull_request": "{CIRCLE_PR_NUMBER} {CIRCLE_PULL_REQUEST}",
        "job": "{CIRCLE_JOB}",
        "started_by": "{CIRCLE_USERNAME}",
        "number": "{CIRCLE_BUILD_NUM}",
        "url": "{CIRCLE_BUILD_URL}",
    },
    "Azure Pipelines": {
        "markers": "TF_BUILD",
        "repository": "{BUILD_REPOSITORY_NAME}",
        "tag": "{BUILD_SOURCEBRANCH}",
        "branch": "{SYSTEM_PULLREQUEST_SOURCEBRANCH} {BUILD_SOURCEBRANCH}",
        "commit": "{SYSTEM_PULLREQUEST_SOURCECOMMITID} {BUILD_SOURCEVERSION}",
        "pull_request": "{SYSTEM_PULLREQUEST_PULLREQUESTNUMBER} {SYSTEM_PULLREQUEST_PULLREQUESTID}",
        "workflow": "{BUILD_DEFINITIONNAME}",
        "job": "{SYSTEM_JOBDISPLAYNAME}",
        "started_by": "{BUILD_REQUESTEDFOR}",
        "number": "{BUILD_BUILDNUMBER}",
        "attempt": "{SYSTEM_JOBATTEMPT}",
        "url": "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
    },
    "Buildkite": {
        "markers": "BUILDKITE",
        "repository": "{BUILDKITE_REPO}",
        "tag": "{BUILDKITE_TAG}",
        "branch": "{BUILDKITE_BRANCH}",
        "commit": "{BUILDKITE_COMMIT}",
        "pull_request": "{BUILDKITE_PULL_REQUEST}",
        "workflow": "{BUILDKITE_PIPELINE_NAME} {BUILDKITE_PIPELINE_SLUG}",
        "job": "{BUILDKITE_LABEL}",
        "started_by": "{BUILDKITE_BUILD_CREATOR} {BUILDKITE_BUILD_AUTHOR}",
        "number": "{BUILDKITE_BUILD_NUMBER}",
        "url": "{BUILDKITE_BUILD_URL}",
    },
}
"""The CIs by name, each with the variables that mark it, and with templates for what is shown.

Of several templates, with spaces between them, the first whose variables are all set counts.
"""


class CiRun(NamedTuple):
    """A run of a CI: a title for it, pairs of label and value, and its page, if the CI tells it."""

    title: str
    fields: tuple[tuple[str, str], ...]
    url: str | None


def find_run(environment: Mapping[str, str], secrets: Sequence[str] = ()) -> CiRun | None:
    """Return the run that the environment is of, without these secrets; None outside a CI."""
    found = next(
        (
            (name, ci)
            for name, ci in CIS.items()
            if any(environment.get(its, "").lower() not in {"", "0", "false"} for its in ci["markers"].split())
        ),
        None,
    )
    if found is None:
        return None
    name, templates = found
    values = _Values(environment, templates, secrets)
    tag, pull_request = _tag(values.get("tag")), _pull_request(values.get("pull_request"))
    branch, workflow = values.get("branch").removeprefix("refs/heads/"), values.get("workflow")
    if name == "Jenkins":
        branch = branch.removeprefix("origin/")
        workflow = workflow.replace("%2F", "/")  # the job of a branch has its name
    attempt = values.get("attempt")
    label, sign = ("Merge request", "!") if name == "GitLab CI" else ("Pull request", "#")
    fields = {
        "Repository": _repository(values.get("repository")),
        "Tag": tag,
        "Branch": "" if tag or branch.startswith("refs/") or _is_merge(branch) else branch,
        label: pull_request and f"{sign}{pull_request}",
        "Commit": _commit(values.get("commit")),
        "Workflow": workflow,
        "Job": values.get("job"),
        "Started by": values.get("started_by"),
        "Attempt": "" if attempt in {"", "1"} else attempt,
    }
    number = values.get("number")
    title = " ".join(filter(None, (workflow or name, number and f"#{number}")))
    url = values.get("url", _LONGEST_URL + 1).replace(" ", "%20")
    shown = tuple((label, _PASSWORD.sub("", value)) for label, value in fields.items() if value)
    return CiRun(_PASSWORD.sub("", title), shown, url if _is_harmless(url) else None)


class _Values:
    """What a CI's templates make of the environment."""

    def __init__(self, environment: Mapping[str, str], templates: Mapping[str, str], secrets: Sequence[str]) -> None:
        self._templates = templates
        self._values = {**environment, **_github_pull_request(environment)}
        self._secrets = secrets

    def get(self, part: str, longest: int = _LONGEST) -> str:
        """Return the first template of a part whose variables are all set, on one line; empty if there is none."""
        for template in self._templates.get(part, "").split():
            names = re.findall(r"\{(.*?)\}", template)
            if all(self._values.get(name) for name in names):
                value = re.sub(r"\{(.*?)\}", lambda name: self._values[name[1]], template)
                value = masked(value, self._secrets)[: 4 * longest]
                text = screen_text(value.encode(errors="surrogateescape").decode(errors="replace"))
                return " ".join(text.translate(_TURNING).split())[:longest]
        return ""


def _github_pull_request(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the last commit and the number of a pull request of GitHub's, from the file with the event."""
    path = environment.get("GITHUB_EVENT_PATH", "")
    if not environment.get("GITHUB_HEAD_REF") or not path:
        return {}
    try:
        event = Path(path)
        # Anything but a file, such as a named pipe, could block for ever, and so could some files of the kernel's.
        raw = event.read_bytes() if event.is_file() and 0 < event.stat().st_size <= _LARGEST_EVENT else b""
        pull_request = json.loads(raw)["pull_request"]
        read = {_EVENT_HEAD: pull_request["head"]["sha"], _EVENT_NUMBER: str(pull_request.get("number", ""))}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return read if _COMMIT_NAME.fullmatch(str(read[_EVENT_HEAD])) else {}


def _tag(text: str) -> str:
    """Return a tag: as it is, ``tag:NAME``, or ``refs/tags/NAME``; nothing for a branch."""
    for beginning in ("tag:", "refs/tags/"):
        if text.startswith(beginning):
            return text.removeprefix(beginning)
    return "" if text.startswith(("branch:", "refs/")) else text


def _is_merge(branch: str) -> bool:
    return re.fullmatch(r"\d+/merge", branch) is not None


def _pull_request(text: str) -> str:
    found = _PULL_REQUEST.fullmatch(text)
    return next(filter(None, found.groups())) if found else ""


def _commit(text: str) -> str:
    return text[:_COMMIT] if re.fullmatch("[0-9a-fA-F]{8,}", text) else text


def _repository(text: str) -> str:
    """Return a repository without the rest of its URL, in which a password could be."""
    path = re.split(r"[?#]", text)[0]
    if "://" in path:  # SCHEME://USER:PASSWORD@HOST/PATH
        path = path.partition("://")[2].rpartition("@")[2].partition("/")[2]
    elif "@" in path:  # USER@HOST:PATH
        path = path.rpartition("@")[2].partition(":")[2]
    return path.removesuffix(".git").strip("/")


def _is_harmless(url: str) -> bool:
    """Return whether it is a whole URL of the web, without a password in it, masked or not."""
    return (
        len(url) <= _LONGEST_URL
        and MASK not in url
        and re.fullmatch(r"https?://[^\s<>\"/@]+(/[^\s<>\"]*)?", url) is not None
    )
