"""`chatpost profiles` (list, add, check, default, delete, path) and completion."""

from __future__ import annotations

import json
import os
import signal
import stat
import termios
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import KEY, TOKEN
from tests.terminals import Terminal
from tests.tools import need

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell


@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


TOP = Path(__file__).parent.parent
URL = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"
COMMENTED = """# Who may post where.
[profiles.ops]   # the night shift
url = { env = "OPS" }
thread_key = "night"   # one thread
"""


@pytest.fixture
def user(shell: Shell) -> Shell:
    """Return a shell without any configuration."""
    del shell.env["CHATPOST_URL"]
    return shell


def test_add_makes_the_file(user: Shell) -> None:
    """The first `add` creates a file that only its owner can read, and makes the profile the default."""
    done = user("profiles", "add", "ops", stdin=f"{URL}\n")
    assert (done.status, done.out) == (0, "")
    assert "profile ops, the default, posts to spaces/AAAA" in done.err
    assert "profile ci posts to spaces/AAAA" in user("profiles", "add", "ci", stdin=f"{URL}\n").err
    assert user("profiles", "delete", "ci").status == 0
    assert stat.S_IMODE(user.config.stat().st_mode) == 0o600
    assert tomllib.loads(user.config.read_text()) == {"default": "ops", "profiles": {"ops": {"url": URL}}}


def test_add_keeps_what_stands_there(user: Shell) -> None:
    """`add` keeps comments, other profiles and the implicit default, and restricts the file to its owner."""
    user.write_profiles(COMMENTED, 0o644)
    assert user("profiles", "add", "ci", stdin=URL).status == 0
    text = user.config.read_text()
    assert set(COMMENTED.splitlines()) < set(text.splitlines())
    assert tomllib.loads(text) == {
        "default": "ops",
        "profiles": {"ops": {"url": {"env": "OPS"}, "thread_key": "night"}, "ci": {"url": URL}},
    }
    assert stat.S_IMODE(user.config.stat().st_mode) == 0o600


def test_add_does_not_overwrite(user: Shell) -> None:
    """If the name is taken, `add` exits with 78.

    With `--replace`, it sets the new URL and keeps the profile's defaults.
    """
    user.write_profiles(COMMENTED)
    done = user("profiles", "add", "ops", stdin=URL)
    assert (done.status, user.config.read_text()) == (78, COMMENTED)
    assert "--replace" in done.err
    assert user("profiles", "add", "--replace", "ops", stdin=URL).status == 0
    assert tomllib.loads(user.config.read_text())["profiles"]["ops"] == {"url": URL, "thread_key": "night"}


def test_add_follows_a_link(user: Shell) -> None:
    """`add` writes through a symbolic link."""
    user.config.parent.mkdir(parents=True)
    target = user.home / "dotfiles.toml"
    user.config.symlink_to(target)
    assert user("profiles", "add", "ops", stdin=URL).status == 0
    assert user.config.is_symlink()
    assert "ops" in target.read_text()


@pytest.mark.parametrize(
    ("name", "url", "status", "said"),
    [
        ("ops", "", 78, "no URL on stdin"),
        ("ops", "https://evil.example/x", 78, "host"),
        ("a b", URL, 2, "a profile name consists of letters and digits"),
        (URL, URL, 2, "a profile name consists of letters and digits"),
    ],
)
def test_add_refuses(user: Shell, name: str, url: str, status: int, said: str) -> None:
    """`add` rejects an invalid URL or profile name, and creates no file."""
    done = user("profiles", "add", name, stdin=url)
    assert (done.status, done.err.count("\n"), user.config.exists()) == (status, 1, False)
    assert said in done.err


def test_add_to_a_broken_file(user: Shell) -> None:
    """`add` does not change a file that is invalid TOML, or that others can write to."""
    user.write_profiles("broken", 0o600)
    assert user("profiles", "add", "ops", stdin=URL).status == 78
    user.write_profiles(COMMENTED, 0o666)
    assert user("profiles", "add", "ci", stdin=URL).status == 78
    assert user.config.read_text() == COMMENTED


def test_add_where_nothing_can_be_written(user: Shell) -> None:
    """If the file cannot be written, `add` prints one line and exits with 78."""
    (user.home / "config").write_text("a file where a folder should be")
    done = user("profiles", "add", "ops", stdin=URL)
    assert (done.status, done.err.count("\n")) == (78, 1)
    assert "cannot be written: not a directory" in done.err


def test_add_asks_at_a_terminal(user: Shell) -> None:
    """At a terminal, `add` prompts for the URL and does not echo the input."""
    terminal = Terminal()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    running = user.start("profiles", "add", "ops", start_new_session=True, **streams)
    terminal.wait_for("hidden): ")
    terminal.type(f"{URL}\n")
    running.end().expect(0)
    assert "googleapis" not in terminal.close()
    assert tomllib.loads(user.config.read_text())["profiles"]["ops"]["url"] == URL


def test_the_end_of_input_at_the_prompt(user: Shell) -> None:
    """Ctrl-D at the prompt exits with 66 and a message."""
    terminal = Terminal()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    running = user.start("profiles", "add", "ops", start_new_session=True, **streams)
    terminal.wait_for("hidden): ")
    terminal.type("\x04")
    running.end().expect(66)
    assert "chatpost: error: cancelled: there is no more input" in terminal.close()


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({"TERM": "xterm"}, "\x1b[1;31mchatpost: error:\x1b[0m No such"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "chatpost: error: No such"),
        ({"TERM": "dumb"}, "chatpost: error: No such"),
        ({}, "chatpost: error: No such"),
    ],
)
def test_errors_at_a_terminal(user: Shell, variables: dict[str, str], shown: str) -> None:
    """An error's prefix has a colour at a terminal that supports it, unless NO_COLOR is set."""
    terminal = Terminal()
    user.env |= variables
    user.start("send", "--bogus", stderr=terminal.theirs).end().expect(2)
    assert terminal.close().startswith(shown)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_at_the_prompt(user: Shell, number: signal.Signals) -> None:
    """A signal at the prompt restores the echo of the terminal."""
    terminal = Terminal()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    running = user.start("profiles", "add", "ops", **streams)
    terminal.wait_for("hidden): ")
    assert not termios.tcgetattr(terminal.theirs)[3] & termios.ECHO
    running.signal(number)
    running.end().expect(-number)
    assert termios.tcgetattr(terminal.theirs)[3] & termios.ECHO
    terminal.close()


def test_list(user: Shell) -> None:
    """The list shows each profile's name, space and URL source, and the default, but no secret."""
    user.env["OPS"] = URL.replace("AAAA", "BBBB")
    user.write_profiles(
        f'default = "ci"\n{COMMENTED}[profiles.ci]\nurl = "{URL}"\n'
        f"[profiles.pass]\nurl = {{ command = ['pass', 'show', '{KEY}'] }}\n"
        "[profiles.file]\nurl = { file = '/no/file' }\n"
    )
    done = user("profiles")
    assert (done.status, done.err) == (0, "")
    assert [line.split("\t") for line in done.out.splitlines()] == [
        ["ops", "spaces/BBBB", "env OPS", ""],
        ["ci", "spaces/AAAA", "in the file", "default"],
        ["pass", "-", "command pass", ""],
        ["file", "-", "file /no/file", ""],
    ]
    records = [json.loads(line) for line in user("profiles", "-o", "json").out.splitlines()]
    assert records[1] == {"profile": "ci", "space": "spaces/AAAA", "source": "in the file", "default": True}
    assert records[2]["space"] is None


def test_list_at_a_terminal(user: Shell) -> None:
    """At a terminal, the list is a table with a header."""
    user.write_profiles(COMMENTED)
    terminal = Terminal()
    assert user("profiles", stdout=terminal.theirs).status == 0
    shown = terminal.close()
    assert "PROFILE" in shown
    assert "ops" in shown


def test_list_of_nothing(user: Shell, chat: Emulator) -> None:
    """Without a profile file, the list is empty, and stderr explains how to add a profile or mentions CHATPOST_URL."""
    done = user("profiles")
    assert (done.status, done.out) == (0, "")
    assert "profiles add" in done.err
    user.write_profiles(COMMENTED)
    user.env["CHATPOST_URL"] = chat.url()
    assert "CHATPOST_URL is set" in user("profiles").err


def test_check(user: Shell, chat: Emulator) -> None:
    """`check` validates each profile without posting. It shows an error in the profile's line, and exits with 78."""
    user.env["OPS"] = chat.url("ops", KEY, TOKEN)
    user.write_profiles(
        f"{COMMENTED}[profiles.bad]\nurl = {{ env = 'NOT_SET' }}\n[profiles.odd]\nurl = '{URL}'\ndeadline = 0\n"
    )
    done = user("profiles", "check")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert (done.status, chat.received) == (78, [])
    assert lines[0] == ["ops", "spaces/ops", "ok"]
    assert "NOT_SET" in lines[1][2]
    assert "profiles.odd.deadline" in lines[2][2]
    assert user("profiles", "check", "ops").status == 0
    assert user("profiles", "check", "nope").status == 78


@pytest.mark.parametrize(
    ("mode", "status", "said"), [(0o644, 0, "chmod 600"), (0o622, 78, "chmod go-w"), (0o600, 0, "")]
)
def test_check_of_permissions(user: Shell, mode: int, status: int, said: str) -> None:
    """`check` reports unsafe permissions of the file."""
    user.write_profiles(f'[profiles.ops]\nurl = "{URL}"\n', mode)
    user("profiles", "check").expect(status, said)


def test_check_of_nothing(user: Shell) -> None:
    """Without a profile file, `check` exits with 78."""
    assert user("profiles", "check").status == 78


def test_completion(user: Shell) -> None:
    """Completion offers profiles for -p and names for --mention. With a broken file, it offers neither."""
    user.write_profiles(f'{COMMENTED}[profiles.other]\nurl = "{URL}"\n[mentions]\nalice = "1"\nbob = "2"\n')
    user.env |= {"_CHATPOST_COMPLETE": "bash_complete", "COMP_WORDS": "chatpost send -p o", "COMP_CWORD": "3"}
    assert user().out.split() == ["plain,ops", "plain,other"]
    user.env["COMP_WORDS"] = "chatpost send -p ot"
    assert user().out.split() == ["plain,other"]
    user.env["COMP_WORDS"] = "chatpost send --mention a"
    assert user().out.split() == ["plain,alice", "plain,all"]
    user.write_profiles("broken")
    assert user().out.split() == ["plain,all"]
    user.env["COMP_WORDS"] = "chatpost send -p o"
    done = user()
    assert (done.out.strip(), done.err) == ("", "")


def test_completion_of_a_pipe(user: Shell) -> None:
    """Completion does not wait for a profile file that is a pipe."""
    os.mkfifo(user.home / "pipe")
    user.env |= {
        "_CHATPOST_COMPLETE": "bash_complete",
        "COMP_WORDS": "chatpost send --config pipe -p o",
        "COMP_CWORD": "5",
    }
    done = user()
    assert (done.out.strip(), done.err) == ("", "")


@pytest.mark.parametrize(
    "before",
    [
        f'profiles.a.url = "{URL}"\n',
        f'profiles = {{ a = {{ url = "{URL}" }} }}\n',
        f'[profiles]\na = {{ url = "{URL}" }}\n',
        f'[profiles.a]\nurl = "{URL}"\n[profiles.c]\nurl = "{URL}"\n',
        f'# only a\n[profiles.a] # its\nurl = "{URL}"\n',
    ],
)
def test_add_keeps_a_file_of_any_form(user: Shell, before: str) -> None:
    """`add` keeps the contents of a profile file in any TOML style."""
    path = user.write_profiles(before)
    was = tomllib.loads(before)
    for name in ("b", "d"):
        assert user("profiles", "add", name, stdin=URL).status == 0
    now = tomllib.loads(path.read_text())
    assert now["profiles"].pop("b") == now["profiles"].pop("d") == {"url": URL}
    assert now["profiles"] == was["profiles"]
    assert user("profiles", "check").status == 0


def test_several_add_at_once(user: Shell) -> None:
    """Concurrent `add` commands all take effect."""
    crowd = [user.start("profiles", "add", f"p{number}") for number in range(8)]
    for running in crowd:
        running.write(URL.encode())
    assert {running.end().status for running in crowd} == {0}
    content = tomllib.loads(user.config.read_text())
    assert sorted(content["profiles"]) == [f"p{number}" for number in range(8)]
    assert content["default"] in content["profiles"]


def test_add_says_at_once_that_a_name_is_taken(user: Shell) -> None:
    """`add` reports a taken name before it prompts for the URL or reads it."""
    user.write_profiles(COMMENTED)
    user("profiles", "add", "ops", stdin="").expect(78, "already has a profile ops")


def test_default(user: Shell) -> None:
    """`default` prints or changes the default profile, and keeps comments."""
    user.write_profiles(f'{COMMENTED}[profiles.ci]\nurl = "{URL}"\n')
    done = user("profiles", "default")
    done.expect(78, "sets no default")
    assert done.out == ""
    assert user("profiles", "default", "ci").status == 0
    assert user("profiles", "default").out == "ci\n"
    assert user("profiles", "default", "nope").status == 78
    text = user.config.read_text()
    assert set(COMMENTED.splitlines()) < set(text.splitlines())
    assert tomllib.loads(text)["default"] == "ci"


def test_delete(user: Shell) -> None:
    """`profiles delete` deletes a profile, also as the default, and keeps everything else."""
    user.write_profiles(f'default = "ci"\n{COMMENTED}[profiles.ci]\nurl = "{URL}"\n')
    done = user("profiles", "delete", "ci")
    assert (done.status, done.out) == (0, "")
    assert "the default is now ops" in done.err
    assert set(COMMENTED.splitlines()) <= set(user.config.read_text().splitlines())
    assert tomllib.loads(user.config.read_text()) == {
        "profiles": {"ops": {"url": {"env": "OPS"}, "thread_key": "night"}}
    }
    assert user("profiles", "delete", "ci").status == 78


def test_path(user: Shell) -> None:
    """`path` prints the path of the file, even if it does not exist, and messages about profiles name it."""
    assert user("profiles", "path").out == f"{user.config}\n"
    assert str(user.config) in user("profiles", "list").err
    assert user("profiles", "path", "--config", "x.toml").out == "x.toml\n"
    user.write_profiles("")
    assert f"there are no profiles in {user.config}" in user("profiles", "list").err
    assert user("profiles", "check").status == 78


def test_list_by_its_name(user: Shell) -> None:
    """`profiles list` is the same as `profiles`."""
    user.write_profiles(COMMENTED)
    assert user("profiles", "list") == user("profiles")
    assert user("profiles", "list", "-o", "json").out == user("profiles", "-o", "json").out


COMPLETIONS = {
    "bash": """
        source <(chatpost completion bash)
        COMP_WORDS=(chatpost send -p o) COMP_CWORD=3
        _chatpost_completion chatpost
        echo "${COMPREPLY[@]}"
        """,
    "zsh": """
        eval "$(chatpost completion zsh)"
        (( $+_comps[chatpost] )) || exit 9
        compadd() { print -l -- ${(P)@[-1]} }; words=(chatpost send -p o); CURRENT=4
        _describe() { : }; _chatpost_completion
        """,
    "fish": "chatpost completion fish | source; complete -C 'chatpost send -p o'",
}


@pytest.mark.parametrize("kind", list(COMPLETIONS))
def test_the_completion_script(user: Shell, kind: str) -> None:
    """The completion script works in each shell without any setup, and offers profile names."""
    program = "bash" if kind == "bash" else need(kind)
    user.write_profiles(f'{COMMENTED}[profiles.other]\nurl = "{URL}"\n')
    user.env["ZDOTDIR"] = str(user.home)
    arguments = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[kind]
    done = user.run(program, *arguments, "-c", COMPLETIONS[kind])
    assert (done.status, done.err) == (0, ""), done
    assert {"ops", "other"} <= set(done.out.split()), done


def test_the_installed_completion_of_zsh(user: Shell) -> None:
    """The installed zsh completion works on every Tab, not only on the first."""
    user.write_profiles(COMMENTED)
    user.env["ZDOTDIR"] = str(user.home)
    script = f"""
        fpath=({TOP}/docs/completions $fpath); autoload -Uz compinit && compinit -u -D
        compadd() {{ print -l -- ${{(P)@[-1]}} }}; _describe() {{ : }}
        words=(chatpost send -p o); CURRENT=4
        for tab in 1 2 3; do $_comps[chatpost]; done
        """
    done = user.run(need("zsh"), "-f", "-c", script)
    assert (done.status, done.out, done.err) == (0, "ops\nops\nops\n", "")


@pytest.mark.parametrize("words", ["chatpost run -- ./ba", "chatpost emulator -- ./ba"])
def test_completion_of_a_command(user: Shell, words: str) -> None:
    """In the command of `run` and `emulator`, completion offers file names."""
    user.env |= {"_CHATPOST_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
    assert user().out == "file,./ba\n"


def test_completion_of_an_unknown_shell(user: Shell) -> None:
    """For an unknown shell, `completion` exits with 2 and lists the supported shells."""
    user("completion", "tcsh").expect(2, "'bash', 'zsh', 'fish'")


@pytest.mark.parametrize("command", ["delete", "check", "default"])
def test_a_profile_that_does_not_exist(shell: Shell, command: str) -> None:
    """Deleting or checking a profile that does not exist does not advise to add it."""
    path = shell.write_profiles(
        '[profiles.ops]\nurl = "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=t"\n'
    )
    done = shell("profiles", command, "nope")
    assert (done.status, done.err) == (78, f"chatpost: error: there is no profile nope in {path} (it has: ops)\n")
