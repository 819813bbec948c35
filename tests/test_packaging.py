"""Release artifacts: the wheel, with its man pages and completions, and the zipapp."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatpost import __version__
from tests.build_zipapp import build
from tests.conftest import texts

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import Shell

TOP = Path(__file__).parent.parent
REQUIRED = ("click", "requests", "urllib3", "certifi", "idna", "charset_normalizer", "tomlkit", "redis")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build a wheel from a copy of the checkout, so that the build leaves no files behind."""
    copy = tmp_path_factory.mktemp("checkout") / "project"
    shutil.copytree(
        TOP, copy, ignore=shutil.ignore_patterns(".venv", ".git", "build", "dist", "__pycache__", ".*_cache")
    )
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(copy / "dist")]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (path,) = (copy / "dist").iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel(wheel: zipfile.ZipFile) -> None:
    """The wheel contains the Lua script, a man page per command, and completions in each shell's directory."""
    names = set(wheel.namelist())
    assert {"chatpost/pacing/queue.lua"} <= names
    data = f"chatpost_cli-{__version__}.data/data/share"
    pages = {f"{data}/man/man1/{path.name}" for path in (TOP / "docs" / "man").iterdir()}
    assert len(pages) == 10
    completions = ("bash-completion/completions/chatpost", "zsh/site-functions/_chatpost")
    assert pages | {f"{data}/{name}" for name in completions} <= names
    assert f"{data}/fish/vendor_completions.d/chatpost.fish" in names
    assert not [name for name in names if "tests" in name]


def test_the_install_line(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """The README's first install line, run in a checkout, installs a command that works."""
    line, *_ = re.findall(r"^pipx install .*$", (TOP / "README.md").read_text(), re.MULTILINE)
    assert line == "pipx install ."
    homes = {name: str(tmp_path / name) for name in ("HOME", "PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    environment = {**os.environ, **homes, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    checkout = Path(str(wheel.filename)).parent.parent
    subprocess.run(line.split(), cwd=checkout, env=environment, check=True, capture_output=True)
    command = [str(tmp_path / "PIPX_BIN_DIR" / "chatpost"), "--version"]
    assert subprocess.check_output(command, env=environment, text=True) == f"chatpost {__version__}\n"


def test_the_notes_of_a_release(tmp_path: Path) -> None:
    """The release workflow extracts the version's changelog section, and fails if the tag is another version."""
    workflow = (TOP / ".github" / "workflows" / "release.yml").read_text()
    script = workflow.split("agree\n        run: |\n")[1].split("\n      - ")[0]
    (tmp_path / "src" / "chatpost").mkdir(parents=True)
    shutil.copy(TOP / "src" / "chatpost" / "__init__.py", tmp_path / "src" / "chatpost")
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## [{__version__}] - 2026-12-01\n\n- New\n\n## [0.0.9] - 2026-01-01\n\n- Old\n"
    )
    for tag, status in ((f"v{__version__}", 0), ("v9.9.9", 1)):
        environment = {"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=False)
        assert done.returncode == status
    assert (tmp_path / "build" / "notes.md").read_text().split() == ["-", "New"]


def test_the_version_is_in_one_place() -> None:
    """pyproject.toml does not repeat the version. The changelog begins with the version or with "Unreleased"."""
    assert re.findall(r"^## \[(.+)\]", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)[0] in {
        "Unreleased",
        __version__,
    }
    assert __version__ not in (TOP / "pyproject.toml").read_text()


@pytest.fixture(scope="module")
def one_file(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the zipapp from the wheel and the installed dependencies."""
    folder = tmp_path_factory.mktemp("python-path")
    for name in wheel.namelist():
        if name.startswith("chatpost/"):
            wheel.extract(name, folder)
    installed = Path(sys.modules["click"].__file__ or "").parent.parent
    for name in REQUIRED:
        shutil.copytree(installed / name, folder / name)
    target = tmp_path_factory.mktemp("built") / "chatpost.pyz"
    build(folder, target)
    build(folder, target.with_name("again.pyz"))
    return target


def test_the_one_file(one_file: Path, shell: Shell, chat: Emulator) -> None:
    """The zipapp posts with a bare Python, and supports profiles, long words and Redis."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    url = shell.env["CHATPOST_URL"]
    shell.env = {"HOME": str(shell.home), "XDG_CONFIG_HOME": shell.env["XDG_CONFIG_HOME"], "PATH": "/usr/bin:/bin"}
    python = (sys.executable, "-I", "-S", str(one_file))
    assert shell.run(*python, "send", "-p", "ops", "Hello").status == 0
    shell.env["CHATPOST_URL"] = url
    assert shell.run(*python, "send", "-q", stdin="é" * 20_000).status == 0
    assert "".join(texts(chat)) == "Hello" + "é" * 20_000
    assert shell.run(*python, "send", "--help").status == 0
    # Google's types, which validate cards, are not included.
    assert shell.run(*python, "send", "--dry-run", "--card", "-", stdin='{"header": {"title": 1}}').status == 0
    shell.env["CHATPOST_REDIS_URL"] = "redis://127.0.0.1:1"
    assert "connection refused" in shell.run(*python, "send", "Hello").err


@pytest.mark.parametrize("command", ["send Hello", "run -- true", "run -- sh -c 'kill -TERM $$'"])
def test_the_one_file_leaves_nothing(
    one_file: Path, shell: Shell, chat: Emulator, tmp_path: Path, command: str
) -> None:
    """A command leaves no temporary files behind, even if it exits by its job's signal."""
    (tmp_path / "temporary").mkdir()
    shell.env["TMPDIR"] = str(tmp_path / "temporary")
    done = shell.run(sys.executable, "-I", "-S", str(one_file), *shlex.split(command))
    assert (done.status, len(chat.received)) == (-signal.SIGTERM if "kill" in command else 0, 1)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_one_file_is_reproducible(one_file: Path) -> None:
    """Two builds from the same input are identical, with sorted names, a fixed date and no native code."""
    assert one_file.read_bytes() == one_file.with_name("again.pyz").read_bytes()
    with zipfile.ZipFile(one_file) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert not [name for name in names if name.endswith((".so", ".pyc", "direct_url.json"))]


def test_an_old_python_is_told() -> None:
    """The zipapp's source contains an error message for a Python that is too old."""
    text = (TOP / "tests" / "build_zipapp.py").read_text()
    assert "chatpost needs Python 3.11 or newer" in text


def test_each_installed_command(shell: Shell, chat: Emulator) -> None:
    """Each command starts as installed, alone, and says no more than it should: most tests fork it, without imports."""
    shell.write_profiles(
        f'[profiles.ops]\nurl = "{chat.url()}"\n[profiles.dev]\nurl = "{chat.url("B")}"\n[sendmail]\nroot = "ops"\n'
    )
    (shell.home / "card.json").write_text('{"header": {"title": "Backup"}}')
    del shell.env["CHATPOST_URL"]
    missing = "chatpost: error: there is no message 1 in the outbox: list the messages with `chatpost outbox list` "
    missing += "(see docs/troubleshooting.md#outbox)\n"
    mail = "Subject: Disk\n\nIt is full.\n"
    for line, status, said in (
        ("send -q -p ops -p dev hello", 0, ""),
        ("reply -q -p ops -k key hello", 0, ""),
        ("thread -q -p ops hello", 0, ""),
        ("thread -q -p ops --follow Log", 0, ""),
        ("run -q -p ops -- true", 0, ""),
        ("run -q -p ops --on change --name x -- false", 1, ""),
        ("send -q -p ops --once-per 1h hello", 0, ""),
        ("send -q -p ops --card card.json --dry-run", 0, ""),
        ("send -q -p ops --spool-only later", 0, ""),
        ("outbox list", 0, ""),
        ("outbox show 1", 0, ""),
        ("outbox retry 1", 0, "chatpost: 1 message pending: post with `chatpost outbox flush`\n"),
        ("outbox flush -q", 0, ""),
        ("outbox delete 1", 66, missing),
        ("sendmail root", 0, ""),
        ("profiles", 0, ""),
        ("profiles delete dev", 0, f"chatpost: profile dev was deleted from {shell.config}\n"),
        ("completion bash", 0, ""),
        ("emulator -- true", 0, "The emulator holds 0 messages.\n"),
    ):
        done = shell.run("chatpost", *line.split(), stdin=mail if "mail" in line else b"")
        assert (done.status, done.err) == (status, said), line
