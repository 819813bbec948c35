"""`--ci`: each CI's variables become fields and a button, and missing details are left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chatpost.content.ci import CIS, CiRun, find_run
from tests.conftest import answering, body_of

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

SHA, HEAD = "ffac537e6cbbf934b08745a378932722df287a53", "aa218f56b14c9653891f9e74264a383fa43fefbd"


# From the CIs' documentation, for a run on a branch or for a pull request.
@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "octocat",
    "GITHUB_TRIGGERING_ACTOR": "hubot",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_HEAD_REF": "",
    "GITHUB_JOB": "build",
    "GITHUB_REF": "refs/heads/feature-12",
    "GITHUB_REF_NAME": "feature-12",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_REPOSITORY": "octocat/Hello-World",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_RUN_ID": "1658821493",
    "GITHUB_RUN_NUMBER": "3",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": SHA,
    "GITHUB_WORKFLOW": "Tests",
}
GITHUB_PULL_REQUEST = GITHUB | {
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_HEAD_REF": "fix-typo",
    "GITHUB_REF": "refs/pull/42/merge",
    "GITHUB_REF_NAME": "42/merge",
    "GITHUB_RUN_ATTEMPT": "2",
}
GITLAB = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_COMMIT_BRANCH": "main",
    "CI_COMMIT_REF_NAME": "main",
    "CI_COMMIT_SHA": SHA,
    "CI_JOB_NAME": "deploy",
    "CI_JOB_URL": "https://gitlab.example.com/group/app/-/jobs/9",
    "CI_PIPELINE_ID": "1001",
    "CI_PIPELINE_IID": "77",
    "CI_PIPELINE_URL": "https://gitlab.example.com/group/app/-/pipelines/1001",
    "CI_PROJECT_PATH": "group/app",
    "GITLAB_USER_LOGIN": "alice",
}
FORGEJO = {**GITHUB, "FORGEJO_ACTIONS": "true", "GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://code.example"}
GITEA = {**FORGEJO, "FORGEJO_ACTIONS": "", "GITEA_ACTIONS_RUNNER_VERSION": "v0.2.13"}
GITLAB_MERGE_REQUEST = {name: value for name, value in GITLAB.items() if name != "CI_COMMIT_BRANCH"} | {
    "CI_COMMIT_REF_NAME": "fix",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "fix",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD,
    "CI_PIPELINE_NAME": "Merge checks",
}
JENKINS = {
    "JENKINS_URL": "https://jenkins.example.com/",
    "BRANCH_NAME": "fix/login",
    "BUILD_NUMBER": "153",
    "BUILD_URL": "https://jenkins.example.com/job/app/job/fix%252Flogin/153/",
    "GIT_BRANCH": "fix/login",
    "GIT_COMMIT": SHA,
    "GIT_URL": "https://user:secret@github.com/us/app.git",
    "JOB_NAME": "app/fix%2Flogin",
    "STAGE_NAME": "Test",
}
BITBUCKET = {
    "CI": "true",
    "BITBUCKET_BRANCH": "main",
    "BITBUCKET_BUILD_NUMBER": "12",
    "BITBUCKET_COMMIT": SHA,
    "BITBUCKET_PR_ID": "7",
    "BITBUCKET_REPO_FULL_NAME": "team/app",
}
CIRCLE = {
    "CI": "true",
    "CIRCLECI": "true",
    "CIRCLE_BRANCH": "main",
    "CIRCLE_BUILD_NUM": "88",
    "CIRCLE_BUILD_URL": "https://circleci.com/gh/us/app/88",
    "CIRCLE_JOB": "test",
    "CIRCLE_PROJECT_REPONAME": "app",
    "CIRCLE_PROJECT_USERNAME": "us",
    "CIRCLE_PULL_REQUEST": "https://bitbucket.org/us/app/pull-requests/31",
    "CIRCLE_SHA1": SHA,
    "CIRCLE_USERNAME": "bob",
}
AZURE = {
    "TF_BUILD": "True",
    "BUILD_BUILDID": "400",
    "BUILD_BUILDNUMBER": "20261124.3",
    "BUILD_DEFINITIONNAME": "app-CI",
    "BUILD_REPOSITORY_NAME": "us/app",
    "BUILD_REQUESTEDFOR": "Carol Jones",
    "BUILD_SOURCEBRANCH": "refs/heads/main",
    "BUILD_SOURCEVERSION": SHA,
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/us/",
    "SYSTEM_JOBATTEMPT": "2",
    "SYSTEM_JOBDISPLAYNAME": "Build",
    "SYSTEM_TEAMPROJECT": "app",
}
AZURE_PULL_REQUEST = AZURE | {
    "BUILD_SOURCEBRANCH": "refs/pull/9/merge",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "9",
    "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/fix",
    "SYSTEM_PULLREQUEST_SOURCECOMMITID": HEAD,
}
BUILDKITE = {
    "CI": "true",
    "BUILDKITE": "true",
    "BUILDKITE_BRANCH": "main",
    "BUILDKITE_BUILD_CREATOR": "Dan",
    "BUILDKITE_BUILD_NUMBER": "1514",
    "BUILDKITE_BUILD_URL": "https://buildkite.com/us/app/builds/1514",
    "BUILDKITE_COMMIT": "HEAD",
    "BUILDKITE_LABEL": ":hammer: Tests",
    "BUILDKITE_PIPELINE_NAME": "app",
    "BUILDKITE_PULL_REQUEST": "false",
    "BUILDKITE_REPO": "git@github.com:us/app.git",
    "BUILDKITE_TAG": "",
}


@pytest.mark.parametrize(
    ("environment", "title", "fields", "url"),
    [
        pytest.param(
            GITHUB,
            "Tests #3",
            "Repository=octocat/Hello-World Branch=feature-12 Commit=ffac537e Workflow=Tests Job=build"
            " Started_by=hubot",
            "https://github.com/octocat/Hello-World/actions/runs/1658821493/attempts/1",
            id="GitHub Actions",
        ),
        pytest.param(
            GITHUB | {"GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"},
            "Tests #3",
            "Repository=octocat/Hello-World Tag=v1 Commit=ffac537e Workflow=Tests Job=build Started_by=hubot",
            "https://github.com/octocat/Hello-World/actions/runs/1658821493/attempts/1",
            id="GitHub Actions, a tag",
        ),
        pytest.param(
            GITLAB,
            "GitLab CI #77",
            "Repository=group/app Branch=main Commit=ffac537e Job=deploy Started_by=alice",
            "https://gitlab.example.com/group/app/-/pipelines/1001",
            id="GitLab CI",
        ),
        pytest.param(
            GITLAB_MERGE_REQUEST,
            "Merge checks #77",
            "Repository=group/app Branch=fix Merge_request=!5 Commit=aa218f56 Workflow=Merge_checks Job=deploy"
            " Started_by=alice",
            "https://gitlab.example.com/group/app/-/pipelines/1001",
            id="GitLab CI, a merge request",
        ),
        pytest.param(
            JENKINS,
            "app/fix/login #153",
            "Repository=us/app Branch=fix/login Commit=ffac537e Workflow=app/fix/login Job=Test",
            "https://jenkins.example.com/job/app/job/fix%252Flogin/153/",
            id="Jenkins, a multibranch job",
        ),
        pytest.param(
            JENKINS | {"BRANCH_NAME": "", "GIT_BRANCH": "origin/main", "JOB_NAME": "nightly", "STAGE_NAME": ""},
            "nightly #153",
            "Repository=us/app Branch=main Commit=ffac537e Workflow=nightly",
            "https://jenkins.example.com/job/app/job/fix%252Flogin/153/",
            id="Jenkins",
        ),
        pytest.param(
            BITBUCKET,
            "Bitbucket Pipelines #12",
            "Repository=team/app Branch=main Pull_request=#7 Commit=ffac537e",
            "https://bitbucket.org/team/app/pipelines/results/12",
            id="Bitbucket Pipelines",
        ),
        pytest.param(
            CIRCLE,
            "CircleCI #88",
            "Repository=us/app Branch=main Pull_request=#31 Commit=ffac537e Job=test Started_by=bob",
            "https://circleci.com/gh/us/app/88",
            id="CircleCI",
        ),
        pytest.param(
            AZURE,
            "app-CI #20261124.3",
            "Repository=us/app Branch=main Commit=ffac537e Workflow=app-CI Job=Build Started_by=Carol_Jones Attempt=2",
            "https://dev.azure.com/us/app/_build/results?buildId=400",
            id="Azure Pipelines",
        ),
        pytest.param(
            AZURE_PULL_REQUEST,
            "app-CI #20261124.3",
            "Repository=us/app Branch=fix Pull_request=#9 Commit=aa218f56 Workflow=app-CI Job=Build"
            " Started_by=Carol_Jones Attempt=2",
            "https://dev.azure.com/us/app/_build/results?buildId=400",
            id="Azure Pipelines, a pull request",
        ),
        pytest.param(
            BUILDKITE,
            "app #1514",
            "Repository=us/app Branch=main Commit=HEAD Workflow=app Job=:hammer:_Tests Started_by=Dan",
            "https://buildkite.com/us/app/builds/1514",
            id="Buildkite",
        ),
    ],
)
def test_each_ci(environment: dict[str, str], title: str, fields: str, url: str) -> None:
    """Each CI's variables give the expected title, fields and link, without a password in the repository."""
    run = find_run(environment)
    assert run is not None
    assert " ".join(f"{label}={value}".replace(" ", "_") for label, value in run.fields) == fields
    assert (run.title, run.url) == (title, url)


def test_a_pull_request_of_github(tmp_path: Path) -> None:
    """For a pull request, chatpost shows its head commit from the event file, not the merge commit."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": HEAD}}}))
    environment = GITHUB_PULL_REQUEST | {"GITHUB_EVENT_PATH": str(event)}
    run = find_run(environment)
    assert run is not None
    fields = dict(run.fields)
    shown = [fields[label] for label in ("Branch", "Pull request", "Commit", "Attempt")]
    assert shown == ["fix-typo", "#42", HEAD[:8], "2"]
    assert run.url is not None
    assert run.url.endswith("/attempts/2")
    event.write_text(json.dumps({"pull_request": {"head": {"sha": HEAD}, "number": 41}}))
    run = find_run(environment | {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"})
    assert run is not None
    assert dict(run.fields)["Pull request"] == "#41"  # for pull_request_target


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        (FORGEJO, "3"),
        (GITEA, "3"),
        (GITEA | {"GITEA_ACTIONS_RUNNER_VERSION": "v0.6.1"}, "1658821493"),
        (GITEA | {"GITEA_ACTIONS_RUNNER_VERSION": "1.0.8"}, "1658821493"),
    ],
)
def test_links_of_forgejo_and_gitea(environment: dict[str, str], number: str) -> None:
    """Forgejo's link to a run has its number, Gitea's since 1.26 its ID; neither has the attempt."""
    run = find_run(environment | {"GITHUB_RUN_ATTEMPT": "2", "GITHUB_REF": "refs/pull/42/merge"})
    assert run is not None
    assert run.url == f"https://code.example/octocat/Hello-World/actions/runs/{number}"
    assert run.links["Pull request"] == "https://code.example/octocat/Hello-World/pulls/42"


def with_event(tmp_path: Path, environment: dict[str, str], event: Any) -> CiRun:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    run = find_run(environment | {"GITHUB_EVENT_PATH": str(path)})
    assert run is not None
    return run


def test_the_commit_of_a_push(tmp_path: Path) -> None:
    """A push shows the first line of its commit's message and the author, with a link to the commit."""
    commit = {"message": "Fix the typo\n\nLong story", "author": {"name": "Ada L.", "username": "ada"}}
    run = with_event(tmp_path, GITHUB, {"head_commit": commit})
    fields = dict(run.fields)
    assert (fields["Commit"], fields["Author"]) == (f"{SHA[:8]} Fix the typo", "Ada L.")
    assert run.links == {"Commit": f"https://github.com/octocat/Hello-World/commit/{SHA}"}


def test_the_title_of_a_pull_request(tmp_path: Path) -> None:
    """A pull request shows its title and its author, with links to it and to its head commit."""
    event = {"pull_request": {"head": {"sha": HEAD}, "number": 42, "title": "Fix typo", "user": {"login": "ada"}}}
    run = with_event(tmp_path, GITHUB_PULL_REQUEST, event)
    fields = dict(run.fields)
    assert (fields["Pull request"], fields["Author"], fields["Commit"]) == ("#42 Fix typo", "ada", HEAD[:8])
    assert run.links == {
        "Pull request": "https://github.com/octocat/Hello-World/pull/42",
        "Commit": f"https://github.com/octocat/Hello-World/commit/{HEAD}",
    }


def test_a_run_that_started_another(tmp_path: Path) -> None:
    """For `workflow_run`, the branch, the commit, the conclusion and the link are of the finished run."""
    finished = {
        "id": 77,
        "name": "Nightly",
        "head_branch": "release",
        "head_sha": HEAD,
        "head_commit": {"message": "Release 2", "author": {"name": "Ada"}},
        "run_number": 12,
        "run_attempt": 2,
        "conclusion": "timed_out",
        "actor": {"login": "ada"},
    }
    environment = GITHUB | {"GITHUB_EVENT_NAME": "workflow_run"}
    run = with_event(tmp_path, environment, {"workflow_run": finished})
    fields = dict(run.fields)
    assert run.title == "Nightly #12"
    assert run.url == "https://github.com/octocat/Hello-World/actions/runs/77/attempts/2"
    shown = [fields[label] for label in ("Branch", "Commit", "Author", "Started by", "Conclusion", "Attempt")]
    assert shown == ["release", f"{HEAD[:8]} Release 2", "Ada", "ada", "timed_out", "2"]
    assert "Job" not in fields
    assert dict(with_event(tmp_path, environment, {"workflow_run": 5}).fields)["Job"] == "build"


def test_the_commit_of_gitlab() -> None:
    """GitLab's variables have the commit's title and its author, whose email address is left out."""
    more = {
        "CI_COMMIT_TITLE": "Fix",
        "CI_COMMIT_AUTHOR": "Ada <a@b.example>",
        "CI_PROJECT_URL": "https://gitlab.example/g/a",
    }
    run = find_run(GITLAB | more)
    assert run is not None
    assert (dict(run.fields)["Commit"], dict(run.fields)["Author"]) == (f"{SHA[:8]} Fix", "Ada")
    assert run.links == {"Commit": f"https://gitlab.example/g/a/-/commit/{SHA}"}


@pytest.mark.parametrize("event", ["", "{}", "[]", "[" * 10_000, '{"pull_request": 5}', '{"pull_request": []}', None])
def test_an_event_that_cannot_be_read(tmp_path: Path, event: str | None) -> None:
    """If the event file is missing or invalid, chatpost shows the commit that the CI's variables name."""
    path = tmp_path / "event.json"
    if event is not None:
        path.write_text(event)
    run = find_run(GITHUB_PULL_REQUEST | {"GITHUB_EVENT_PATH": str(path)})
    assert run is not None
    assert dict(run.fields)["Commit"] == SHA[:8]


@pytest.mark.parametrize("name", CIS)
def test_a_ci_that_tells_nothing(name: str) -> None:
    """A CI that sets only its marker variable gives a title without fields."""
    run = find_run({CIS[name]["markers"].split()[-1]: "true"})
    assert run is not None
    assert run.title.startswith(name)
    assert run.fields == () or name == "Bitbucket Pipelines"
    assert run.url is None


def test_no_ci() -> None:
    """Outside a CI, chatpost finds no run, even if the CI variable is set."""
    assert find_run({"CI": "true", "HOME": "/root"}) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@github.com/us/app.git", "us/app"),
        ("git+https://user:secret@h/us/app.git", "us/app"),
        ("git@github.com:us/app.git", "us/app"),
        ("user:secret@github.com:us/app.git", "us/app"),
        ("ssh://git@h:22/us/app", "us/app"),
        ("https://user:secret", None),
        ("https://user:sec/ret@h/us/app", "us/app"),
        ("https://h/us/app.git?access_token=secret", "us/app"),
        ("us/app", "us/app"),
    ],
)
def test_no_password_of_a_repository(url: str, shown: str | None) -> None:
    """The repository field is the path of its URL, in any form and without a password."""
    run = find_run({"JENKINS_URL": "x", "GIT_URL": url})
    assert run is not None
    assert dict(run.fields).get("Repository") == shown


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        (
            AZURE | {"SYSTEM_TEAMPROJECT": "My Project"},
            "https://dev.azure.com/us/My%20Project/_build/results?buildId=400",
        ),
        (JENKINS | {"BUILD_URL": "https://u:secret@jenkins/job/1/"}, None),
        (JENKINS | {"BUILD_URL": f"https://jenkins/job/{'a' * 400}/"}, f"https://jenkins/job/{'a' * 400}/"),
        (JENKINS | {"BUILD_URL": f"https://jenkins/job/{'a' * 4000}/"}, None),
        (GITHUB | {"GITHUB_SERVER_URL": "javascript:alert(1)//"}, None),
    ],
)
def test_links(environment: dict[str, str], url: str | None) -> None:
    """The button has a complete link without a password, or it is left out."""
    run = find_run(environment)
    assert run is not None
    assert run.url == url


def test_no_password_in_a_field() -> None:
    """URLs in fields have their passwords removed."""
    label = "curl https://user:sec@ret@host/x https://user:sec/ret@host/y"
    run = find_run(BUILDKITE | {"BUILDKITE_LABEL": label})
    assert run is not None
    assert dict(run.fields)["Job"] == "curl https://host/x https://host/y"


@pytest.mark.parametrize("ref", ["refs/heads/fix/pull/12/foo", "refs/heads/pull/1", "refs/heads/12"])
def test_a_branch_that_looks_like_a_pull_request(ref: str) -> None:
    """Only GitHub's pull request refs give a pull request. Bidirectional control characters are removed from values."""
    run = find_run(GITHUB | {"GITHUB_REF": ref, "GITHUB_REF_NAME": "a\u202eb"})
    assert run is not None
    assert "Pull request" not in dict(run.fields)
    assert dict(run.fields)["Branch"] == "ab"


def test_a_mark_that_is_false() -> None:
    """A marker variable with the value false does not indicate a CI."""
    run = find_run(GITLAB | {"GITHUB_ACTIONS": "false"})
    assert run is not None
    assert run.title == "GitLab CI #77"


@pytest.mark.parametrize("sha", ["\\ud800abc", "x" * 40, "a" * 10_000_000])
def test_a_commit_that_is_none(tmp_path: Path, sha: str) -> None:
    """If the commit in the event file is not a hash, chatpost shows the one from the variables."""
    event = tmp_path / "event.json"
    event.write_text(f'{{"pull_request": {{"head": {{"sha": "{sha}"}}}}}}')
    run = find_run(GITHUB_PULL_REQUEST | {"GITHUB_EVENT_PATH": str(event)})
    assert run is not None
    assert dict(run.fields)["Commit"] == SHA[:8]


def card_of(chat: Emulator, request: int = -1) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(chat.received[request].body)["cardsV2"][0]["card"]
    return card


def test_a_message(shell: Shell, chat: Emulator) -> None:
    """`--ci` posts a card with the text as a paragraph. Fields and buttons from options follow those of the CI."""
    shell.env |= GITHUB
    done = shell("send", "--ci", "--status", "ok", "--field", "Size=3", "--button", "Log=https://example.com", "Done")
    assert done.status == 0
    card, shown = card_of(chat), json.dumps(body_of(chat))
    assert card["header"]["title"] == "Tests #3"
    assert "Done" in shown
    buttons = card["sections"][0]["widgets"][-1]["buttonList"]["buttons"]
    assert [button["text"] for button in buttons] == ["Open run", "Log"]
    assert shown.index("Started by") < shown.index("Size")


@pytest.mark.parametrize("argv", [["send", "--ci"], ["reply", "-k", "k", "--ci"], ["thread", "--ci"]])
def test_without_a_text(shell: Shell, chat: Emulator, argv: list[str]) -> None:
    """With `--ci`, no command needs a text, and a title from an option takes precedence."""
    shell.env |= GITHUB | {"CHATPOST_TITLE": "Nightly"}
    assert shell(*argv).status == 0
    assert card_of(chat)["header"]["title"] == "Nightly"


def test_a_job(shell: Shell, chat: Emulator) -> None:
    """`run --ci` shows the CI run and the job's outcome."""
    shell.env |= GITLAB
    assert shell("run", "--ci", "--", "sh", "-c", "exit 3").status == 3
    shown = json.dumps(body_of(chat))
    assert [words for words in ("GitLab CI #77", "Open run", "Failed") if words not in shown] == []


def test_words_of_a_stranger(shell: Shell, chat: Emulator) -> None:
    """Markup and mentions in values from the CI are escaped."""
    shell.env |= GITHUB | {"GITHUB_REF_NAME": "_wip_", "GITHUB_WORKFLOW": "<https://e.example|<b>> <users/all>"}
    assert shell("send", "--ci", "Done").status == 0
    card, body = card_of(chat), body_of(chat)
    fields = {
        each["topLabel"]: each["text"]
        for widget in card["sections"][0]["widgets"]
        if (each := widget.get("decoratedText"))
    }
    assert fields["Branch"] == "_wip_"
    assert fields["Commit"] == f'<a href="https://github.com/octocat/Hello-World/commit/{SHA}">{SHA[:8]}</a>'
    assert fields["Workflow"] == "&lt;https://e.example|&lt;b&gt;&gt; &lt;users/all&gt;"
    assert "<users/" not in body["fallbackText"]


def test_secrets_of_a_job(shell: Shell, chat: Emulator) -> None:
    """`run` also masks the values of secret variables in the details from the CI."""
    shell.env |= GITHUB | {"MY_TOKEN": "made-up  secret", "GITHUB_REF_NAME": "made-up  secret"}
    shell.env |= {"GITHUB_WORKFLOW": f"{'x' * 190} made-up  secret", "GITHUB_SERVER_URL": "https://h/made-up  secret"}
    for options in ([], ["--follow"]):
        assert shell("run", "--ci", *options, "--", "true").status == 0
    assert ["made-up" in request.body.decode() for request in chat.received] == [False] * 3
    assert ["Open run" in request.body.decode() for request in chat.received] == [False] * 3


def test_the_key_of_a_thread_is_no_secret(shell: Shell, chat: Emulator) -> None:
    """If a run ID is the thread key, chatpost shows it, and the link to the run."""
    shell.env |= GITHUB | {"CHATPOST_THREAD_KEY": GITHUB["GITHUB_RUN_ID"]}
    assert shell("run", "--ci", "--", "true").status == 0
    assert "Open run" in json.dumps(body_of(chat))


@pytest.mark.parametrize("environment", [{}, GITHUB])
def test_a_text_in_a_pipe(shell: Shell, chat: Emulator, environment: dict[str, str]) -> None:
    """With only `--ci`, chatpost posts piped text, in a CI or not. With other card options, piped text needs a `-`."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\nci = true\n')
    shell.env |= environment
    for argv in (["send", "--ci"], ["send", "-p", "ops"]):
        assert shell(*argv, stdin="piped").status == 0
        assert "piped" in json.dumps(body_of(chat))
    assert shell("send", "--ci", "--status", "ok", stdin="piped").status == 0
    assert "piped" not in json.dumps(body_of(chat))


@pytest.mark.parametrize(
    "argv",
    [
        ["send", "--ci", "Done"],
        ["send", "--ci", "--subtitle", "below", "--icon", "https://example.com/i.png", "Done"],
        ["run", "--ci", "--", "true"],
        ["run", "--ci", "--subtitle", "below", "--", "true"],
        ["run", "--ci", "--follow", "--", "true"],
    ],
)
def test_outside_a_ci(shell: Shell, chat: Emulator, argv: list[str]) -> None:
    """Outside a CI, `--ci` causes a warning, and the message is posted without details."""
    done = shell(*argv)
    assert (done.status, done.err.count("warning: --ci has no effect"), done.err.count("\n")) == (0, 1, 1)
    assert "cardsV2" not in body_of(chat)


@pytest.mark.parametrize(
    ("environment", "argv", "warns"),
    [
        ({}, ["--ci", "--field", "A=B"], True),
        ({"CHATPOST_CI": "0"}, [], False),
        ({"GITHUB_ACTIONS": "1"}, ["--ci"], False),
    ],
)
def test_the_warning_of_a_job(shell: Shell, environment: dict[str, str], argv: list[str], *, warns: bool) -> None:
    """A job with `--ci` warns only outside a CI, not in a CI that sets no details."""
    shell.env |= environment
    done = shell("run", *argv, "--", "true").expect(0)
    assert ("--ci has no effect" in done.err) == warns


def test_a_job_without_a_title(shell: Shell, chat: Emulator) -> None:
    """Without a title, a job runs, and chatpost omits the subtitle with a warning. A profile can set the title."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\ntitle = "Nightly"\n')
    for argv, warns in (([], True), (["-p", "ops"], False)):
        done = shell("run", *argv, "--subtitle", "below", "--", "echo", "ran").expect(0)
        assert done.out == "ran\n"
        assert ("need a title" in done.err) == warns
    assert ['"subtitle"' in request.body.decode() for request in chat.received] == [False, True]


def test_a_stream(shell: Shell, chat: Emulator) -> None:
    """`thread --follow --ci` opens the thread with the card, and posts the lines of stdin as replies."""
    shell.env |= GITHUB
    assert shell("thread", "--follow", "--ci", "--every", "0.1", stdin="one\ntwo\n").status == 0
    assert card_of(chat, 0)["header"]["title"] == "Tests #3"
    assert [json.loads(request.body)["text"] for request in chat.received[1:]] == ["```\none\ntwo\n```"]


@pytest.mark.parametrize("environment", [{}, GITHUB])
def test_nothing_in_a_pipe(shell: Shell, chat: Emulator, environment: dict[str, str]) -> None:
    """With `--skip-empty`, an empty pipe posts nothing, in a CI or not."""
    shell.env |= environment
    done = shell("send", "--ci", "--skip-empty", stdin="")
    assert (done.status, chat.received) == (0, [])


def test_a_fork(shell: Shell, chat: Emulator) -> None:
    """In a pull request from a fork, which gets no secrets, `--soft-fail` prints one line and exits with 0."""
    shell.env |= GITHUB_PULL_REQUEST | {"CHATPOST_URL": ""}
    done = shell("send", "--ci", "--soft-fail", "Done")
    assert (done.status, done.err.count("\n"), chat.received) == (0, 1, [])
    assert "pull requests from forks get no secrets" in done.err


def test_a_profile_that_tells_of_the_ci(shell: Shell, chat: Emulator) -> None:
    """With `ci = true` in a profile, each of its messages shows the CI run."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\nci = true\n')
    shell.env |= CIRCLE
    chat.faults.append(answering(503))
    assert shell("send", "-p", "ops", "Done").status == 0
    assert card_of(chat)["header"]["title"] == "CircleCI #88"
