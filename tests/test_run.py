from __future__ import annotations

import fcntl
import os
import re
import signal
import sqlite3
import subprocess
import sys
import termios
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatpost.emulator import Emulator
from chatpost.emulator.faults import Fault, Kind
from tests.conftest import TOKEN, Shell, answering, texts, wait_for, wait_for_requests
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOK = r"\d+\.\d s"


def outcome(chat: Emulator) -> str:
    """Return the first line of the only message, with placeholders for host and times."""
    (text,) = texts(chat)
    return re.sub(TOOK, "T", text.split("\n")[0]).replace(os.uname().nodename, "HOST")


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("true", 0, "✅ *sh* succeeded on HOST in T"),
        ("exit 3", 3, "❌ *sh* failed on HOST: exit status 3 after T"),
        ("exit 255", 255, "❌ *sh* failed on HOST: exit status 255 after T"),
        ("kill -TERM $$", -signal.SIGTERM, "❌ *sh* on HOST was killed by SIGTERM after T"),
        ("kill -KILL $$", -signal.SIGKILL, "❌ *sh* on HOST was killed by SIGKILL (out of memory?) after T"),
        ("kill -SEGV $$", -signal.SIGSEGV, "❌ *sh* on HOST was killed by SIGSEGV after T"),
    ],
)
def test_the_end_of_the_job(shell: Shell, chat: Emulator, script: str, status: int, said: str) -> None:
    """The exit status is the job's, or chatpost dies of the same signal, and the message names it."""
    assert shell.start("run", "--", "sh", "-c", script).end() == (status, "", "")
    assert outcome(chat) == said


@pytest.mark.parametrize(
    ("command", "status", "why"),
    [("no-such-command", 127, "not found"), ("/etc/passwd", 126, "permission denied"), ("/", 126, "permission denied")],
)
def test_a_job_that_cannot_be_started(shell: Shell, chat: Emulator, command: str, status: int, why: str) -> None:
    """If the job cannot be started, chatpost exits with 127 or 126, like a shell, and posts the reason."""
    done = shell("run", "--", command)
    assert (done.status, done.err) == (status, f"chatpost: error: {command} could not be started: {why}\n")
    assert outcome(chat).endswith(f"on HOST could not be started: {why}")


def test_a_script_without_its_interpreter(shell: Shell) -> None:
    """A script without an interpreter line runs in the shell."""
    script = shell.home / "script"
    script.write_text("echo $1; exit 4\n")
    script.chmod(0o755)
    done = shell("run", "--", "./script", "word")
    assert (done.status, done.out) == (4, "word\n")


@pytest.mark.parametrize(
    ("first_line", "why"),
    [
        (b"#!/bin/sh\r", "its interpreter /bin/sh\\r does not exist: the script has Windows line endings; convert it"),
        (b"#! /opt/none/python3 -u", "its interpreter /opt/none/python3 does not exist"),
    ],
)
def test_an_interpreter_that_does_not_exist(shell: Shell, chat: Emulator, first_line: bytes, why: str) -> None:
    """If a script's interpreter does not exist, chatpost names it, not the script."""
    script = shell.home / "script"
    script.write_bytes(first_line + b"\necho\r\n")
    script.chmod(0o755)
    shell("run", "--", "./script").expect(127, f"./script could not be started: {why}")
    assert f"could not be started: {why}" in texts(chat)[0]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (["ls | wc -l"], "; to run a shell command, use: chatpost run -- sh -c 'ls | wc -l'"),
        (["cd /tmp && ls"], "; to run a shell command, use: chatpost run -- sh -c 'cd /tmp && ls'"),
        (["ls -l /tmp"], "; pass the arguments separately: chatpost run -- ls -l /tmp"),
        (["FOO=1 ./job"], "; to run a shell command, use: chatpost run -- sh -c 'FOO=1 ./job'"),
        (["FOO=1"], ""),
        (["cd", "sub"], "; for a builtin of the shell, use: chatpost run -- sh -c 'cd sub'"),
        (["FOO=1", "cmd", "x y"], "; to set variables, use: chatpost run -- env FOO=1 cmd 'x y'"),
        (["my-job"], "; to run the file in this directory, use: chatpost run -- ./my-job"),
        (["nothing-of-this-name"], ""),
    ],
)
def test_a_command_that_is_meant_for_a_shell(shell: Shell, command: list[str], hint: str) -> None:
    """A command that is not found because it is meant for a shell gets a hint."""
    (shell.home / "my-job").write_text("#!/bin/sh\n")
    done = shell("run", "-q", "--", *command)
    assert (done.status, done.err) == (127, f"chatpost: error: {command[0]} could not be started: not found{hint}\n")


ORPHANS = """
for i in 1 2 3; do sh -c '(sleep 0.1; exit 3) & exit 0'; done
for _ in $(seq 600); do
  zombies=$(grep -lE '^State:.Z' /proc/[0-9]*/status 2> /dev/null | wc -l)
  if [ "$zombies" = 0 ] && ! pgrep sleep > /dev/null; then exit 5; fi
  sleep 0.1
done
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a process ID namespace")
def test_orphans_in_a_container(shell: Shell) -> None:
    """As the first process of a container, chatpost reaps processes whose parents have ended."""
    namespace = ["unshare", "--pid", "--fork", "--mount-proc", "chatpost"]
    done = shell.run(*namespace, "run", "-q", "--", "sh", "-c", ORPHANS)
    assert (done.status, done.out) == (5, "")


def test_a_job_at_a_terminal(shell: Shell) -> None:
    """At a terminal, a line says where the outcome was posted; elsewhere, and with `--quiet`, nothing does."""
    url = shell.env.pop("CHATPOST_URL")
    shell.write_profiles(f'[profiles.ops]\nurl = "{url}"\n[profiles.dev]\nurl = "{url}"\n')
    for argv, said in (((), "posted to ops, dev"), (("-q",), None), (("--on", "failure"), None)):
        terminal = Terminal()
        profiles = ("-p", "ops", "-p", "dev")
        assert shell.start("run", *argv, *profiles, "--", "true", stderr=terminal.theirs).end().status == 0
        assert terminal.close() == (f"chatpost: {said}\r\n" if said else "")
    assert shell("run", "-p", "ops", "--", "true").err == ""


def test_every_byte_passes(shell: Shell, chat: Emulator) -> None:
    """The job inherits stdin, and its stdout and stderr pass through unchanged."""
    raw = bytes(range(256)) * 2000
    done = subprocess.run(
        ["chatpost", "run", "--", "sh", "-c", "tee /dev/stderr"],
        env=shell.env,
        input=raw,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, raw, raw)
    assert len(texts(chat)) == 1


def test_the_order_of_both_streams(shell: Shell, chat: Emulator) -> None:
    """The message shows the lines of both streams. With `--merge`, their order is exact."""
    script = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; exit 1"
    done = shell("run", "--merge", "--", "sh", "-c", script)
    lines = [f"{stream} {number}" for number in range(1, 6) for stream in ("out", "err")]
    assert (done.out.splitlines(), done.err) == (lines, "")
    assert texts(chat)[0].split("\n")[2:-1] == lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_reach_the_whole_group(shell: Shell, chat: Emulator, number: signal.Signals) -> None:
    """On a signal, chatpost passes it on to the job's whole process group, once."""
    name = number.name.removeprefix("SIG")
    inner = f"trap 'echo inner {name}; exit 0' {name}; echo ready; while :; do :; done"
    script = f"trap 'echo outer {name}; exit 9' {name}; sh -c \"{inner}\"; exit 8"
    running = shell.start("run", "--", "sh", "-c", script)
    assert running.line() == "ready\n"
    running.signal(number)
    done = running.end()
    assert (done.status, sorted(done.out.splitlines()), done.err) == (9, [f"inner {name}", f"outer {name}"], "")
    assert "exit status 9" in outcome(chat)


def test_an_ignored_signal_stays_ignored(shell: Shell) -> None:
    """The job also ignores a signal that chatpost was started to ignore, for example by `nohup`."""
    done = shell.run("sh", "-c", "trap '' HUP; exec chatpost run -- sh -c 'kill -HUP $$; echo alive'")
    assert (done.status, done.out) == (0, "alive\n")


def test_a_process_that_is_left_behind(shell: Shell, chat: Emulator) -> None:
    """If the job leaves a child with an open pipe, chatpost waits two seconds for it, not forever."""
    running = shell.start("run", "--", "sh", "-c", "sleep 300 & echo $!; exit 5")
    left_behind = int(running.line())
    assert running.process.wait(60) == 5
    os.kill(left_behind, signal.SIGKILL)
    running.end()
    assert "exit status 5" in outcome(chat)


def test_a_reader_that_goes_away(shell: Shell, chat: Emulator) -> None:
    """If the reader of chatpost's stdout exits, the job gets SIGPIPE, as it would without chatpost."""
    done = shell.run("bash", "-c", "chatpost run -- yes | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.status, done.out) == (128 + signal.SIGPIPE, "y\n")
    assert "was killed by SIGPIPE" in outcome(chat)


def test_a_full_disk(shell: Shell, chat: Emulator) -> None:
    """If stdout cannot be written, the job gets SIGPIPE. If the job still succeeds, chatpost exits with 74."""
    done = shell("run", "--", "seq", "1000000", redirect=">/dev/full")
    done.expect(-signal.SIGPIPE, "cannot write the job's output: no space left")
    done = shell("run", "--", "echo", "short", redirect=">/dev/full")
    assert (done.status, done.err) == (74, "chatpost: error: cannot write the job's output: no space left on device\n")
    assert texts(chat)[1].startswith("❌ *echo* on ")
    assert "lost its output" in texts(chat)[1]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(shell: Shell, chat: Emulator, closed: str) -> None:
    """A stream that is closed for chatpost is closed for the job, and the message is posted."""
    done = shell("run", "--", "sh", "-c", "exit 7", redirect=closed)
    assert (done.status, done.err) == (7, "")
    assert "exit status 7" in outcome(chat)


def test_no_output(shell: Shell, chat: Emulator) -> None:
    """With `--no-output`, the job writes directly to chatpost's stdout and stderr, and the message has no output."""
    with (shell.home / "out").open("wb") as out:
        child = subprocess.run(
            ["chatpost", "run", "--no-output", "--", "sh", "-c", "readlink /proc/self/fd/1; exit 1"],
            env=shell.env,
            stdout=out,
            check=False,
        )
    assert child.returncode == 1
    assert (shell.home / "out").read_text() == f"{shell.home / 'out'}\n"
    assert texts(chat)[0].count("\n") == 0


def test_the_time_limit(shell: Shell, chat: Emulator) -> None:
    """After `--time-limit`, chatpost sends SIGTERM to the job's process group, exits with 124, and posts the reason."""
    script = "(trap 'echo inner; exit' TERM; while :; do sleep 0.05; done) & trap 'exit 0' TERM; wait"
    done = shell("run", "--time-limit", "3", "--", "sh", "-c", script)
    assert (done.status, done.out) == (124, "inner\n")
    assert outcome(chat) == "❌ *sh* on HOST was stopped after T: the time limit is T"


def test_the_death_of_chatpost(shell: Shell) -> None:
    """If chatpost is killed, the job gets SIGTERM."""
    marker = shell.home / "ended"
    running = shell.start(
        "run", "--", "sh", "-c", f"trap 'echo ended > {marker}; exit' TERM; echo ready; sleep 300 & wait"
    )
    assert running.line() == "ready\n"
    running.signal(signal.SIGKILL)
    wait_for("the job's trap", lambda: marker.exists() and marker.read_text() == "ended\n")
    running.end()


def test_what_is_inherited(shell: Shell) -> None:
    """The job inherits chatpost's open files and its unchanged environment."""
    done = shell.run(
        "bash", "-c", "exec 7>seven; chatpost run -- sh -c 'echo hello >&7; env | cut -d = -f 1' && cat seven"
    )
    assert done.status == 0
    assert done.out.endswith("hello\n")
    assert "LC_CTYPE" not in done.out


def test_signals_after_the_end(shell: Shell, chat: Emulator) -> None:
    """Signals after the end of the job change neither the exit status nor the message."""
    chat.faults.append(Fault(Kind.DELAY, seconds=1))
    running = shell.start("run", "--", "sh", "-c", "exit 3")
    wait_for_requests(chat)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        running.signal(number)
    assert running.end() == (3, "", "")
    running = shell.start("run", "--", "sh", "-c", "sleep 300 & echo $!; exit 4")
    left_behind = int(running.line())
    running.signal(signal.SIGTERM)  # during or before the wait for the output of the child
    assert running.process.wait(60) in {4, -signal.SIGTERM}
    os.kill(left_behind, signal.SIGKILL)
    running.end()
    assert len(texts(chat)) == 2


def test_a_stuck_reader(shell: Shell, chat: Emulator) -> None:
    """The time limit ends the job even if the reader of its output is stuck."""
    read, write = os.pipe()
    running = shell.start("run", "--time-limit", "0.5", "--", "yes", stdout=write)
    os.close(write)
    assert running.end().status == 124
    os.close(read)
    assert "was stopped after" in outcome(chat)


def test_what_ignores_sigterm(shell: Shell, chat: Emulator) -> None:
    """Ten seconds after the time limit, chatpost sends SIGKILL to processes of the job that ignore SIGTERM."""
    script = "sh -c 'trap \"\" TERM; echo $$; exec sleep 300' & trap 'exit 5' TERM; wait"
    running = shell.start("run", "--time-limit", "3", "--", "sh", "-c", script)
    left_behind = int(running.line())
    assert running.end().status == 124
    stat = Path(f"/proc/{left_behind}/stat")
    assert not stat.exists() or ") Z " in stat.read_text()  # its parent may not have collected its status yet
    assert "was stopped after" in outcome(chat)


def test_variables_that_clash(shell: Shell, chat: Emulator) -> None:
    """Contradictory variables cause a warning, and the job runs."""
    shell.env |= {"CHATPOST_THREAD": "spaces/AAAA/threads/T", "CHATPOST_THREAD_KEY": "k"}
    shell("run", "--", "sh", "-c", "exit 5").expect(5, "are both set")
    del shell.env["CHATPOST_THREAD"]
    shell.env["CHATPOST_ON"] = "change"
    assert shell("run", "--follow", "--", "sh", "-c", "exit 5").status == 5
    assert len(texts(chat)) == 2


def test_a_signal_while_a_spooled_message_is_posted(shell: Shell, chat: Emulator) -> None:
    """A report in the outbox counts as posted, even if a signal ends the attempt."""
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    argv = ("run", "--spool", "--on", "change", "--name", "x", "--", "false")
    running = shell.start(*argv)
    wait_for_requests(chat)
    running.signal(signal.SIGTERM)
    running.end().expect(1, "The message is in the outbox as message 1")
    assert shell(*argv).status == 1
    assert shell("outbox", "flush").status == 0
    assert len(texts(chat)) == 1


def test_a_wrong_variable(shell: Shell, chat: Emulator) -> None:
    """An invalid CHATPOST_ variable causes a warning, and the job runs with the variable unchanged."""
    shell.env["CHATPOST_TIMEOUT"] = "abc"
    done = shell("run", "--", "sh", "-c", "echo $CHATPOST_TIMEOUT; exit 5")
    assert (done.status, done.out, len(texts(chat))) == (5, "abc\n", 1)
    assert done.err.startswith("chatpost: warning: ignoring CHATPOST_TIMEOUT: 'abc' is not a duration")


def test_a_wrong_profile_file(shell: Shell, chat: Emulator) -> None:
    """If the named profile file cannot be read, the job runs, and chatpost does not use another profile file."""
    shell.write_profiles(f'[profiles.private]\nurl = "{shell.env.pop("CHATPOST_URL")}"\n')
    shell.env["CHATPOST_CONFIG"] = "/"
    done = shell("run", "--", "sh", "-c", "echo ran; exit 5")
    assert (done.status, done.out, done.err) == (5, "ran\n", "chatpost: error: / cannot be read: is a directory\n")
    assert texts(chat) == []


# The message ---------------------------------------------------------------------------------------------------


def test_the_tail(shell: Shell, chat: Emulator) -> None:
    """The message shows the last 20 lines as on a terminal, and the number of lines omitted."""
    shell("run", "--", "sh", "-c", r"seq 100000; printf '\033[31mred\033[0m\nhalf\rdone\n<users/all>'")
    lines = texts(chat)[0].split("\n")
    assert lines[1:3] == ["[99,983 lines omitted before this]", "```"]
    assert lines[3:5] == ["99984", "99985"]
    assert lines[-4:] == ["red", "done", "<\u200busers/all>", "```"]


def test_other_encodings(shell: Shell, chat: Emulator) -> None:
    """The message shows UTF-16 with a byte order mark decoded, and invalid bytes as U+FFFD."""
    shell("run", "--", "sh", "-c", r"printf '\377\376a\000\n\000b\000\n\000'", redirect=">/dev/null")
    shell("run", "--", "sh", "-c", r"printf 'a\377\n'", redirect=">/dev/null")
    assert [text.split("\n")[1:] for text in texts(chat)] == [["```", "a", "b", "```"], ["```", "a\ufffd", "```"]]


def test_a_name_that_is_no_text(shell: Shell, chat: Emulator) -> None:
    """A command whose name is not UTF-8 runs, and an empty name is not found, as in a shell."""
    done = shell.run("bash", "-c", r"cp /bin/true $'x\xff'; chatpost run -- $'./x\xff' && chatpost run -- ''")
    assert (done.status, texts(chat)[0][:5]) == (127, "✅ *x\ufffd")
    assert "*''* on" in texts(chat)[1]


@pytest.mark.parametrize(("lines", "shown"), [(0, []), (1, ["3"]), (3, ["1", "2", "3"]), (9, ["1", "2", "3"])])
def test_the_number_of_lines(shell: Shell, chat: Emulator, lines: int, shown: list[str]) -> None:
    """`--tail` sets the number of lines in the message; 0 shows none."""
    shell("run", "--tail", str(lines), "--", "seq", "3")
    assert re.findall(r"^\d$", texts(chat)[0], re.MULTILINE) == shown
    assert ("lines omitted before this" in texts(chat)[0]) == (lines == 1)


def test_it_fits_into_a_message(shell: Shell, chat: Emulator) -> None:
    """The message has at most 32,000 bytes, regardless of its lines."""
    assert shell("run", "--tail", "9999", "--", "sh", "-c", "yes é`x`é | head -n 30000").status == 0
    assert shell("run", "--", "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x").status == 0
    assert len(texts(chat)) == 2
    assert all(31_000 < len(text.encode()) <= 32_000 for text in texts(chat))


def test_the_environment_of_the_job(shell: Shell) -> None:
    """The job inherits the environment unchanged, even if chatpost trims or ignores its own variables."""
    shell.env |= {"CHATPOST_THREAD_KEY": " nightly\r", "CHATPOST_RETRIES": "many"}
    script = 'printf "<%s>" "$CHATPOST_THREAD_KEY" "$CHATPOST_RETRIES" "$LC_CTYPE"'
    assert shell("run", "-q", "--", "sh", "-c", script).out == "< nightly\r><many><>"


def test_secrets_in_the_output(shell: Shell, chat: Emulator) -> None:
    """The message, but not stdout, masks webhook URLs and the values of variables with secret-like names."""
    shell.env |= {
        "MY_TOKEN": "first-secret",
        "db_password": "second\nthird-secret",
        "SSH_KEY": "short",
        "A_KEY": "k" * 9,
    }
    script = 'echo "$MY_TOKEN $db_password $SSH_KEY $A_KEY" && echo "$CHATPOST_URL" | sed "s/&/\\&amp;/"'
    command = ["chatpost", "run", "--show-command", "--", "sh", "-c", f"{script} && : first-secret"]
    done = subprocess.run(command, env=shell.env, capture_output=True, text=True, check=True)  # may show secrets
    assert "first-secret" in done.stdout
    assert TOKEN in done.stdout
    (text,) = texts(chat)
    assert "*** second\n*** short ***" in text
    assert "messages?key=***&amp;token=***" in text
    assert "first-secret" not in text


def test_a_card(shell: Shell, chat: Emulator) -> None:
    """A card shows the status of the outcome and the output."""
    shell("run", "--title", "Backup", "--field", "host=db", "--", "sh", "-c", "echo output; exit 1")
    (message,) = chat.space().messages
    widgets = str(message.body["cardsV2"])
    assert "Failed" in widgets
    assert "<pre>output</pre>" in widgets


def test_the_name(shell: Shell, chat: Emulator) -> None:
    """`--name` sets the job's name, and `--markdown` formats the message as Markdown."""
    shell("run", "--name", "nightly  backup", "--markdown", "--", "true")
    assert outcome(chat).startswith("✅ **nightly backup** succeeded")


def test_what_is_printed(shell: Shell, chat: Emulator) -> None:
    """`run` adds nothing to the job's stdout, unless `-o` is on the command line or in a variable."""
    shell.write_profiles(f'default = "ops"\n[profiles.ops]\nurl = "{chat.url()}"\noutput = "json"\n')
    del shell.env["CHATPOST_URL"]
    assert shell("run", "--", "echo", "out").out == "out\n"
    assert shell("run", "-o", "name", "--", "echo", "out").out == f"out\n{chat.space().messages[-1].name}\n"
    shell.env["CHATPOST_OUTPUT"] = "thread"
    assert shell("run", "--", "echo", "out").out == f"out\n{chat.space().messages[-1].thread_name}\n"


# When to post --------------------------------------------------------------------------------------------------


def test_on_failure(shell: Shell, chat: Emulator) -> None:
    """`--on failure` posts only failures."""
    assert shell("run", "--on", "failure", "--", "true").status == 0
    assert shell("run", "--on", "failure", "--", "false").status == 1
    assert outcome(chat) == "❌ *false* failed on HOST: exit status 1 after T"


def test_on_change(shell: Shell, chat: Emulator) -> None:
    """`--on change` posts the first failure and the recovery in one thread, and both mention the same users."""
    for script in ("true", "true", "exit 1", "exit 1", "exit 2", "true", "true"):
        shell("run", "--on", "change", "--name", "backup", "--mention", "all", "--", "sh", "-c", script)
    failure, recovery = (re.sub(TOOK, "T", text) for text in texts(chat))
    assert failure.startswith("<users/all> ❌ *backup* failed")
    assert failure.endswith("exit status 1 after T, after T without a failure")
    assert recovery.startswith("<users/all> ✅ *backup* recovered")
    assert recovery.endswith("in T, after 3 failures in T")
    assert len(chat.space().threads()) == 1


def test_the_third_failure(shell: Shell, chat: Emulator) -> None:
    """With `--after-failures 3`, chatpost posts the third consecutive failure first."""
    for script in ("exit 1", "exit 1", "true", "exit 1", "exit 1", "exit 1", "exit 1"):
        shell("run", "--on", "change", "--after-failures", "3", "--name", "backup", "--", "sh", "-c", script)
    assert "3 failures in a row" in outcome(chat)


def test_longer_than(shell: Shell, chat: Emulator) -> None:
    """`--longer-than` posts a success only if the job ran at least that long; with `--on`, both conditions hold."""
    for argv, posts in (
        (("1m", "--", "true"), False),
        (("0.2s", "--", "sleep", "0.3"), True),
        (("1m", "--", "false"), True),
        (("0.2s", "--on", "failure", "--", "sleep", "0.3"), False),
        (("1m", "--on", "failure", "--", "false"), True),
    ):
        before = len(chat.received)
        shell("run", "--longer-than", *argv)
        assert len(chat.received) - before == posts, argv
    shell("run", "--follow", "--longer-than", "1m", "--", "true").expect(2, "--on always, and no --longer-than")


def test_reminders(shell: Shell, chat: Emulator) -> None:
    """While the job keeps failing, chatpost posts a reminder in the same thread after each `--remind-every`."""
    for _ in range(3):
        shell("run", "--on", "change", "--remind-every", "0.001", "--", "false")
    assert [("in a row" in text) for text in texts(chat)] == [False, True, True]
    assert len(chat.space().threads()) == 1


def test_a_change_whose_message_failed(shell: Shell, chat: Emulator) -> None:
    """A change counts as reported only after it is posted. Otherwise, the next run reports it."""
    chat.faults.append(answering(403))
    run = ("run", "--on", "change", "--name", "x", "--")
    shell(*run, "false").expect(1, "403")
    assert texts(chat) == []
    shell(*run, "false")
    assert "2 failures in a row" in outcome(chat)
    chat.faults.append(answering(403))
    shell(*run, "true")
    shell(*run, "true")
    assert "recovered" in texts(chat)[1]


def test_jobs_without_a_name(shell: Shell, chat: Emulator) -> None:
    """Without `--name`, each command line is a separate job, and no state file contains it."""
    for word in ("one", "two", "one"):
        shell("run", "--on", "change", "--", "sh", "-c", f"exit 1 # {word}-word-of-a-command")
    assert len(texts(chat)) == 2
    assert b"word-of-a-command" not in (shell.home / "state" / "chatpost" / "jobs.sqlite3").read_bytes()


def test_two_runs_at_once(shell: Shell, chat: Emulator) -> None:
    """Concurrent runs of a job do not corrupt its history."""
    running = [shell.start("run", "--on", "change", "--name", "x", "--", "false") for _ in range(6)]
    assert [each.end().status for each in running] == [1] * 6
    assert texts(chat)
    shell("run", "--on", "change", "--name", "x", "--", "true")
    assert "after 6 failures" in texts(chat)[-1]


@pytest.mark.parametrize("damage", ["garbage", "directory", "other data", "no directory", "no home"])
def test_a_past_that_cannot_be_read(shell: Shell, chat: Emulator, damage: str) -> None:
    """If the history cannot be read, chatpost posts the failure.

    It replaces damaged data, and warns if it cannot store any.
    """
    path = shell.home / "state" / "chatpost" / "jobs.sqlite3"
    path.parent.mkdir(parents=True)
    if damage == "garbage":
        path.write_text("garbage " * 1000)
    elif damage == "directory":
        path.mkdir()
    elif damage == "other data":
        shell("run", "--on", "failure", "--", "false")
        chat.space().messages.clear()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE job SET value = ?", ('{"failures": 1}',))
    elif damage == "no directory":
        path.parent.rmdir()
        path.parent.write_text("")
    else:
        del shell.env["XDG_STATE_HOME"]
        shell.env["HOME"] = "relative"
    done = shell("run", "--on", "change", "--", "false").expect(1)
    assert ("warning: the job's history is unavailable: " in done.err) == damage.startswith("no ")
    assert "failed" in outcome(chat)
    if damage in {"garbage", "directory"}:
        shell("run", "--on", "change", "--", "false")
        assert len(texts(chat)) == 1


# The message never affects the job -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "argv", "said"),
    [
        ("http://127.0.0.1:9/v1/spaces/A/messages?key=k&token=t", ["--retries", "0"], "nothing listens"),
        ("https://example.com/hook", [], "host"),
        ("", [], "CHATPOST_URL is set but empty"),
        (None, ["-p", "nope"], "there is no profile nope"),
        (None, ["--thread", "spaces/OTHER/threads/T"], "is in a different space than the webhook"),
    ],
)
@pytest.mark.parametrize("follow", [[], ["--follow"]], ids=["without --follow", "with --follow"])
def test_what_is_wrong_harms_no_job(
    shell: Shell, url: str | None, argv: list[str], said: str, follow: list[str]
) -> None:
    """If the message cannot be posted, chatpost prints an error, and exits with the job's status."""
    if url is not None:
        shell.env["CHATPOST_URL"] = url
    done = shell("run", *follow, *argv, "--", "sh", "-c", "echo ran; exit 5")
    assert (done.status, done.out) == (5, "ran\n")
    assert said in done.err or said == "nothing listens"
    assert done.err.startswith("chatpost: error: ")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--dry-run"], "--dry-run cannot be used with run, which would still run the job"),
        (["--bogus"], "No such option '--bogus'"),
        (["--tail", "-1"], "is not a whole number"),
        (["--on", "success"], "'success' is not one of"),
        (["--or-fail"], "--or-fail requires a thread"),
        (["--follow", "--on", "change"], "so it requires --on always"),
        (["--no-output", "--follow"], "--no-output cannot be used with --follow"),
        (["-k", "a", "--thread", "spaces/A/threads/T"], "cannot be used together"),
    ],
)
def test_a_wrong_option(shell: Shell, chat: Emulator, argv: list[str], said: str) -> None:
    """On an invalid option, chatpost exits with 2 before it starts the job."""
    shell("run", *argv, "--", "touch", "ran").expect(2, said)
    assert not (shell.home / "ran").exists()
    assert chat.received == []


def test_it_starts_at_once(shell: Shell, chat: Emulator) -> None:
    """The job starts before chatpost resolves the webhook's URL."""
    shell.write_profiles(
        f"default = 'a'\n[profiles.a]\nurl = {{ command = ['sh', '-c', 'test -e started && echo \"{chat.url()}\"'] }}\n"
    )
    del shell.env["CHATPOST_URL"]
    done = shell("run", "--", "touch", "started")
    assert (done.status, done.err, len(texts(chat))) == (0, "", 1)


def test_a_signal_while_it_posts(shell: Shell, chat: Emulator) -> None:
    """A signal after the job's end stops the post, and chatpost exits with the job's status."""
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    running = shell.start("run", "--", "sh", "-c", "exit 3")
    wait_for_requests(chat)
    running.signal(signal.SIGTERM)
    running.end().expect(3, "may have been posted")


# Following -----------------------------------------------------------------------------------------------------


def test_follow(shell: Shell, chat: Emulator) -> None:
    """With `--follow`, the start opens a thread, the output becomes replies, and the outcome closes the thread."""
    shell.env["MY_TOKEN"] = "first-secret"
    script = "echo one; echo two first-secret >&2; printf 'no end'; exit 4"
    done = shell("run", "--follow", "--merge", "--mention", "7", "--name", "deploy", "--", "sh", "-c", script)
    assert (done.status, done.out, done.err) == (4, "one\ntwo first-secret\nno end", "")
    (thread,) = chat.space().threads().values()
    first, *replies, last = [message.text for message in thread]
    assert first.startswith("▶️ *deploy* started on ")
    assert "\n".join(replies).replace("```\n", "").replace("\n```", "").split("\n") == ["one", "two ***", "no end"]
    assert last.startswith("<users/7> ❌ *deploy* failed on ")


def test_runs_share_a_thread(shell: Shell, chat: Emulator) -> None:
    """With `-k`, the runs of a job share a thread."""
    for _ in range(2):
        shell("run", "--follow", "-k", "nightly", "--", "true")
    assert len(chat.space().threads()) == 1


def test_a_job_faster_than_chat(shell: Shell, chat: Emulator) -> None:
    """The job does not wait for Chat.

    If chatpost falls behind, it omits lines, and the thread gives their number.
    """
    end = shell.home / "end"
    chat.on_received = lambda _: wait_for("the job's end", end.exists)
    done = shell("run", "--follow", "--", "sh", "-c", "seq 600000; touch end")
    assert (done.status, len(done.out)) == (0, 4088895)
    lines = "\n".join(texts(chat)[1:-1]).replace("```\n", "").replace("\n```", "").split("\n")
    omitted = [line for line in lines if "omitted: the job printed faster than Chat accepts messages" in line]
    assert omitted
    counted = len(lines) - len(omitted) + sum(int(re.findall(r"\d+", line)[0]) for line in omitted)
    assert counted == 600_000


def test_the_outcome_comes_within_the_deadline(tmp_path: Path) -> None:
    """After the job, the outcome is posted within the deadline, and lines that do not fit into it were lost."""
    with Emulator() as chat:
        shell = Shell(tmp_path)
        del shell.env["CHATPOST_PACING"]
        shell.env["CHATPOST_URL"] = chat.url(token=TOKEN)
        done = shell("run", "--follow", "--deadline", "8", "--", "seq", "300000")
        lost, last = texts(chat)[-1].split("\n")
    done.expect(0, "lines were lost")
    assert "lines were lost" in lost
    assert last.startswith("✅ *seq* succeeded")


def test_a_thread_that_cannot_be_opened(shell: Shell, chat: Emulator) -> None:
    """If the thread cannot be opened, chatpost posts only the outcome, with the end of the output."""
    chat.faults.append(answering(503))
    shell("run", "--follow", "--retries", "0", "--", "sh", "-c", "echo output; exit 3").expect(3, "503")
    assert "exit status 3" in outcome(chat)
    assert "output" in texts(chat)[0]


def test_secrets_in_a_stream(shell: Shell, chat: Emulator) -> None:
    """Secrets are masked in replies and in the command line, even if they are coloured or quoted."""
    shell.env["MY_TOKEN"] = "it's-a-secret"
    script = """printf 'it\\033[31m%s\\033[0m\\n' "'s-a-secret\""""
    assert shell("run", "--follow", "--show-command", "--", "sh", "-c", script, "it's-a-secret").status == 0
    assert "***" in texts(chat)[0]
    assert "***" in texts(chat)[1]


def test_names_come_after_the_output(shell: Shell, chat: Emulator) -> None:
    """With `-o name`, chatpost prints the message names after the job's output."""
    done = shell("run", "--follow", "-o", "name", "--", "sh", "-c", "echo one; sleep 0.3; echo two")
    assert done.out.splitlines()[:2] == ["one", "two"]
    assert done.out.splitlines()[2:] == [message.name for message in chat.space().messages]


# At a terminal -------------------------------------------------------------------------------------------------


class ShellTerminal(Terminal):
    """A terminal with a shell that has job control."""

    def __init__(self, shell: Shell) -> None:
        super().__init__()

        def lead() -> None:
            fcntl.ioctl(self.theirs, termios.TIOCSCTTY, 0)

        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env={**shell.env, "PS1": "$ ", "TERM": "dumb"},
            cwd=shell.home,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            preexec_fn=lead,  # noqa: PLW1509 - it takes no lock
        )

    def wait_for_stop(self) -> None:
        """Wait until chatpost and its job have stopped. A running job could read the next input."""
        self.wait_for("Stopped")
        self.wait_for("$ ")
        wait_for("the job to stop", lambda: all(state.startswith("T") for state in self._states_below(self.shell.pid)))

    def _states_below(self, process: int) -> list[str]:
        table = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,stat="], text=True)
        rows = map(str.split, table.splitlines())
        below = [(int(pid), state) for pid, parent, state in rows if int(parent) == process]
        return [state for pid, its in below for state in (its, *self._states_below(pid))]

    def end(self) -> None:
        """Kill the shell and close the terminal."""
        self.shell.kill()
        self.shell.wait()
        os.close(self.theirs)
        os.close(self.ours)


@pytest.fixture
def terminal(shell: Shell, tmp_path: Path) -> Iterator[ShellTerminal]:
    """Start a shell at a terminal, with a script as the job."""
    (tmp_path / "job").write_text(
        'trap "echo INT-$((n += 1))" INT\necho re""ady\nread line\nread line\necho "got-$line"\nexit 3\n'
    )
    terminal = ShellTerminal(shell)
    yield terminal
    terminal.end()


def test_control_c(terminal: ShellTerminal, chat: Emulator) -> None:
    """Ctrl-C at a terminal reaches the job once, and chatpost waits for the job."""
    terminal.type("chatpost run -- bash job; echo status-$?\n")
    terminal.wait_for("ready")
    terminal.type("\x03")
    terminal.type("a\n")  # a signal just before bash begins to read is handled after the line
    terminal.wait_for("INT-1")
    terminal.type("b\n")
    terminal.wait_for("got-b")
    terminal.wait_for("status-3")
    assert "INT-2" not in terminal.shown
    assert "exit status 3" in outcome(chat)


LATE_MAIN_THREAD = """
import os, signal
from chatpost.jobs.output import Output
from chatpost.jobs.process import Job
job = Job(["true"], Output(), os.environ)
os.kill(os.getpid(), signal.SIGINT)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
job.wait()
print(signal.SIGINT in signal.sigpending())
"""


def test_a_signal_that_is_noticed_late(shell: Shell) -> None:
    """A signal that arrives before the job's end is the job's, even if chatpost notices both at once."""
    done = shell.run(sys.executable, "-c", LATE_MAIN_THREAD)
    assert (done.status, done.out) == (0, "False\n"), done.err


def test_control_z(terminal: ShellTerminal) -> None:
    """Ctrl-Z stops the job and chatpost, and `fg` resumes both."""
    terminal.type("chatpost run -- bash job; echo status-$?\n")
    terminal.wait_for("ready")
    terminal.type("\x1a")
    terminal.wait_for_stop()
    terminal.type("fg\n")
    terminal.wait_for("chatpost run")
    terminal.type("a\nb\n")
    terminal.wait_for("got-b")
    assert terminal.shell.poll() is None


def test_a_job_that_stops_itself(terminal: ShellTerminal) -> None:
    """If the job stops itself, chatpost stops too, so that the shell takes over."""
    terminal.type('chatpost run -- sh -c \'kill -STOP $$; echo go""ne on\'; echo sta""tus-$?\n')
    terminal.wait_for_stop()
    terminal.type("fg\n")
    terminal.wait_for("gone on")


def test_ctrl_c_reaches_a_group_of_its_own(terminal: ShellTerminal) -> None:
    """A job that creates a new process group, like `timeout`, receives Ctrl-C from chatpost."""
    terminal.type('chatpost run -- timeout 300 sh -c \'echo re""ady; exec sleep 300\'; echo sta""tus-$?\n')
    terminal.wait_for("ready")
    terminal.type("\x03")
    terminal.wait_for("$ ")


def test_a_time_limit_reaches_a_group_of_its_own(terminal: ShellTerminal) -> None:
    """At a terminal, the time limit also ends a job that creates a new process group."""
    terminal.type('chatpost run --time-limit 1 -- timeout 300 sleep 300; echo sta""tus-$?\n')
    terminal.wait_for("status-124")
