"""Mentions by names that the profile file defines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import texts

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell


@pytest.fixture
def shell(chatpost: InProcess) -> InProcess:
    """Return the command in this process, which suffices for these tests."""
    return chatpost


NAMES = """
[mentions]
alice = "1234567890"
bob = "users/22"
oncall = ["alice", "bob", "33"]
everyone = "all"
"""


@pytest.fixture
def user(shell: Shell, chat: Emulator) -> Shell:
    """Return a user with names for other users."""
    shell.write_profiles(f'{NAMES}\n[profiles.ops]\nurl = "{chat.url()}"\n[profiles.dev]\nurl = "{chat.url("dev")}"\n')
    return shell


@pytest.mark.parametrize("profile", [(), ("-p", "ops")], ids=["CHATPOST_URL", "profile"])
@pytest.mark.parametrize(
    ("users", "mentions"),
    [
        (["alice"], "<users/1234567890>"),
        (["oncall"], "<users/1234567890> <users/22> <users/33>"),
        (["bob", "oncall", "22"], "<users/22> <users/1234567890> <users/33>"),
        (["everyone"], "<users/all>"),
        (["all"], "<users/all>"),
    ],
)
def test_names(user: Shell, chat: Emulator, profile: tuple[str, ...], users: list[str], mentions: str) -> None:
    """A name stands for a user ID or for several names. Each user is mentioned once."""
    options = [word for name in users for word in ("--mention", name)]
    assert user("send", *profile, *options, "Look").status == 0
    assert texts(chat)[-1] == f"{mentions} Look"


@pytest.mark.parametrize("command", [["send"], ["thread"], ["reply", "-k", "k"], ["run", "--", "false"]])
def test_an_unknown_name(user: Shell, chat: Emulator, command: list[str]) -> None:
    """On an unknown name, chatpost suggests the nearest name or explains user IDs, and does not post or run the job."""
    at = command.index("--") if "--" in command else len(command)
    words = [] if "--" in command else ["Look"]
    done = user(*command[:at], "--mention", "alcie", *command[at:], *words)
    status = 2 if command[0] == "run" else 78  # for a job, an invalid option is a usage error
    done.expect(status, "did you mean alice?")
    assert chat.received == []
    user(*command[:at], "--mention", "zoe", *command[at:], *words).expect(status, "A user ID is a number")


def test_an_unknown_name_in_a_variable(user: Shell, chat: Emulator) -> None:
    """`--soft-fail` and `-o json` also apply to an unknown name in CHATPOST_MENTION."""
    user.env["CHATPOST_MENTION"] = "zoe"
    done = user("send", "--soft-fail", "-o", "json", "Look").expect(0)
    assert "is neither a user ID nor a name in [mentions]" in json.loads(done.out)["error"]["message"]
    assert chat.received == []


@pytest.mark.parametrize("options", [[], ["--follow"], ["--on", "failure"]])
def test_a_job_with_an_unknown_name_in_a_variable(user: Shell, chat: Emulator, options: list[str]) -> None:
    """With an unknown name in CHATPOST_MENTION, a job runs, and its report mentions the known names with a warning."""
    user.env["CHATPOST_MENTION"] = "zoe alice"
    done = user("run", *options, "--", "sh", "-c", "echo ran; exit 3")
    assert (done.status, done.out) == (3, "ran\n")
    assert done.err.count("warning: ignoring a name in CHATPOST_MENTION: --mention zoe is neither a user ID nor") == 1
    assert "<users/1234567890>" in "".join(json.loads(request.body).get("text", "") for request in chat.received)


def test_names_that_others_can_write(user: Shell, chat: Emulator) -> None:
    """If others can write to the profile file, its names are not used."""
    user.config.chmod(0o666)
    user("send", "--mention", "alice", "Look").expect(78, "other users can write to")
    assert chat.received == []


def test_no_names(shell: Shell, chat: Emulator) -> None:
    """Without a profile file, no names are defined."""
    shell("send", "--mention", "alice", "Look").expect(78, "is neither a user ID nor a name in [mentions]")
    assert chat.received == []


def test_a_profile_that_mentions(user: Shell, chat: Emulator) -> None:
    """A profile can mention a name in each message. `profiles check` finds undefined names."""
    profiles = f'{NAMES}\n[profiles.ops]\nurl = "{chat.url()}"\nmention = ["bob"]\n'
    user.write_profiles(profiles)
    assert user("send", "-p", "ops", "Look").status == 0
    assert texts(chat)[-1] == "<users/22> Look"
    assert user("profiles", "check").status == 0
    user.write_profiles(profiles.replace('["bob"]', '["rob"]'))
    assert "profiles.ops.mention contains a value that is neither" in user("profiles", "check").expect(78).out
    assert user("send", "-p", "ops", "Look").status == 78


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('mentions = "alice"', "mentions is not a table"),
        ("[mentions]\nalice = 12", "mentions.alice is not"),
        ("[mentions]\nalice = []", "mentions.alice is not"),
        (
            '[mentions]\nalice = "bob"',
            "mentions.alice contains bob, a value that is neither a user ID nor a name in [mentions]. A user",
        ),
        ('[mentions]\nalice = "a@example.com"', "mentions.alice contains a value that is neither a user ID nor"),
        ('[mentions]\nalice = "12"\ndefault = "ops"', "mentions.default looks like a top-level key"),
        ('[mentions]\n"a b" = "12"', "[mentions] has an invalid name"),
        ('[mentions]\nall = "12"', "cannot define the name all"),
        ('[mentions]\n12 = "12"', "[mentions] has an invalid name"),
        (
            f"[mentions]\nteam = {[str(number) for number in range(501)]}",
            "mentions.team resolves to more than 500 users",
        ),
        (
            '[mentions]\nn0 = "0"\n' + "".join(f'n{n + 1} = ["n{n}", "{n + 1}"]\n' for n in range(20_000)),
            "mentions.n500 resolves to more than 500 users",
        ),
        ('[mentions]\na = ["b"]\nb = ["c"]\nc = ["a"]', "mentions.a refers to itself: a > b > c > a"),
    ],
)
def test_tables_that_are_wrong(shell: Shell, chatpost: InProcess, table: str, said: str) -> None:
    """An error in [mentions] names the key."""
    shell.write_profiles(f"{table}\n")
    chatpost("profiles").expect(78, said)


def test_names_like_keys(user: Shell, chat: Emulator) -> None:
    """A name may be the same as a key of the profile file."""
    user.write_profiles('[mentions]\nredis = ["7"]\n')
    assert user("send", "--mention", "redis", "Look").status == 0
    assert texts(chat)[-1] == "<users/7> Look"


@pytest.mark.parametrize("command", ["send Look", "run -- true"])
@pytest.mark.parametrize("profile", ["", "-p ops"])
def test_a_profile_file_from_a_pipe(user: Shell, chat: Emulator, command: str, profile: str) -> None:
    """A profile file that is a pipe is read once, for profiles and names."""
    user.write_profiles(f'{NAMES}\n[profiles.ops]\nurl = "{chat.url()}"\n')
    script = f"chatpost {command.replace(' ', f' {profile} --mention alice --config <(cat {user.config}) ', 1)}"
    assert user.run("bash", "-c", script).status == 0
    assert "<users/1234567890>" in texts(chat)[-1] or command != "send Look"
    assert len(chat.received) == 1


def test_names_behind_each_other(shell: Shell, chat: Emulator) -> None:
    """Names may refer to other names at any depth and in any order."""
    lines = [f'n{number} = "n{number + 1}"' for number in range(1000)] + ['n1000 = "7"']
    for table in (lines, lines[::-1]):
        shell.write_profiles("\n".join(["[mentions]", *table]) + f'\n[profiles.ops]\nurl = "{chat.url()}"\n')
        assert shell("send", "-p", "ops", "--mention", "n0", "Look").status == 0
        assert texts(chat)[-1] == "<users/7> Look"


def test_names_that_multiply(shell: Shell, chat: Emulator) -> None:
    """Names that refer to another name repeatedly resolve quickly."""
    table = "".join(f'n{number} = ["n{number + 1}", "n{number + 1}"]\n' for number in range(18))
    shell.write_profiles(f'[mentions]\n{table}n18 = "7"\n[profiles.ops]\nurl = "{chat.url()}"\n')
    assert shell("send", "-p", "ops", "--mention", "n0", "Look").status == 0
    assert texts(chat)[-1] == "<users/7> Look"
