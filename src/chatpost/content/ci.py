"""The CI run that a command belongs to, from environment variables: fields of a card, and a link to the run.

Source: each CI's documentation of its predefined variables.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from chatpost.chat.webhook import MASK
from chatpost.content.secrets import SecretMask
from chatpost.content.terminal import screen_text

_LONGEST = 200
_LONGEST_URL = 2000
_VARIABLE = re.compile(r"\{(.*?)\}")
_PULL_REQUEST = re.compile(r"refs/pull/(\d+)/.*|(\d+)|https?://.*/(?:pull|pull-requests|merge_requests)/(\d+)")
# Characters that change the direction of text: anyone who opens a pull request can choose its branch name.
_TURNING = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_PASSWORD = re.compile(r"(?<=://)\S*@")

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
"""Each CI, by name: the variables that identify it, and templates for the parts of a run.

The first of several templates, separated by spaces, whose variables are all set is used.
"""


class CiRun(NamedTuple):
    """A CI run: its title, pairs of label and value, and the URL of its page, None if unknown."""

    title: str
    fields: tuple[tuple[str, str], ...]
    url: str | None


def find_run(environment: Mapping[str, str]) -> CiRun | None:
    """Return the run that the environment describes, with secrets masked; None outside CI."""
    for name, templates in CIS.items():
        marks = [environment.get(marker, "").lower() for marker in templates["markers"].split()]
        if any(mark not in {"", "0", "false"} for mark in marks):
            variables = {**environment, **_github_pull_request(environment)}
            return _run(name, defaultdict(str, _values(templates, variables, SecretMask(environment))))
    return None


def _run(ci: str, values: Mapping[str, str]) -> CiRun:
    tag = "" if re.match("branch:|refs/(?!tags/)", values["tag"]) else re.sub("^(tag:|refs/tags/)", "", values["tag"])
    branch, workflow, number = values["branch"].removeprefix("refs/heads/"), values["workflow"], values["number"]
    if ci == "Jenkins":
        branch = branch.removeprefix("origin/")
        workflow = workflow.replace("%2F", "/")  # a branch's job is named after it
    if tag or re.fullmatch(r"refs/.*|\d+/merge", branch):
        branch = ""
    pull_request = _PULL_REQUEST.fullmatch(values["pull_request"])
    label, sign = ("Merge request", "!") if ci == "GitLab CI" else ("Pull request", "#")
    # Without SCHEME://USER:PASSWORD@HOST/ or USER@HOST: and without a query, in which a password could be.
    repository = re.sub("^(.*?://(.*@)?[^/]*/?|.*@[^:]*:?)", "", re.split("[?#]", values["repository"])[0])
    fields = {
        "Repository": repository.removesuffix(".git").strip("/"),
        "Tag": tag,
        "Branch": branch,
        label: f"{sign}{pull_request[pull_request.lastindex or 0]}" if pull_request else "",
        "Commit": re.sub("^([0-9a-fA-F]{8})[0-9a-fA-F]*$", r"\1", values["commit"]),
        "Workflow": workflow,
        "Job": values["job"],
        "Started by": values["started_by"],
        "Attempt": "" if values["attempt"] == "1" else values["attempt"],
    }
    title = f"{workflow or ci} #{number}" if number else workflow or ci
    url = values["url"].replace(" ", "%20")
    # A complete web URL without a password, masked or not.
    is_web = re.fullmatch(r"https?://[^\s<>\"/@]+(/[^\s<>\"]*)?", url)
    is_harmless = is_web and MASK not in url and len(url) <= _LONGEST_URL
    shown = tuple((label, _PASSWORD.sub("", value)) for label, value in fields.items() if value)
    return CiRun(_PASSWORD.sub("", title), shown, url if is_harmless else None)


def _values(
    templates: Mapping[str, str], variables: Mapping[str, str], mask: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """Yield each part with its value on one line: its first template whose variables are all set, filled in."""
    for part, alternatives in templates.items():
        longest = _LONGEST_URL + 1 if part == "url" else _LONGEST
        for template in alternatives.split():
            if all(map(variables.get, _VARIABLE.findall(template))):
                value = _VARIABLE.sub(lambda name: variables[name[1]], template)
                value = mask(value)[: 4 * longest]
                text = screen_text(value.encode(errors="surrogateescape").decode(errors="replace"))
                yield part, " ".join(text.translate(_TURNING).split())[:longest]
                break


def _github_pull_request(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the head commit and the number of a pull request on GitHub, from the event file.

    No variable has the head commit: GITHUB_SHA is the merge commit, and GITHUB_REF can be the base branch.
    """
    path = Path(environment.get("GITHUB_EVENT_PATH", ""))
    if not environment.get("GITHUB_HEAD_REF"):
        return {}
    try:
        # Reading a named pipe, or some files of the kernel, could block forever. GitHub's files have at most 25 MB.
        is_safe = path.is_file() and 0 < path.stat().st_size <= 32 * 1024 * 1024
        pull_request = json.loads(path.read_bytes() if is_safe else b"")["pull_request"]
        head, number = str(pull_request["head"]["sha"]), str(pull_request.get("number", ""))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    is_commit = re.fullmatch("[0-9a-f]{40}(?:[0-9a-f]{24})?", head)
    return {"event.head": head, "event.number": number} if is_commit else {}
