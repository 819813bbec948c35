"""The architecture: layers may import only lower layers, and commands load only the modules that they need."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import chatpost
from chatpost.commands import COMMANDS, chatpost as group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatpost.emulator import Emulator
    from tests.conftest import Shell
    from tests.redis_servers import RedisProcess

SOURCE = Path(chatpost.__file__).parent

# The layers, from the bottom up. A package or module imports only from lower layers, so features never import each
# other.
STOREYS = (
    {"errors"},
    {"concurrency", "database", "directories", "formatting", "processes"},
    {"redis_client"},
    {"chat"},
    {"content", "delivery", "profiles", "emulator"},
    {"pacing", "outbox", "jobs", "follow", "repeats", "mail"},
    {"cli"},
    {"commands"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
ONLY_IMPORTER = {
    "requests": {"chat/client.py", "chat/session.py", "chat/errors.py"},
    "urllib3": {"chat/client.py", "chat/session.py", "chat/errors.py"},
    "rich": {"cli/tables.py"},
    "tomlkit": {"profiles/writer.py"},
    "click": {"cli", "commands"},
    "flask": {"emulator", "commands/emulator.py"},
    "werkzeug": {"emulator"},
    "google": {"emulator", "commands/emulator.py"},
    "markdown_it": {"emulator"},
    "sqlite3": {"database.py"},
    "redis": {"redis_client.py"},
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return every module that a file imports at any level, including imports for type checking."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    """A module imports only from lower layers or its own package, including imports for type checking."""
    for module in imports(path):
        if module.startswith("chatpost."):
            other = module.split(".")[1]
            assert other == room(path) or other == "__version__" or LEVEL[other] < LEVEL[room(path)], module
            if other == "emulator" and room(path) != "emulator":
                assert path.relative_to(SOURCE).as_posix() in {"commands/emulator.py", "commands/dry_run.py"}


def test_no_circles() -> None:
    """No module imports itself through other modules, including imports for type checking."""
    modules = {".".join(("chatpost", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {name: {other for other in imports(path) if other in modules} - {name} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_library_has_one_importer(path: Path) -> None:
    """Only the file or package responsible for a third-party library imports it."""
    for module in imports(path):
        allowed = ONLY_IMPORTER.get(module.split(".")[0])
        where = path.relative_to(SOURCE).as_posix()
        assert allowed is None or allowed & {where, where.split("/")[0]}, module


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_too_large(path: Path) -> None:
    """A file has at most 300 lines, a function at most 50 lines and five parameters, and a value at most ten fields."""
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= 300
    for function in functions(tree):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        parameters = [argument for argument in arguments if argument.arg not in {"self", "cls"}]
        assert (function.end_lineno or 0) - function.lineno < 50, function.name
        assert len(parameters) <= 5, function.name
    for value in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in value.bases):
            assert sum(isinstance(node, ast.AnnAssign) for node in value.body) <= 10, value.name


def test_the_surroundings_are_passed() -> None:
    """Only a few files access the environment and the standard streams; all others receive them as arguments."""
    asking = {
        path.relative_to(SOURCE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("sys", "stdin"), ("sys", "stdout"), ("sys", "stderr"), ("os", "environ")}
    }
    assert asking <= {"cli/app.py", "cli/console.py", "commands/run.py", "directories.py", "processes.py"}


RUN = """
import sys
from chatpost.cli.app import run
from chatpost.commands import chatpost
sys.argv = {}
status = run(chatpost)
"""


def modules_after(code: str, env: dict[str, str]) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint('loaded', *sys.modules)"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_start_up_of_send(shell: Shell, chat: Emulator) -> None:
    """`send` loads click, requests, the modules for pacing, chatpost's own modules, and two more standard modules."""
    shell.env["CHATPOST_PACING"] = "1"
    bare = modules_after("import sys, click, requests, sqlite3", shell.env)
    ours = modules_after(RUN.format(["chatpost", "send", "x"]), shell.env)
    assert len(chat.received) == 1
    more = {name for name in ours - bare if not name.startswith("chatpost")}
    assert more <= {"dataclasses", "signal"}
    unwanted = ("emulator", "profiles.file", "commands.reply", "commands.thread")
    assert not {f"chatpost.{name}" for name in unwanted} & ours


def test_start_up_of_send_with_a_profile(shell: Shell, chat: Emulator) -> None:
    """A profile adds only a TOML parser to the modules that `send` loads."""
    shell.env["CHATPOST_PACING"] = "1"
    shell.write_profiles(f'[profiles.ops]\nurl = "{chat.url()}"\n')
    bare = modules_after("import sys, click, requests, sqlite3, tomllib", shell.env)
    run = RUN.format(["chatpost", "send", "--profile", "ops", "x"])
    more = {name for name in modules_after(run, shell.env) - bare if not name.startswith("chatpost")}
    assert more <= {"dataclasses", "signal"}


def test_start_up_of_send_with_a_store(shell: Shell, chat: Emulator, redis: RedisProcess) -> None:
    """A fleet's Redis adds only redis-py and chatpost's own modules to the modules that `send` loads."""
    shell.env |= {"CHATPOST_PACING": "1", "CHATPOST_REDIS_URL": redis.url}
    bare = modules_after("import sys, click, requests, sqlite3, pkgutil, redis, secrets", shell.env)
    more = modules_after(RUN.format(["chatpost", "send", "x"]), shell.env) - bare
    assert len(chat.received) == 1
    assert redis.call("KEYS", "chatpost:*")
    assert {name for name in more if not name.startswith("chatpost")} <= {"dataclasses", "signal"}


def test_start_up_of_spooling(shell: Shell, chat: Emulator) -> None:
    """`send --spool-only` loads neither an HTTP client nor TLS, nor the modules that post."""
    loaded = modules_after(RUN.format(["chatpost", "send", "--spool-only", "x"]), shell.env)
    assert (
        not {"requests", "urllib3", "http", "ssl", "socket", "chatpost.chat.client", "chatpost.outbox.flusher"} & loaded
    )
    assert shell("outbox", "flush").status == 0
    assert len(chat.received) == 1


def test_start_up_of_help(shell: Shell) -> None:
    """`--help` loads no command and no requests."""
    loaded = modules_after(RUN.format(["chatpost", "--help"]), shell.env)
    assert not {"requests", "rich", "dataclasses", "chatpost.commands.send", "chatpost.chat.webhook"} & loaded


@pytest.mark.parametrize(
    ("argv", "most_files", "most_changes"),
    [(["send", "hi"], 25, 90), (["run", "-q", "--", "true"], 34, 150), (["outbox", "flush"], 26, 110)],
    ids=["send", "run", "flush"],
)
def test_a_command_runs_through_few_files(shell: Shell, argv: list[str], most_files: int, most_changes: int) -> None:
    """A command executes few files, and execution rarely moves between them."""
    shell.env["CHATPOST_PACING"] = "1"
    if argv[0] == "outbox":
        assert shell("send", "--spool-only", "hi").status == 0
    done = shell.run(sys.executable, str(Path(__file__).parent / "tracing.py"), *argv)
    files, changes = map(int, re.findall(r"(\d+) files, (\d+) changes", done.err)[0])
    assert (done.status, files <= most_files, changes <= most_changes) == (0, True, True), done.err


@pytest.mark.parametrize("argv", [["send", "--help"], ["send", "-h"], ["thread", "--help"], ["profiles"]])
def test_start_up_of_what_posts_nothing(shell: Shell, argv: list[str]) -> None:
    """A command's help and the list of profiles do not load requests, sqlite3 or rich."""
    shell.write_profiles('[profiles.ops]\nurl = { env = "CHATPOST_URL" }\n')
    loaded = modules_after(RUN.format(["chatpost", *argv]), shell.env)
    assert not {"requests", "urllib3", "sqlite3", "rich"} & loaded


def test_commands_are_listed_as_they_are() -> None:
    """The list of commands shows the first line of each command's help."""
    context = click.Context(group)
    for name, line in COMMANDS.items():
        command = group.get_command(context, name)
        assert command is not None
        assert (command.help or "").partition("\n")[0] == line


def test_the_top_level() -> None:
    """The top level of the repository contains only the files that the design lists."""
    top = Path(__file__).parent.parent
    listed = subprocess.run(["git", "ls-files"], cwd=top, capture_output=True, text=True, check=False)
    if listed.returncode != 0 or not listed.stdout or not os.access(top / ".git", os.F_OK):
        pytest.fail("the tests run in a checkout")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {"src", "tests", "docs", ".github", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"}
    assert names <= allowed | {".ci", ".gitignore"}
