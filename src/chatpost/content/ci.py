"""The CI run that a command belongs to, from environment variables: fields of a card, and a link to the run.

Source: each CI's documentation of its predefined variables.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from chatpost.chat.masking import MASK
from chatpost.content.github_event import github_variables
from chatpost.content.secrets import SecretMask
from chatpost.content.terminal import screen_text

_LONGEST = 200
_LONGEST_URL = 2000
_VARIABLE = re.compile(r"\{(.*?)\}")
_PULL_REQUEST = re.compile(r"refs/pull/(\d+)/.*|(\d+)|https?://.*/(?:pull|pull-requests|merge_requests)/(\d+)")
# Characters that change the direction of text: anyone who opens a pull request can choose its branch name.
_TURNING = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_PASSWORD = re.compile(r"(?<=://)\S*@")

_REPOSITORY_URL = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}"
_GITHUB = {
    "repository": "{GITHUB_REPOSITORY}",
    "tag": "{GITHUB_REF_TYPE}:{GITHUB_REF_NAME}",
    "branch": "{GITHUB_HEAD_REF} {GITHUB_REF_NAME}",
    "commit": "{event.head} {GITHUB_SHA}",
    "commit_url": f"{_REPOSITORY_URL}/commit/",
    "message": "{event.message}",
    "author": "{event.author}",
    "pull_request": "{event.number} {GITHUB_REF}",
    "pull_request_url": f"{_REPOSITORY_URL}/pull/",
    "title": "{event.title}",
    "workflow": "{GITHUB_WORKFLOW}",
    "job": "{GITHUB_JOB}",
    "started_by": "{GITHUB_TRIGGERING_ACTOR} {GITHUB_ACTOR}",
    "conclusion": "{event.conclusion}",
    "number": "{GITHUB_RUN_NUMBER}",
    "attempt": "{GITHUB_RUN_ATTEMPT}",
    "url": f"{_REPOSITORY_URL}/actions/runs/{{GITHUB_RUN_ID}}/attempts/{{GITHUB_RUN_ATTEMPT}}"
    f" {_REPOSITORY_URL}/actions/runs/{{GITHUB_RUN_ID}}",
}
_FORGEJO = {
    **_GITHUB,
    "pull_request_url": f"{_REPOSITORY_URL}/pulls/",
    "url": f"{_REPOSITORY_URL}/actions/runs/{{GITHUB_RUN_NUMBER}}",
}
CIS: Mapping[str, Mapping[str, str]] = {
    # Forgejo and Gitea also set GitHub's variables, so they come first.
    "Forgejo Actions": {"markers": "FORGEJO_ACTIONS", **_FORGEJO},
    "Gitea Actions": {"markers": "GITEA_ACTIONS", **_FORGEJO, "url": f"{_REPOSITORY_URL}/actions/runs/{{gitea.run}}"},
    "GitHub Actions": {"markers": "GITHUB_ACTIONS", **_GITHUB},
    "GitLab CI": {
        "markers": "GITLAB_CI",
        "repository": "{CI_PROJECT_PATH}",
        "tag": "{CI_COMMIT_TAG}",
        "branch": "{CI_MERGE_REQUEST_SOURCE_BRANCH_NAME} {CI_COMMIT_BRANCH} {CI_COMMIT_REF_NAME}",
        "commit": "{CI_MERGE_REQUEST_SOURCE_BRANCH_SHA} {CI_COMMIT_SHA}",
        "commit_url": "{CI_PROJECT_URL}/-/commit/",
        "message": "{CI_COMMIT_TITLE}",
        "author": "{CI_COMMIT_AUTHOR}",
        "pull_request": "{CI_MERGE_REQUEST_IID}",
        "pull_request_url": "{CI_MERGE_REQUEST_PROJECT_URL}/-/merge_requests/",
        "title": "{CI_MERGE_REQUEST_TITLE}",
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
        "author": "{CHANGE_AUTHOR_DISPLAY_NAME} {CHANGE_AUTHOR}",
        "pull_request": "{CHANGE_ID}",
        "pull_request_url": "{CHANGE_URL}",
        "title": "{CHANGE_TITLE}",
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
        "commit_url": "https://bitbucket.org/{BITBUCKET_REPO_FULL_NAME}/commits/",
        "pull_request": "{BITBUCKET_PR_ID}",
        "pull_request_url": "https://bitbucket.org/{BITBUCKET_REPO_FULL_NAME}/pull-requests/",
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
        "pull_request_url": "{CIRCLE_PULL_REQUEST}",
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
        "commit_url": "{BUILD_REPOSITORY_URI}/commit/",
        "message": "{BUILD_SOURCEVERSIONMESSAGE}",
        "author": "{BUILD_SOURCEVERSIONAUTHOR}",
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
        "message": "{BUILDKITE_MESSAGE}",
        "author": "{BUILDKITE_BUILD_AUTHOR}",
        "pull_request": "{BUILDKITE_PULL_REQUEST}",
        "workflow": "{BUILDKITE_PIPELINE_NAME} {BUILDKITE_PIPELINE_SLUG}",
        "job": "{BUILDKITE_LABEL}",
        "started_by": "{BUILDKITE_BUILD_CREATOR} {BUILDKITE_BUILD_AUTHOR}",
        "number": "{BUILDKITE_BUILD_NUMBER}",
        "url": "{BUILDKITE_BUILD_URL}",
    },
}
"""Each CI, by name: the variables that identify it, and templates for the parts of a run.

The first of several templates, separated by spaces, whose variables are all set is used. A URL that ends with a slash
is followed by the commit or the number.
"""


class CiRun(NamedTuple):
    """A CI run: its title, pairs of label and value, and the URL of its page, None if unknown.

    ``links`` are the URLs that values link to, by label.
    """

    title: str
    fields: tuple[tuple[str, str], ...]
    url: str | None
    links: Mapping[str, str] = {}


def find_run(environment: Mapping[str, str]) -> CiRun | None:
    """Return the run that the environment describes, with secrets masked; None outside CI."""
    for name, templates in CIS.items():
        marks = [environment.get(marker, "").lower() for marker in templates["markers"].split()]
        if any(mark not in {"", "0", "false"} for mark in marks):
            variables = {**environment, **github_variables(environment)}
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
    number_of_it = pull_request[pull_request.lastindex or 0] if pull_request else ""
    label, sign = ("Merge request", "!") if ci == "GitLab CI" else ("Pull request", "#")
    # Without SCHEME://USER:PASSWORD@HOST/ or USER@HOST: and without a query, in which a password could be.
    repository = re.sub("^(.*?://(.*@)?[^/]*/?|.*@[^:]*:?)", "", re.split("[?#]", values["repository"])[0])
    commit = re.sub("^([0-9a-fA-F]{8})[0-9a-fA-F]*$", r"\1", values["commit"])
    fields = {
        "Repository": repository.removesuffix(".git").strip("/"),
        "Tag": tag,
        "Branch": branch,
        label: f"{sign}{number_of_it} {values['title']}".rstrip() if number_of_it else "",
        "Commit": f"{commit} {values['message']}".strip(),
        "Author": re.sub(r"\s*<[^>]*>$", "", values["author"]),  # without the email address
        "Workflow": workflow,
        "Job": values["job"],
        "Started by": values["started_by"],
        "Conclusion": values["conclusion"],
        "Attempt": "" if values["attempt"] == "1" else values["attempt"],
    }
    title = f"{workflow or ci} #{number}" if number else workflow or ci
    shown = tuple((label, _PASSWORD.sub("", value)) for label, value in fields.items() if value)
    places = {"Commit": (values["commit_url"], values["commit"]), label: (values["pull_request_url"], number_of_it)}
    pages = {name: url + last if url.endswith("/") else url for name, (url, last) in places.items() if last}
    links = {name: link for name, page in pages.items() if (link := _link(page))}
    return CiRun(_PASSWORD.sub("", title), shown, _link(values["url"]), links)


def _link(url: str) -> str | None:
    """Return a complete web URL without a password, masked or not, else None."""
    url = url.replace(" ", "%20")
    is_web = re.fullmatch(r"https?://[^\s<>\"/@]+(/[^\s<>\"]*)?", url)
    return url if is_web and MASK not in url and len(url) <= _LONGEST_URL else None


def _values(
    templates: Mapping[str, str], variables: Mapping[str, str], mask: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """Yield each part with its value on one line: its first template whose variables are all set, filled in."""
    for name, alternatives in templates.items():
        longest = _LONGEST_URL + 1 if name.endswith("url") else _LONGEST
        for template in alternatives.split():
            if all(map(variables.get, _VARIABLE.findall(template))):
                value = _VARIABLE.sub(lambda match: variables[match[1]], template)
                if name == "message":
                    value = value.strip().partition("\n")[0]
                value = mask(value)[: 4 * longest]
                text = screen_text(value.encode(errors="surrogateescape").decode(errors="replace"))
                yield name, " ".join(text.translate(_TURNING).split())[:longest]
                break
