"""The docs are correct: tests run their commands, load their configuration and compare their help pages."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chatpost.cli.command_options import FOLLOW, FOLLOW_JOB, JOB, NOTIFY, REPORT
from chatpost.cli.options import POSTING, PROFILES, THREAD
from chatpost.cli.profile_defaults import load_defaults
from chatpost.commands import COMMANDS as NAMES
from chatpost.errors import ExitStatus
from chatpost.profiles.file import load_profiles
from tests.benchmarks.charts import charts
from tests.conftest import KEY, TOKEN, Shell
from tests.help_pages import MARK, USAGE, pages
from tests.man_pages import completions, man_pages
from tests.tools import need

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.redis_servers import RedisProcess

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
# CI runs `make demo` and `make test` itself. The benchmarks take minutes, and an installation needs
# pipx and a package index.
RUN_ELSEWHERE = {
    *("make demo", "make test", "make bench", "make soak"),
    *("pipx install .", "pipx install --force '.[emulator]'", "pipx install --force '.[redis]'"),
}
ASKS = {"chatpost profiles add ops"}

# Scripts of the reader that an example may call.
READERS_SCRIPTS = {
    "backup.sh": "echo 12 files",
    "build.sh": "seq 1 20000",
    "check.sh": "echo disk is full; exit 1",
    "deploy.sh": "echo deployed",
    "oncall.sh": "echo 'Look at it, <users/1234>'",
    "notify.sh": "chatpost send 'Backup done'",
    "pass": "echo $CHATPOST_URL",
}


# The recipes target other programs than a shell; tests/test_recipes.py runs them.
COMMANDS = [page for page in PAGES if page.name != "recipes.md"]


def blocks(language: str, pages: list[Path] = PAGES) -> list[Any]:
    """Return every fenced block of a language in the docs, with its file and line as the test ID."""
    found = []
    for page in pages:
        text = page.read_text()
        for match in re.finditer(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            lines = [line.removeprefix(match[1]) for line in match[2].splitlines()]
            number = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param("\n".join(lines), id=f"{page.name}:{number}"))
    return found


@pytest.fixture
def reader(shell: Shell, chat: Emulator) -> Shell:
    """Return a shell set up as in the README, with the reader's scripts."""
    urls = {name: chat.url(name, KEY, TOKEN) for name in ("ops", "dev")}
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{url}"\n' for name, url in urls.items()))
    (shell.home / "card.json").write_text('{"header": {"title": "A card"}}')
    for name, script in READERS_SCRIPTS.items():
        path = shell.home / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    shell.env |= {
        "PATH": f"{shell.env['PATH']}:{shell.home}",
        "BROWSER": "true",
        "CI_PIPELINE_ID": "77",
        "GITHUB_REPOSITORY": "us/app",
        "GITHUB_RUN_ID": "42",
        "GITHUB_RUN_NUMBER": "7",
        "GITHUB_SHA": "0123abc",
        "GIT_DIR": str(TOP / ".git"),
    }
    return shell


# The Redis URL that the docs use.
REDIS_URL = "rediss://chatpost:PASSWORD@redis.example.com:6379/0"


def run_example(reader: Shell, chat: Emulator, script: str) -> None:
    """Run an example to completion. It must succeed, and a posting example must post."""
    done = reader.run("bash", "-e", "-c", script.replace("/usr/local/bin/chatpost", "chatpost"))
    assert done.status == 0, done.err
    if re.search(r"chatpost (send|reply|thread)", script) and not re.search("--dry-run|emulator", script):
        assert any(space.messages for space in chat.spaces.values())


@pytest.mark.parametrize("script", blocks("sh", COMMANDS))
def test_shell_examples(reader: Shell, chat: Emulator, redis: RedisProcess, script: str) -> None:
    """Every shell example in the docs runs as written."""
    if script in RUN_ELSEWHERE:
        return
    if "--watch" in script:  # --watch runs until a signal arrives
        script = f"timeout --preserve-status 3 {script} || test $? = 143"
    script = script.replace(REDIS_URL, redis.url).replace("redis-cli", f"redis-cli -s {redis.socket}")
    run_example(
        reader, chat, script.replace("add ops", "add --replace ops <<<$CHATPOST_URL") if script in ASKS else script
    )


@pytest.mark.parametrize("table", blocks("cron"))
def test_cron_examples(reader: Shell, chat: Emulator, table: str) -> None:
    """Every crontab line in the docs runs, with cron's shell and its escaped percent signs."""
    for line in table.splitlines():
        if re.match(r"[A-Z]+=", line):
            continue
        command = line.split(maxsplit=5)[5].replace("\\%", "%")
        run_example(reader, chat, command)


@pytest.mark.parametrize("steps", blocks("yaml", COMMANDS))
def test_ci_examples(reader: Shell, chat: Emulator, steps: str) -> None:
    """Every command of a CI step in the docs runs."""
    commands = re.findall(r"^\s*-? ?run: (.*)$", steps, re.MULTILINE)
    assert commands
    for command in commands:
        run_example(reader, chat, command)


@pytest.mark.parametrize("text", blocks("toml"))
def test_profile_examples(tmp_path: Path, text: str) -> None:
    """Every profile file in the docs can be loaded, including its option defaults."""
    path = tmp_path / "profiles.toml"
    path.write_text(text)
    for profile in load_profiles(path).profiles.values():
        load_defaults(profile)


def test_systemd_examples(tmp_path: Path) -> None:
    """The units in the docs are valid according to `systemd-analyze verify`."""
    names = []
    for block in blocks("ini"):
        name, _, unit = block.values[0].partition("\n")
        names.append(tmp_path / name.removeprefix("# ").replace("@.", "@a."))
        # Programs of the reader's that this machine need not have.
        names[-1].write_text(re.sub("/usr/(?:bin/rsync|sbin/sendmail)", "/bin/true", unit))
    assert len(names) == 8
    verify = [need("systemd"), "--user", "verify", *map(str, names)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")


def test_python_example(chat: Emulator, reader: Shell) -> None:
    """The Python example runs."""
    del chat

    def run_my_notifier(url: str) -> None:
        reader.env["CHATPOST_URL"] = url
        reader.run("notify.sh")

    (example,) = blocks("python")
    exec(example.values[0], {"run_my_notifier": run_my_notifier})  # noqa: S102 - the code is from the project's docs


def test_no_example_is_left_out() -> None:
    """Every block in the docs has a language that a test covers. Only output and help pages are plain text."""
    languages = {language for page in PAGES for language in re.findall(r"^ *```(.*)$", page.read_text(), re.MULTILINE)}
    in_recipes = {"dockerfile", "groovy", "json", "make"}
    assert languages == {"", "sh", "cron", "yaml", "toml", "ini", "python", "text"} | in_recipes
    assert not blocks("text", [TOP / "README.md"])


def test_demo(shell: Shell) -> None:
    """The demo posts six messages, prints each message name and the space as a tree, and exits with 0."""
    done = shell("emulator", "--no-quota", "--", "sh", str(TOP / "docs" / "examples" / "demo.sh"))
    assert done.status == 0
    assert re.fullmatch(r"(spaces/AAAA/messages/[\w-]+\.[\w-]+\n){6}", done.out)
    tree = done.err.partition("The emulator holds 6 messages.\n")[2]
    assert len(re.findall(r"^[├└]── ", tree, re.MULTILINE)) == 3
    assert len(re.findall(r"^[│ ]   [├└]── Deploy 1.2: ", tree, re.MULTILINE)) == 3


def test_help_pages() -> None:
    """docs/usage.md contains the current help pages (run `make docs` to update them)."""
    shown = USAGE.read_text().partition(MARK)[2]
    assert shown.split() == pages().split()


@pytest.mark.parametrize(("folder", "files"), [("man", man_pages()), ("completions", completions())])
def test_installed_files(folder: str, files: dict[str, str]) -> None:
    """docs/man and docs/completions are up to date (run `make docs` to update them)."""
    assert {path.name: path.read_text() for path in (TOP / "docs" / folder).iterdir()} == files


@pytest.mark.parametrize("page", sorted((TOP / "docs" / "man").iterdir()), ids=lambda path: path.name)
def test_man_pages(page: Path) -> None:
    """Each man page is valid according to groff, and has all required sections."""
    done = subprocess.run(
        [need("groff"), "-ww", "-man", "-Tutf8", page],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(
        heading in page.read_text() for heading in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH SEE ALSO")
    )


@pytest.mark.parametrize("command", ["send", "reply", "thread", "run"])
def test_short_help(shell: Shell, command: str) -> None:
    """`-h` fits into 80 columns and 40 lines, shows examples and ten options, and refers to `--help`."""
    lines = shell(command, "-h").out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert f"  chatpost {command}" in "\n".join(lines[lines.index("Examples:") :])
    assert len([line for line in lines if line.startswith("  -")]) == 10
    assert lines[-1] == "Use --help to list all options."


@pytest.mark.parametrize("command", ["send", "reply", "thread"])
def test_help_in_sections(shell: Shell, command: str) -> None:
    """`--help` shows every option under a section heading."""
    page = shell(command, "--help").out
    headings = re.findall(r"^(\w[\w ]*):$", page, re.MULTILINE)
    assert headings[0] == "Destination"
    assert {"Thread", "Text", "Card", "Delivery", "Output", "Exit status"} <= set(headings)
    assert len(headings) == len(set(headings))
    assert "Options:" not in page


def test_options_are_documented() -> None:
    """The docs mention every option outside the help pages."""
    prose = USAGE.read_text().partition(MARK)[0] + "".join(page.read_text() for page in PAGES if page != USAGE)
    sections = (PROFILES, THREAD, FOLLOW, JOB, REPORT, NOTIFY, FOLLOW_JOB, *POSTING)
    for option in (option for section in sections for option in section.options):
        for name in (*option.opts, *option.secondary_opts):
            assert name in prose or not name.startswith("--"), name


def test_exit_statuses_are_documented() -> None:
    """The table of exit statuses lists each status once."""
    rows = re.findall(r"^\| (\d+) \|", (TOP / "docs" / "exit-status.md").read_text(), re.MULTILINE)
    assert rows == [str(int(status)) for status in ExitStatus]


def test_charts() -> None:
    """The charts match the tables in docs/performance.md."""
    assert {name: (TOP / "docs" / name).read_text() for name in charts()} == charts()


def test_the_site(tmp_path: Path) -> None:
    """The site builds without warnings, and has every page, a search index and a dark theme."""
    docs = tmp_path / "docs"
    shutil.copytree(TOP / "docs", docs, ignore=shutil.ignore_patterns(".site", ".cache"))
    build = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "-f", str(docs / "zensical.toml")]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "No issues found" in done.stdout + done.stderr) == (0, True), done.stdout + done.stderr
    site = docs / ".site"
    pages = [path.stem for path in (TOP / "docs").glob("*.md")]
    assert all((site / name / "index.html").exists() for name in pages if name != "index")
    front = (site / "index.html").read_text()
    assert all(f'href="{name}/"' in front for name in pages if name != "index")
    assert ("slate" in front, (site / "search.json").exists()) == (True, True)


def test_messages_are_quoted() -> None:
    """The code contains every message in docs/troubleshooting.md; an ellipsis replaces the variable parts."""
    trees = (ast.parse(path.read_text()) for path in (TOP / "src").rglob("*.py"))
    nodes = [node for tree in trees for node in ast.walk(tree)]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    messages = re.findall(r"^### `(.+)`$", (TOP / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert messages
    for piece in (piece.strip() for message in messages for piece in message.split("…")):
        assert any(piece in text for text in texts), piece


def test_promises_have_tests() -> None:
    """Every row of docs/promises.md names at least one test, and each named test exists."""
    rows = [row for row in (TOP / "docs" / "promises.md").read_text().splitlines() if row.startswith("| ")]
    tests = "".join(path.read_text() for path in (TOP / "tests").glob("test_*.py"))
    promises = [row for row in rows if not row.startswith(("| fault |", "|---"))]
    assert promises
    for row in promises:
        named = re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        for name in named:
            assert f"def {name}(" in tests, name


def test_the_modules_are_documented() -> None:
    """docs/architecture.md lists exactly the existing modules, grouped by package."""
    page = (TOP / "docs" / "architecture.md").read_text()
    package, named = "", set[str]()
    for heading, modules in re.findall(r"^\| (?:\*\*(\w+/)\*\*)? ?\| ([\w, ]*) ?\|", page, re.MULTILINE):
        package = heading or package
        named |= {package + name.strip() for name in modules.split(",") if name.strip()}
    source = TOP / "src" / "chatpost"
    files = {path.relative_to(source).with_suffix("").as_posix() for path in source.rglob("[!_]*.py")}
    assert named == {name for name in files if not name.startswith("emulator/")} - {
        f"commands/{name}" for name in NAMES
    }


def test_links_lead_somewhere() -> None:
    """Every relative link in the docs points to an existing file."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_nobody_installs_the_wrong_project() -> None:
    """`chatpost` on PyPI is another project, so no text recommends to install it."""
    for path in [*PAGES, TOP / "CHANGELOG.md", *(TOP / "src").rglob("*.py")]:
        assert not re.search(r"install '?chatpost(?!-cli)", path.read_text()), path


def test_references_to_the_troubleshooting_page() -> None:
    """Each section that an error refers to has an anchor in docs/troubleshooting.md."""
    source = (TOP / "src" / "chatpost" / "cli" / "messages.py").read_text()
    named = set(re.findall(r'"(\w+)"', "".join(re.findall(r"^ +section = (.*)$", source, re.MULTILINE)))) - {"://"}
    anchors = set(re.findall(r'<a id="(\w+)"></a>', (TOP / "docs" / "troubleshooting.md").read_text()))
    assert named
    assert named <= anchors
