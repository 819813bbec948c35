"""profiles.toml: its format, its URL sources, and the choice of a profile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from chatpost.errors import ConfigurationError
from chatpost.profiles.file import load_profiles
from chatpost.profiles.url_source import read_source
from tests.conftest import KEY, TOKEN, texts, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell


@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


def profile(name: str, url: str, more: str = "") -> str:
    return f'[profiles.{name}]\nurl = "{url}"\n{more}\n'


@pytest.fixture
def profiles(shell: Shell, chat: Emulator) -> Shell:
    """Return a shell with two profiles, each for a space of the same name, and without CHATPOST_URL."""
    del shell.env["CHATPOST_URL"]
    shell.write_profiles(profile("ops", chat.url("ops", KEY, TOKEN)) + profile("ci", chat.url("ci", KEY, TOKEN)))
    return shell


def spaces_posted_to(chat: Emulator) -> list[str]:
    return [received.path.split("/")[3] for received in chat.received]


def test_where_to_post(profiles: Shell, chat: Emulator) -> None:
    """The first of --profile, CHATPOST_URL, CHATPOST_PROFILE and the file's default determines the webhook."""
    before = profiles.config.read_text()
    profiles.write_profiles(f'default = "ci"\n{before}')
    profiles("send", "a")
    profiles.env["CHATPOST_PROFILE"] = "ops"
    profiles("send", "a")
    profiles.env["CHATPOST_URL"] = chat.url("env", KEY, TOKEN)
    profiles("send", "a")
    profiles("send", "-p", "ops", "a")
    assert spaces_posted_to(chat) == ["ci", "ops", "env", "ops"]


def test_the_only_profile_is_the_default(profiles: Shell, chat: Emulator) -> None:
    """Without a default, chatpost uses the only profile. With two profiles, one must be named."""
    done = profiles("send", "a")
    assert (done.status, chat.received) == (78, [])
    assert "there is no default profile: choose one with -p (ops, ci)" in done.err
    profiles.write_profiles(profile("ops", chat.url("ops", KEY, TOKEN)))
    assert profiles("send", "a").status == 0


def test_several_profiles_in_the_environment(profiles: Shell) -> None:
    """CHATPOST_PROFILE can name several profiles, like -p."""
    profiles.env["CHATPOST_PROFILE"] = "ops ci"
    assert len(profiles("send", "a").out.splitlines()) == 2


def test_a_url_in_the_environment_needs_no_file(profiles: Shell, chat: Emulator) -> None:
    """With CHATPOST_URL and no -p, chatpost ignores a broken profile file."""
    profiles.write_profiles("broken")
    profiles.env["CHATPOST_URL"] = chat.url("env", KEY, TOKEN)
    assert profiles("send", "a").status == 0


def test_config_names_the_file(profiles: Shell, chat: Emulator, tmp_path: Path) -> None:
    """With --config or CHATPOST_CONFIG, chatpost reads that file instead of the user's."""
    other = tmp_path / "other.toml"
    other.write_text(profile("ops", chat.url("other", KEY, TOKEN)))
    other.chmod(0o600)
    profiles("send", "--config", str(other), "a")
    profiles.env["CHATPOST_CONFIG"] = str(other)
    profiles("send", "a")
    assert spaces_posted_to(chat) == ["other", "other"]


def test_the_systems_file(profiles: Shell, tmp_path: Path) -> None:
    """Without a user's file, chatpost reads the system's file. It never reads one in the working directory."""
    text = profiles.config.read_text()
    profiles.config.unlink()
    (tmp_path / "profiles.toml").write_text(text)
    profiles.env["XDG_CONFIG_DIRS"] = str(tmp_path / "etc")
    assert profiles("send", "-p", "ops", "a").status == 78
    system = tmp_path / "etc" / "chatpost" / "profiles.toml"
    system.parent.mkdir(parents=True)
    system.write_text(text)
    system.chmod(0o640)
    assert profiles("send", "-p", "ops", "a").status == 0


def test_url_from_the_environment(profiles: Shell, chat: Emulator) -> None:
    """A variable can hold a profile's URL. If it is not set, chatpost exits with 78 and names it."""
    profiles.write_profiles('[profiles.ci]\nurl = { env = "CHAT_WEBHOOK" }\n')
    profiles("send", "a").expect(78, "profile ci: the URL's variable CHAT_WEBHOOK is not set")
    profiles.env["CHAT_WEBHOOK"] = chat.url("ci", KEY, TOKEN)
    assert profiles("send", "a").status == 0


def test_url_from_a_file(profiles: Shell, chat: Emulator) -> None:
    """The first line of a file can hold a profile's URL. A relative path starts at the profile file's directory."""
    profiles.write_profiles('[profiles.ci]\nurl = { file = "secret" }\n')
    profiles("send", "a").expect(78, "secret cannot be read")
    (profiles.config.parent / "secret").write_text(f"\ufeff{chat.url('ci', KEY, TOKEN)}\r\nmore\n")
    assert profiles("send", "a").status == 0


def test_url_from_a_file_in_the_environment(profiles: Shell, chat: Emulator, tmp_path: Path) -> None:
    """CHATPOST_URL_FILE names a file with the URL, as for Docker's secrets; an error names the variable."""
    file = tmp_path / "secret"
    file.write_text(f"{chat.url('FFFF', key=KEY, token=TOKEN)}\n")
    profiles.env["CHATPOST_URL_FILE"] = f" {file}\r"
    assert profiles("send", "hello").status == 0
    assert texts(chat, "FFFF") == ["hello"]
    assert profiles("profiles", "list").err == "chatpost: CHATPOST_URL_FILE is set: without -p, messages go there\n"
    profiles.env["CHATPOST_URL"] = chat.url()
    profiles("send", "hello").expect(78, "CHATPOST_URL and CHATPOST_URL_FILE are both set: unset one of them")
    assert profiles("send", "-p", "ops", "hello").status == 0
    profiles.env["CHATPOST_URL"] = " "
    assert profiles("send", "hello").status == 0
    file.write_text("")
    profiles("send", "hello").expect(78, f"CHATPOST_URL_FILE: the file {file} is empty")
    file.unlink()
    profiles("send", "hello").expect(78, f"CHATPOST_URL_FILE: the URL's file {file} cannot be read: no such file")
    profiles.env["CHATPOST_URL_FILE"] = ""
    profiles.env.pop("CHATPOST_URL")
    profiles("send", "hello").expect(78, "CHATPOST_URL_FILE is set but empty: set it to the path of a file")


def test_the_outbox_and_a_url_file(profiles: Shell, chat: Emulator, tmp_path: Path) -> None:
    """A message that was stored for CHATPOST_URL_FILE is posted by a flush that has it; the emulator overrides it."""
    file = tmp_path / "secret"
    file.write_text(chat.url("FFFF", key=KEY, token=TOKEN))
    profiles.env["CHATPOST_URL_FILE"] = str(file)
    assert profiles("send", "--spool-only", "hello").status == 0
    assert profiles("outbox", "flush").status == 0
    assert texts(chat, "FFFF") == ["hello"]
    assert profiles("emulator", "--", "chatpost", "send", "there").status == 0
    assert texts(chat, "FFFF") == ["hello"]


@pytest.mark.parametrize("name", ["$CREDENTIALS_DIRECTORY/chat", "${CREDENTIALS_DIRECTORY}/chat"])
def test_variables_in_the_name_of_a_file(profiles: Shell, chat: Emulator, tmp_path: Path, name: str) -> None:
    """The path of a URL's file can begin with a variable, as systemd's credentials need it."""
    (tmp_path / "chat").write_text(chat.url("FFFF", key=KEY, token=TOKEN))
    profiles.write_profiles(f'[profiles.ops]\nurl = {{ file = "{name}" }}\n')
    done = profiles("send", "hello")
    done.expect(78, f"the path {name} contains the variable CREDENTIALS_DIRECTORY, which is not set")
    profiles.env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    assert profiles("send", "hello").status == 0
    assert texts(chat, "FFFF") == ["hello"]


def test_url_from_a_command(profiles: Shell, chat: Emulator) -> None:
    """The first output line of a command can be a profile's URL. It runs without a shell, and does not read stdin."""
    url = chat.url("ci", KEY, TOKEN)
    script = 'cat; echo "$1"; echo "${2}"; exec yes'
    profiles.write_profiles(f"[profiles.ci]\nurl = {{ command = ['sh', '-c', '{script}', 'sh', '{url}', '*'] }}\n")
    assert profiles("send", stdin="hello").status == 0
    assert chat.space("ci").messages[0].text == "hello"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("['no-such-command-of-the-tests']", "cannot be run: no such file"),
        ("['sh', '-c', 'echo SECRETSECRET >&2; exit 3']", "failed with status 3"),
        ("['sh', '-c', 'exec sleep 600'], timeout = 0.2", "took longer than 0.2 s"),
        ("['sh', '-c', 'sleep 600 & exec sleep 600'], timeout = 0.2", "took longer than 0.2 s"),
        ("['sh', '-c', 'exec >&-; exec sleep 600'], timeout = 0.2", "took longer than 0.2 s"),
        ("['true']", "the webhook URL is empty"),
        ("['a\\u0000b']", "NUL"),
    ],
)
def test_url_from_a_command_that_fails(profiles: Shell, chat: Emulator, command: str, said: str) -> None:
    """If a command fails, hangs or prints nothing, chatpost exits with 78, without its arguments or its stderr."""
    command = command.replace("'a\\u0000b'", '"a\\u0000b"')
    profiles.write_profiles(f"[profiles.ci]\nurl = {{ command = {command} }}\n")
    done = profiles("send", "a")
    assert (done.status, done.err.count("\n"), chat.received) == (78, 1, [])
    assert said in done.err
    assert "SECRET" not in done.err
    assert "exit 3" not in done.err


def test_defaults_of_a_profile(profiles: Shell, chat: Emulator) -> None:
    """A profile sets option defaults. Variables and the command line take precedence over them."""
    more = 'thread_key = "nightly"\nsilent = true\noutput = "json"\nfallback_new_thread = true\ndeadline = 120'
    profiles.write_profiles(profile("ci", chat.url("ci", KEY, TOKEN), more))
    done = profiles("send", "a")
    assert json.loads(done.out)["thread"]["threadKey"] == "nightly"
    assert chat.space("ci").messages[0].query["createMessageNotificationOptions.notificationType"]
    profiles.env["CHATPOST_THREAD_KEY"] = "env"
    assert json.loads(profiles("send", "a").out)["thread"]["threadKey"] == "env"
    assert json.loads(profiles("send", "-k", "argv", "a").out)["thread"]["threadKey"] == "argv"
    named = json.loads(profiles("reply", "--thread", "spaces/ci/threads/T", "a").out)
    assert named["thread"]["threadKey"] is None


def test_each_profile_has_its_own_defaults(profiles: Shell, chat: Emulator) -> None:
    """Each profile has its own defaults. The first profile determines the output format."""
    profiles.write_profiles(
        profile("a", chat.url("a", KEY, TOKEN), 'thread_key = "ka"')
        + profile("b", chat.url("b", KEY, TOKEN), 'thread_key = "kb"\noutput = "json"')
    )
    done = profiles("send", "-p", "a", "-p", "b", "text")
    assert [message.body["thread"]["threadKey"] for s in "ab" for message in chat.space(s).messages] == ["ka", "kb"]
    assert done.out.startswith("spaces/a/messages/")


def test_thread_takes_no_thread_from_a_profile(profiles: Shell, chat: Emulator) -> None:
    """A profile's thread applies to send and reply; `thread` always opens a new one."""
    profiles.write_profiles(profile("ci", chat.url("ci", KEY, TOKEN), 'thread = "spaces/ci/threads/T"'))
    assert profiles("thread", "a").status == 0
    assert profiles("reply", "a").status == 0
    assert [list(message.body["thread"]) for message in chat.space("ci").messages] == [["threadKey"], ["name"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default = 1", "default names a profile that is not in this file (it has: none)"),
        ('default = "x"', "default names a profile that is not in this file (it has: none)"),
        ("other = 1", "unknown key other"),
        ("profiles = 1", "profiles is not a table"),
        ("[profiles]\nops = 1", "profiles.ops is not a table"),
        ("[profiles.ops]", "profiles.ops has no url"),
        ("[profiles.ops]\nurl = 1", "profiles.ops.url is not a string"),
        ("[profiles.ops]\nurl = {}", "profiles.ops.url is not a string"),
        ('[profiles.ops]\nurl = { env = "" }', "profiles.ops.url is not a string"),
        ('[profiles.ops]\nurl = { env = "A", file = "B" }', "profiles.ops.url is not a string"),
        ("[profiles.ops]\nurl = { command = 'pass show' }", "profiles.ops.url is not a string"),
        ("[profiles.ops]\nurl = { command = [] }", "profiles.ops.url is not a string"),
        ("[profiles.ops]\nurl = { command = ['a', 1] }", "profiles.ops.url is not a string"),
        (
            "[profiles.ops]\nurl = { command = ['a'], timeout = 'x' }",
            "the only other key allowed is timeout, a duration",
        ),
        ("[profiles.ops]\nurl = { command = ['a'], timeout = 0 }", "the only other key allowed is timeout, a duration"),
        ('[profiles."a b"]\nurl = "x"', "invalid profile name"),
        ('[profiles.ops]\nurl = "URL"\ndedline = 1', "profiles.ops.dedline is not an option"),
        ('[profiles.ops]\nurl = "URL"\nrequest_id = "x"', "profiles.ops.request_id cannot be set in a profile"),
        ('[profiles.ops]\nurl = "URL"\ndeadline = "soon"', "profiles.ops.deadline is not a duration"),
        ('[profiles.ops]\nurl = "URL"\ndeadline = true', "profiles.ops.deadline is not a duration"),
        ('[profiles.ops]\nurl = "URL"\ndeadline = -1', "profiles.ops.deadline is not a duration above 0s"),
        ('[profiles.ops]\nurl = "URL"\nretries = 1.5', "profiles.ops.retries is not a whole number"),
        ('[profiles.ops]\nurl = "URL"\nsilent = "yes"', "profiles.ops.silent is not true or false"),
        ('[profiles.ops]\nurl = "URL"\nthread_key = 5', "profiles.ops.thread_key is not a string"),
        ('[profiles.ops]\nurl = "URL"\nthread = "T"', "profiles.ops.thread is not a thread name"),
        ('[profiles.ops]\nurl = "https://evil.example/"', "profile ops: the webhook URL's host"),
        ("\xff", "line 1"),
        ("x = 1 = 2", "line 1, column"),
        (f'a = "{KEY}\n', "line 1, column"),
        (f'[profiles.a]\nurl = "x"\n[profiles.a]\n# {KEY}', "line 3, column"),
        (f'"{KEY} {TOKEN}" = 1', "unknown key: a profile file has"),
    ],
)
def test_what_is_wrong_in_the_file(profiles: Shell, chatpost: InProcess, chat: Emulator, text: str, said: str) -> None:
    """On an error in a profile file, chatpost exits with 78 and names the file or profile and the key, but no value."""
    profiles.write_profiles("")
    profiles.config.write_bytes(text.replace("URL", chat.url("ops", KEY, TOKEN)).encode("latin-1"))
    done = chatpost("send", "-p", "ops", "a")
    assert (done.status, done.err.count("\n"), chat.received) == (78, 1, [])
    assert said in done.err


def test_a_wrong_file_is_no_fault_of_the_outbox(profiles: Shell, chatpost: InProcess) -> None:
    """An error in the profile file that lists the key ``outbox`` does not refer to the outbox's troubleshooting."""
    profiles.write_profiles("other = 1\n")
    done = chatpost("outbox", "list")
    assert (done.status, "unknown key other" in done.err) == (78, True)
    assert "troubleshooting" not in done.err


@settings(max_examples=50)
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_no_broken_file_shows_its_values(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """An error in a broken profile file never quotes a value."""
    path = tmp_path_factory.mktemp("broken") / "profiles.toml"
    path.write_text(f'{text}\nx = "{KEY}\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load_profiles(path)
    assert KEY not in str(error.value)


def test_a_url_source_shows_no_url(tmp_path: Path) -> None:
    """Neither str nor repr of a URL source shows the URL or a command's arguments."""
    for value in (f"https://x?key={KEY}", {"command": ["pass", f"--key={KEY}"]}):
        source = read_source("url", value, tmp_path)
        assert KEY not in f"{source} {source!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default = ['a']\n", "default names a profile that is not in this file (it has: none)"),
        (f"a = {'[' * 5000}", "nested too deep"),
        (f"a = {'9' * 5000}", "a number in it is too long"),
        ('[profiles.a]\nurl = { file = "~nosuchuser/x" }\n', "cannot be read"),
        ('[profiles.a]\nurl = { file = "a\\u0000b" }\n', "profiles.a.url is not a string"),
        ('[profiles.a]\nurl = { env = "not a name" }\n', "profiles.a.url is not a string"),
        (
            '[profiles.a]\nurl = { env = "X" }\nthread_key = "k"\nthread = "spaces/A/threads/T"\n',
            "sets both thread and thread_key",
        ),
    ],
)
def test_odd_files(shell: Shell, text: str, said: str) -> None:
    """On an unusual profile file, chatpost exits with 78 and one line that gives the reason."""
    del shell.env["CHATPOST_URL"]
    shell.write_profiles(text)
    done = shell("send", "hello")
    done.expect(78, said)
    assert done.err.count("\n") == 1


def test_a_named_pipe_for_a_url(shell: Shell) -> None:
    """A URL file that is not a regular file, such as a named pipe, is an error."""
    del shell.env["CHATPOST_URL"]
    os.mkfifo(shell.home / "pipe")
    shell.write_profiles(f'[profiles.a]\nurl = {{ file = "{shell.home}/pipe" }}\n')
    shell("send", "hello").expect(78, "is not a regular file")


def test_an_empty_url_in_the_environment(profiles: Shell, chat: Emulator) -> None:
    """If CHATPOST_URL or a profile's variable is empty, as in a CI run of a fork, chatpost exits with 78."""
    profiles.env["CHATPOST_URL"] = ""
    done = profiles("send", "a")
    assert (done.status, chat.received) == (78, [])
    assert "CHATPOST_URL is set but empty" in done.err
    del profiles.env["CHATPOST_URL"]
    profiles.env["CHAT_WEBHOOK"] = ""
    profiles.write_profiles('[profiles.ci]\nurl = { env = "CHAT_WEBHOOK" }\n')
    assert "CHAT_WEBHOOK is set but empty" in profiles("send", "a").err


def test_did_you_mean(profiles: Shell) -> None:
    """For an unknown profile, chatpost suggests the nearest one and names the file."""
    done = profiles("send", "-p", "opps", "a")
    assert f"there is no profile opps in {profiles.config} (it has: ops, ci); did you mean ops?" in done.err
    profiles.config.unlink()
    assert f"no profile file {profiles.config}" in profiles("send", "-p", "ops", "a").err


@pytest.mark.parametrize(
    "line",
    [f'output = "{KEY}"', f'mention = ["{KEY} x"]', f'status = "{KEY}"', f'title = ["{KEY}"]', f'icon = "{KEY}"'],
)
def test_no_value_is_shown(profiles: Shell, chat: Emulator, line: str) -> None:
    """An invalid value in a profile is not quoted; the error names the key and the allowed values."""
    profiles.write_profiles(profile("ops", chat.url("ops", KEY, TOKEN), line))
    done = profiles("send", "a")
    assert (done.status, chat.received) == (78, [])
    assert f"profiles.ops.{line.split(maxsplit=1)[0]} is not" in done.err
    assert KEY not in done.err


def test_an_escape_character_in_a_path(profiles: Shell) -> None:
    """Escape characters in a path do not reach the terminal, in an error or in a table."""
    assert "\x1b" not in profiles("send", "--config", "no\x1b[31mfile", "a").expect(78).err
    profiles.write_profiles("[profiles.ops]\nurl = { file = '/no\u009bfile' }\n")
    assert "\u009b" not in profiles("profiles").out


def test_an_escape_character_in_a_key(profiles: Shell, chat: Emulator) -> None:
    """Escape characters in a key do not reach the terminal."""
    profiles.write_profiles(profile("ops", chat.url("ops", KEY, TOKEN), '"a\\u001b[31m" = 1'))
    done = profiles("send", "a")
    assert done.status == 78
    assert "\x1b" not in done.err


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("place", ["file", "directory", "link", "url file"])
def test_a_file_of_another_user(profiles: Shell, chat: Emulator, place: str) -> None:
    """If another user owns the profile file, its directory, a link to it or a URL file, chatpost exits with 78."""
    config = profiles.config
    match place:
        case "file":
            os.chown(config, 12345, 12345)
        case "directory":
            os.chown(config.parent, 12345, 12345)
        case "link":
            config.rename(config.with_name("real.toml"))
            config.symlink_to("real.toml")
            os.lchown(config, 12345, 12345)
        case "url file":
            profiles.write_profiles('[profiles.ops]\nurl = { file = "secret" }\n')
            (config.parent / "secret").write_text(chat.url("ops", KEY, TOKEN))
            os.chown(config.parent / "secret", 12345, 12345)
    done = profiles("send", "-p", "ops", "a")
    assert (done.status, chat.received) == (78, [])
    assert "belongs to another user" in done.err
    checked = profiles("profiles", "check")
    assert checked.status == 78
    assert "belongs to another user" in checked.out + checked.err


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o703])
def test_a_directory_that_others_can_write(profiles: Shell, chat: Emulator, mode: int) -> None:
    """If others can write to a directory above the profile file, chatpost exits with 78, unless it is sticky."""
    profiles.config.parent.chmod(mode)
    done = profiles("send", "-p", "ops", "a")
    assert (done.status, chat.received) == (78, [])
    assert f"other users can write to {profiles.config.parent} and could redirect" in done.err
    profiles.config.parent.chmod(mode | 0o1000)
    assert profiles("send", "-p", "ops", "a").status == 0


def test_a_link_to_a_file_of_ones_own(profiles: Shell) -> None:
    """A link to a trusted file is trusted, even through relative and absolute links to directories."""
    real = profiles.home / "dotfiles"
    profiles.config.parent.rename(real)
    profiles.config.parent.symlink_to("../dotfiles")
    assert profiles("send", "-p", "ops", "a").status == 0
    (profiles.home / "other").symlink_to(real)
    assert profiles("send", "--config", "other/../other/profiles.toml", "-p", "ops", "a").status == 0


def test_a_named_pipe_for_a_profile_file(profiles: Shell, chat: Emulator) -> None:
    """If the profile file is a named pipe without a writer, chatpost does not wait for it, and a job still runs."""
    os.mkfifo(profiles.home / "pipe")
    profiles("send", "--config", "pipe", "-p", "a", "hello").expect(78, "there is no profile a in pipe")
    assert profiles("run", "--config", "pipe", "-p", "a", "--", "sh", "-c", "exit 3").status == 3
    assert chat.received == []


def test_a_profile_file_from_a_pipe_of_the_shell(profiles: Shell) -> None:
    """--config can name a process substitution of the shell."""
    script = 'chatpost send --config <(cat "$0") -p ops a'
    assert profiles.run("bash", "-c", script, str(profiles.config)).status == 0


def test_a_command_leaves_nothing_behind(profiles: Shell, chat: Emulator) -> None:
    """If a URL command takes too long, or chatpost is terminated, chatpost ends all processes of the command."""
    del chat
    pids = profiles.home / "pids"
    script = profiles.home / "slow.sh"
    script.write_text(f"sleep 300 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait\n")
    command = f'url = {{ command = ["sh", "{script}"], timeout = 1 }}'
    profiles.write_profiles(f"[profiles.ops]\n{command}\n")

    profiles.start("send", "a", start_new_session=True).end().expect(78)
    wait_for("the end of the killed processes", lambda: not alive(pids))
    pids.unlink()
    profiles.write_profiles(f"[profiles.ops]\n{command.replace('1 }', '300 }')}\n")
    running = profiles.start("send", "a", start_new_session=True)
    wait_for("the processes of the command", pids.exists)
    running.signal(signal.SIGTERM)
    assert running.end() == (-signal.SIGTERM, "", "chatpost: interrupted. Nothing was posted.\n")
    wait_for("the end of the killed processes", lambda: not alive(pids))


def alive(pids: Path) -> list[str]:
    """Return the processes in a PID file that are still running, except zombies."""
    done = subprocess.run(
        ["ps", "-o", "stat=,pid=", "-p", ",".join(pids.read_text().split())], capture_output=True, check=False
    )
    return [line for line in done.stdout.decode().splitlines() if not line.strip().startswith("Z")]


def test_a_path_in_another_locale(profiles: Shell, chat: Emulator) -> None:
    """A path with non-ASCII characters works in an ASCII locale."""
    profiles.env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (profiles.config.parent / "geheim-é").write_text(chat.url("ci", KEY, TOKEN))
    profiles.write_profiles('[profiles.ci]\nurl = { file = "geheim-é" }\n')
    assert profiles("send", "a").status == 0
    (profiles.config.parent / "geheim-é").unlink()
    profiles("send", "a").expect(78, "geheim-")
    assert profiles("profiles").status == 0
