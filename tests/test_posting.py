"""From a command line to a request, and from an answer to stdout and stderr."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from chatpost import __version__
from chatpost.emulator.faults import Fault, Kind
from tests.conftest import KEY, TOKEN, Finished, answering, body_of, texts, wait_for_requests

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

FALLBACK = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
THREAD = "spaces/AAAA/threads/TTT"


@pytest.mark.parametrize(
    ("argv", "query", "body"),
    [
        (["send", "a", "b  c"], {}, {"text": "a b  c"}),
        (["send", "--", "-5 degrees"], {}, {"text": "-5 degrees"}),
        (["send", "*b* <x|y> é"], {}, {"text": "*b* <x|y> é"}),
        (["send", "-k", "key", "a"], {"messageReplyOption": FALLBACK}, {"text": "a", "thread": {"threadKey": "key"}}),
        (["reply", "-k", "key", "a"], {"messageReplyOption": FALLBACK}, {"text": "a", "thread": {"threadKey": "key"}}),
        (["thread", "-k", "key", "a"], {"messageReplyOption": FALLBACK}, {"text": "a", "thread": {"threadKey": "key"}}),
        (
            ["reply", "--thread", THREAD, "a"],
            {"messageReplyOption": FALLBACK},
            {"text": "a", "thread": {"name": THREAD}},
        ),
        (
            ["reply", "--thread", "spaces/AAAA/messages/TTT.MMM", "a"],
            {"messageReplyOption": FALLBACK},
            {"text": "a", "thread": {"name": THREAD}},
        ),
        (
            ["send", "--or-fail", "--thread", THREAD, "a"],
            {"messageReplyOption": "REPLY_MESSAGE_OR_FAIL"},
            {"text": "a", "thread": {"name": THREAD}},
        ),
        (
            ["send", "--silent", "a"],
            {"createMessageNotificationOptions.notificationType": "NOTIFICATION_TYPE_SILENT"},
            {"text": "a"},
        ),
        (["send", "--request-id", "mine", "a"], {"requestId": "mine"}, {"text": "a"}),
    ],
)
def test_what_is_asked_of_chat(
    chatpost: InProcess, chat: Emulator, argv: list[str], query: dict[str, str], body: dict[str, Any]
) -> None:
    """Each option sets its field or parameter, and the request contains nothing else."""
    chatpost(*argv)
    (received,) = chat.received
    assert json.loads(received.body) == body
    asked = dict(received.query)
    assert (asked.pop("key"), asked.pop("token")) == (KEY, TOKEN.replace("%3D", "="))
    if "requestId" not in query:
        assert UUID(asked.pop("requestId")).version == 4
    assert asked == query


def test_the_request_as_it_goes_out(chatpost: InProcess, chat: Emulator, tmp_path: Path) -> None:
    """The body is UTF-8 with an explicit charset, the user agent is chatpost, and ~/.netrc is not used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password pw\n")
    (tmp_path / ".netrc").chmod(0o600)
    chatpost("send", "é \U0001f600")
    (received,) = chat.received
    assert received.body == '{"text": "é \U0001f600"}'.encode()
    assert received.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert received.headers["User-Agent"] == f"chatpost/{__version__}"
    assert "Authorization" not in received.headers


def test_stdout_is_data(chatpost: InProcess, chat: Emulator) -> None:
    """On success, stdout contains only the message name or the thread name, and stderr is empty."""
    name = chatpost("send", "a")
    thread = chatpost("send", "-o", "thread", "a")
    messages = chat.space().messages
    assert (name.out, name.err) == (f"{messages[0].name}\n", "")
    assert (thread.out, thread.err) == (f"{messages[1].thread_name}\n", "")


def test_json_of_a_message(chatpost: InProcess, chat: Emulator) -> None:
    """The keys of a JSON line are fixed, and give a script all it needs to continue."""
    done = chatpost("thread", "-o", "json", "-k", "key", "--request-id", "mine", "a")
    (message,) = chat.space().messages
    assert json.loads(done.out) == {
        "profile": None,
        "name": message.name,
        "thread": {"name": message.thread_name, "threadKey": "key"},
        "requestId": "mine",
        "outbox": None,
        "parts": {"posted": 1, "of": 1},
        "attempts": 1,
        "suppressed": False,
        "error": None,
    }


def test_json_of_a_failure(chatpost: InProcess, chat: Emulator) -> None:
    """A failure has the same JSON keys, and its message is the error on stderr."""
    chat.faults.append(answering(403))
    done = chatpost("send", "-o", "json", "--request-id", "mine", "a")
    record = json.loads(done.out)
    message = record["error"].pop("message")
    assert record == {
        "profile": None,
        "name": None,
        "thread": {"name": None, "threadKey": None},
        "requestId": "mine",
        "outbox": None,
        "parts": {"posted": 0, "of": 1},
        "attempts": 1,
        "suppressed": False,
        "error": {"exit": 77, "code": 403, "status": "PERMISSION_DENIED"},
    }
    assert done.err == f"chatpost: error: {message}\n"


@pytest.mark.parametrize(("argv", "status"), [([""], 65), (["-p", "nope", "a"], 78)])
def test_json_of_a_failure_before_posting(chatpost: InProcess, chat: Emulator, argv: list[str], status: int) -> None:
    """An error before posting has the same JSON keys."""
    done = chatpost("send", "-o", "json", *argv)
    record = json.loads(done.out)
    assert sorted(record) == [
        *("attempts", "error", "name", "outbox", "parts", "profile", "requestId", "suppressed", "thread")
    ]
    assert sorted(record["error"]) == ["code", "exit", "message", "status"]
    assert (done.status, record["error"]["exit"], record["attempts"], chat.received) == (status, status, 0, [])


def test_a_thread_by_its_name(chatpost: InProcess, chat: Emulator) -> None:
    """`reply --thread` accepts the thread name that `thread -o thread` prints."""
    name = chatpost("thread", "-o", "thread", "Deploy 1.2").out.strip()
    assert chatpost("reply", "--thread", name, "done").status == 0
    assert [[message.text for message in thread] for thread in chat.space().threads().values()] == [
        ["Deploy 1.2", "done"]
    ]


def test_a_thread_by_a_message_in_it(chatpost: InProcess, chat: Emulator) -> None:
    """`reply --thread` accepts the message name that `send` prints."""
    name = chatpost("send", "Deploying").out.strip()
    chatpost("reply", "--thread", name, "done")
    assert len(chat.space().threads()) == 1


def test_a_thread_by_a_made_up_key(chatpost: InProcess, chat: Emulator) -> None:
    """Without a key, `thread` creates one. `-o json` prints it, and `reply` accepts it."""
    key = json.loads(chatpost("thread", "-o", "json", "a").out)["thread"]["threadKey"]
    assert UUID(key).version == 4
    chatpost("reply", "-k", key, "--or-fail", "b")
    assert len(chat.space().threads()) == 1


@pytest.mark.parametrize("command", ["send", "reply", "thread"])
def test_dry_run(chatpost: InProcess, chat: Emulator, command: str) -> None:
    """`--dry-run` prints the request with masked secrets, and sends nothing."""
    done = chatpost(command, "--dry-run", "-k", "key", "--request-id", "mine", f"the key is {KEY}")
    shown = json.loads(done.out)
    assert (done.status, chat.received, shown["method"], shown["profile"]) == (0, [], "POST", None)
    assert shown["url"] == (
        f"http://127.0.0.1:{chat.port}/v1/spaces/AAAA/messages"
        f"?key=***&token=***&requestId=mine&messageReplyOption={FALLBACK}"
    )
    assert shown["body"] == {"text": "the key is ***", "thread": {"threadKey": "key"}}
    assert chatpost(command, "--dry-run", "-k", "key", "-o", "json", "a").out.count("\n") == 1


@pytest.mark.parametrize("argv", [["--deadline", "0.5"], ["-p", "nope"], []])
def test_soft_fail(chatpost: InProcess, chat: Emulator, argv: list[str]) -> None:
    """With `--soft-fail`, chatpost reports an error but exits with 0."""
    chat.faults.append(answering(403))
    done = chatpost("send", "--soft-fail", *argv, "a")
    assert (done.status, done.out) == (0, "")
    assert done.err


def test_quiet_and_verbose(chatpost: InProcess, chat: Emulator) -> None:
    """`--quiet` suppresses retries but not errors. `--verbose` shows every attempt with a masked URL."""
    chat.faults.extend([answering(503, Retry_After="0.1"), answering(503), answering(403)])
    quiet = chatpost("send", "-q", "--retries", "1", "a")
    assert (quiet.status, quiet.err.count("\n")) == (75, 1)
    assert chatpost("send", "-q", "a").err.startswith("chatpost: error: Chat returned 403")
    verbose = chatpost("send", "-vv", "a").err
    assert re.fullmatch(
        r"chatpost: attempt 1: POST http\S+key=\*\*\*&token=\*\*\*&requestId=\S+ posted \(\d.\d\d s\)\n", verbose
    )


def test_several_profiles(shell: Shell, chat: Emulator) -> None:
    """With several profiles, chatpost prints results in their order, and exits with the first failure's status."""
    urls = [chat.url(space, KEY, TOKEN) for space in ("AAAA", "BBBB", "CCCC")]
    shell.write_profiles("".join(f'[profiles.p{i}]\nurl = "{url}"\n' for i, url in enumerate(urls)))
    done = shell("send", "-p", "p2", "-p", "p0", "-p", "p1", "-o", "json", "a")
    assert done.status == 0
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [record["profile"] for record in records] == ["p2", "p0", "p1"]
    assert [record["name"].split("/")[1] for record in records] == ["CCCC", "AAAA", "BBBB"]
    assert len({record["requestId"] for record in records}) == 3
    done = shell("reply", "-p", "p0", "-p", "p1", "-k", "key", "--or-fail", "a")
    assert (done.status, done.out) == (69, "")
    assert [line.split()[1:3] for line in done.err.splitlines()] == [["error:", "p0:"], ["error:", "p1:"]]


def test_several_profiles_where_one_fails(shell: Shell, chat: Emulator) -> None:
    """If one profile fails, chatpost posts to the others, and exits with the failed one's status."""
    shell.env["DEAD"] = f"http://127.0.0.1:1/v1/spaces/X/messages?key={KEY}&token={TOKEN}"
    shell.write_profiles(
        f'[profiles.a]\nurl = {{ env = "DEAD" }}\nretries = 0\n[profiles.b]\nurl = "{chat.url("B", KEY, TOKEN)}"\n'
    )
    done = shell("send", "-p", "a", "-p", "b", "hello")
    assert done.status == 75
    assert done.out == f"{chat.space('B').messages[0].name}\n"
    assert done.err.startswith("chatpost: error: a: could not connect to 127.0.0.1:1")


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        *(
            (["send", option, "a"], 'Pass the text as an argument: chatpost send "Hello"')
            for option in ("-m", "--message")
        ),
        (["reply", "--text", "a"], 'Pass the text as an argument: chatpost reply "Hello"'),
        (
            ["send", "--url", "a"],
            "No option takes a URL: store it with `chatpost profiles add NAME`, or set CHATPOST_URL",
        ),
        (
            ["send", "--webhook", "a"],
            "No option takes a URL: store it with `chatpost profiles add NAME`, or set CHATPOST_URL",
        ),
        *(
            (["send", option, "a"], "To choose the space, use its profile: -p NAME")
            for option in ("--channel", "--to", "--space")
        ),
        *(
            (
                ["send", option, "a"],
                "To post a text file, redirect it: chatpost send < FILE. To post a card, use --card FILE",
            )
            for option in ("-f", "--file")
        ),
        (["help"], "Did you mean `chatpost --help`?"),
        (["-V"], "Did you mean `chatpost --version`?"),
        (["version"], "Did you mean `chatpost --version`?"),
        (["flush"], "Did you mean `chatpost outbox flush`?"),
        (["list"], "Did you mean `chatpost outbox list` or `chatpost profiles list`?"),
        (["rm"], "Did you mean `chatpost outbox delete` or `chatpost profiles delete`?"),
        (["sned"], "Did you mean `chatpost send`?"),
        (["hello"], "To post text, use `chatpost send hello`"),
        (["hello world"], "To post text, use `chatpost send 'hello world'`"),
        (["outbox", "rm", "3"], "Did you mean `chatpost outbox delete`?"),
        (["profiles", "rm", "a"], "Did you mean `chatpost profiles delete`?"),
        (["profiles", "flush"], "No such command 'flush'"),
        (["profiles", "help"], "Did you mean `chatpost profiles --help`?"),
        (["profiles", "add", "--url", "x", "ops"], "Omit the URL: chatpost asks for it"),
        (["run", "--to", "ops", "--", "true"], "To choose the space, use its profile: -p NAME"),
        (["--message", "x"], 'To post text, use `chatpost send "Hello"`'),
        (["run", "-m", "x", "--", "true"], "run posts the outcome of the job: to post text, use `chatpost send`"),
        (["send", "--key", "deploy", "x"], "Did you mean --thread-key?"),
        (["send", "-V"], "Did you mean `chatpost --version`?"),
        (["--- deploy ---"], "`chatpost send -- '--- deploy ---'`"),
        (
            [f"https://chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}"],
            "No such command of this name. No",
        ),
        (["send", "--- deploy ---"], "chatpost send -- '--- deploy ---'"),
        (["send", "-very good"], "chatpost send -- '-very good'"),
        (["send", "-of course"], "chatpost send -- '-of course'"),
    ],
)
def test_guesses(chatpost: InProcess, chat: Emulator, argv: list[str], hint: str) -> None:
    """A name that another tool would have gets one line with the command or the option that is meant."""
    done = chatpost(*argv)
    assert (done.status, done.err.count("\n"), chat.received) == (2, 1, [])
    assert hint in done.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "-p has an empty profile name: check that the variable in it is set"),
        (
            "retty good",
            "'retty good' is not a profile name. If it is text, put -- before it: `chatpost send -- '-pretty good'`",
        ),
    ],
)
def test_names_that_are_no_profiles(chatpost: InProcess, name: str, said: str) -> None:
    """An empty profile name, and a text that begins with -p, get an error of their own."""
    chatpost("send", "-p", name, "x").expect(78, said)


def test_no_command_with_a_pipe(shell: Shell) -> None:
    """A pipe into `chatpost` alone gets the command that posts it; without a pipe, there is the help page."""
    done = shell(stdin="hi").expect(2, "no command given: to post piped text, use `chatpost send`")
    assert (done.out, done.err.count("\n")) == ("", 1)
    assert "Usage: chatpost" in shell(redirect="< /dev/null").err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["send", "--bogus", "a"], 2, "No such option '--bogus'"),
        (["send", "-5 degrees"], 2, "Put -- before text that begins with a dash"),
        (["sned", "a"], 2, "No such command 'sned'"),
        (["send", "--timeout", "abc", "a"], 2, "'--timeout': 'abc'"),
        (["send", "--timeout", "0", "a"], 2, "above 0s, up to 1d"),
        (["send", "--timeout", "25h", "a"], 2, "above 0s, up to 1d"),
        (["send", "--timeout", "5 parsecs", "a"], 2, "'5 parsecs' is not a duration: use 90s, 5m, 2h or 3d"),
        (["send", "--deadline", "nan", "a"], 2, "'nan' is not a duration"),
        (["send", "--deadline", "inf", "a"], 2, "'inf' is not a duration"),
        (["send", "--retries", "-1", "a"], 2, "'--retries': '-1' is not a whole number"),
        (["send", "--retries", "x", "a"], 2, "'--retries': 'x'"),
        (["send", "-o", "xml", "a"], 2, "'xml' is not one of"),
        (["send", "--request-id", " ", "a"], 2, "cannot be empty"),
        (["send", "-k", "", "a"], 2, "cannot be empty"),
        (["send", "-k", "k" * 4001, "a"], 2, "at most 4000 characters"),
        (["send", "--thread", "TTT", "a"], 2, "'TTT' is not a thread name"),
        (["send", "--thread", "spaces/AAAA/messages/MMM", "a"], 2, "-o thread"),
        (
            ["send", "--thread", "spaces/BBBB/threads/TTT", "a"],
            2,
            "in a different space than the webhook (spaces/AAAA)",
        ),
        (["send", "--thread", THREAD, "-k", "key", "a"], 2, "cannot be used together"),
        (["send", "--or-fail", "a"], 2, "requires a thread"),
        (["reply", "a"], 2, "specify a thread: --thread-key KEY or --thread NAME"),
        (["thread", "--or-fail", "a"], 2, "reply --or-fail"),
        (["thread", "--thread", THREAD, "a"], 2, "No such option '--thread'"),
        (
            ["send", "-p", f"https://chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}", "a"],
            78,
            "never a URL",
        ),
        (["send", "-p", "a", "-p", "a", "text"], 2, "a profile is specified twice"),
        (["send", "--text", "a"], 2, "No such option '--text'. Pass the text as an argument"),
        (["send", "--expire-after", "0", "a"], 2, "above 0s, up to 366d"),
        (
            ["profiles", "add", "ops", f"https://chat.googleapis.com/?key={KEY}"],
            2,
            "other users can see command lines",
        ),
        (["send", "--config", "/nowhere/x.toml", "-p", "a", "b"], 78, "/nowhere/x.toml cannot be read: no such file"),
        (["send", "--config", "/", "-p", "a", "b"], 78, "/ cannot be read: is a directory"),
        (["send", f"--url=https://chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}", "a"], 2, "--url"),
        (["send", "a", "--retries", f"https://chat.googleapis.com/?key={KEY}&token={TOKEN}"], 2, "key=***&token=***"),
        (
            ["send", "a", "--timeout", f"https://chat.googleapis.com/?key={KEY}&token={TOKEN}"],
            2,
            "?key=***' is not a duration",
        ),
    ],
)
def test_bad_input(chatpost: InProcess, chat: Emulator, argv: list[str], status: int, said: str) -> None:
    """On invalid input, chatpost prints one line that names the error, exits with its status, and posts nothing."""
    done = chatpost(*argv)
    assert (done.status, done.out, chat.received) == (status, "", [])
    assert done.err.startswith("chatpost: error: ")
    assert done.err.count("\n") == 1
    assert said in done.err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CHATPOST_DEADLINE", "soon", "CHATPOST_DEADLINE: 'soon' is not a duration"),
        ("CHATPOST_RETRIES", "-1", "CHATPOST_RETRIES: '-1' is not a whole number"),
        ("CHATPOST_OUTPUT", "xml", "CHATPOST_OUTPUT: 'xml' is not one of"),
        ("CHATPOST_SILENT", "perhaps", "CHATPOST_SILENT: 'perhaps' is not a boolean: use 1 or 0"),
    ],
)
def test_bad_environment(shell: Shell, chat: Emulator, variable: str, value: str, said: str) -> None:
    """An error in a variable names the variable."""
    shell.env[variable] = value
    done = shell("send", "a")
    assert (done.status, chat.received) == (2, [])
    assert said in done.err


def test_environment_of_every_option(chatpost: InProcess, chat: Emulator) -> None:
    """Each option has a variable, CHATPOST_ and its name. The command line takes precedence."""
    for variable, value in {
        "CHATPOST_THREAD_KEY": "from-env",
        "CHATPOST_FALLBACK_NEW_THREAD": "0",
        "CHATPOST_OUTPUT": "json",
        "CHATPOST_SILENT": "1",
        "CHATPOST_REQUEST_ID": "id-from-env",
    }.items():
        chatpost.env[variable] = value
    chatpost("thread", "a")
    done = chatpost("reply", "--request-id", "id-of-argv", "b")
    assert json.loads(done.out)["requestId"] == "id-of-argv"
    first, second = chat.space().messages
    assert first.thread_name == second.thread_name
    assert first.query["requestId"] == "id-from-env"
    assert second.query["messageReplyOption"] == "REPLY_MESSAGE_OR_FAIL"
    chatpost("reply", "--thread", first.thread_name, "--request-id", "c", "c")
    assert chat.space().messages[2].body["thread"] == {"name": first.thread_name}


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["emulator", "chatpost", "send", "--retries", "1"], "Put -- before the command to run: `chatpost emulator --"),
        (["send", "--bogus"], "No such option '--bogus' (see chatpost send --help)"),
        (["send", "--thred-key", "x"], "Did you mean --thread-key?"),
        (["send", "-5 degrees"], "Put -- before text that begins with a dash"),
        (["send", "-k"], "(see chatpost send --help)"),
        (["-p", "ops", "send"], "Options go after the command"),
    ],
)
def test_hints(chatpost: InProcess, argv: list[str], hint: str) -> None:
    """The hint of a usage error fits the error and names the command's help page."""
    chatpost(*argv).expect(2, hint)


def test_no_output(chatpost: InProcess, chat: Emulator) -> None:
    """`-o none` prints nothing on success, and reports a failure on stderr."""
    assert chatpost("send", "-o", "none", "a") == Finished(0, "", "")
    chat.faults.append(answering(403))
    done = chatpost("send", "-o", "none", "a")
    done.expect(77, "403")
    assert done.out == ""


def test_ids_are_masked(chatpost: InProcess, chat: Emulator) -> None:
    """JSON and `--verbose` mask a webhook's URL that is used as an ID."""
    url = chat.url(key=KEY, token=TOKEN)
    assert chatpost("send", "-v", "-o", "json", "--request-id", url, "-k", url, "a").status == 0


def test_help_in_a_closed_pipe(shell: Shell) -> None:
    """If the reader of a help page exits, chatpost exits with 0."""
    assert shell.run("bash", "-c", "chatpost send -h | true; exit ${PIPESTATUS[0]}").status == 0


@pytest.mark.parametrize("value", ["nightly\r", " nightly ", "nightly\n"])
def test_white_space_around_a_variable(chatpost: InProcess, chat: Emulator, value: str) -> None:
    """White space around a variable's value, such as the CR of a file from Windows, is not part of it."""
    chatpost.env |= {
        "CHATPOST_THREAD_KEY": value,
        "CHATPOST_RETRIES": f"1{value[-1]}",
        "CHATPOST_URL": f"{chat.url()}\r",
    }
    assert chatpost("send", "a").status == 0
    assert chat.space().messages[0].body["thread"] == {"threadKey": "nightly"}


@pytest.mark.parametrize(
    "key", ["spaces/AAAA/threads/ID", "spaces/AAAA/messages/T.M", "https://chat.google.com/room/AAAA/ID"]
)
def test_a_name_as_a_key(chatpost: InProcess, chat: Emulator, key: str) -> None:
    """A thread name, or a link to a thread, is not a thread key: the error says to use --thread."""
    done = chatpost("reply", "-k", key, "x").expect(2, "this names a thread, but is not a thread key: use --thread")
    assert (done.err.count("\n"), chat.received) == (1, [])


def test_a_link_to_a_thread(chatpost: InProcess, chat: Emulator) -> None:
    """`--thread` takes the link of a thread that people can copy in Chat."""
    assert chatpost("reply", "--thread", "https://chat.google.com/room/AAAA/T1?cls=11", "x").status == 0
    assert body_of(chat)["thread"] == {"name": "spaces/AAAA/threads/T1"}


def test_repeated_values_in_the_environment(chatpost: InProcess, chat: Emulator) -> None:
    """A variable of a repeatable option holds several values: user IDs separated by spaces, fields by newlines."""
    chatpost.env["CHATPOST_FIELD"] = "Size=12 GB\nHost=db 1"
    chatpost.env["CHATPOST_MENTION"] = "1 2"
    assert chatpost("send", "a").status == 0
    body = chat.space().messages[0].body
    texts = [widget["decoratedText"]["text"] for widget in body["cardsV2"][0]["card"]["sections"][0]["widgets"][1:]]
    assert (texts, body["text"]) == (["12 GB", "db 1"], "<users/1> <users/2> a")


@pytest.mark.parametrize("argv", [["--thread", THREAD, "-k", "key"], ["--soft-fail", "--thread", THREAD, "-k", "key"]])
def test_a_wrong_command_line_comes_first(shell: Shell, argv: list[str]) -> None:
    """On a usage error, chatpost exits with 2, even if the configuration is invalid or with `--soft-fail`."""
    del shell.env["CHATPOST_URL"]
    assert shell("send", *argv, "a").status == 2


def test_no_configuration(chatpost: InProcess) -> None:
    """Without a webhook, three lines explain how to create one and where to store its URL."""
    del chatpost.env["CHATPOST_URL"]
    done = chatpost("send", "a")
    assert (done.status, done.err.count("\n")) == (78, 3)
    assert "Add webhooks" in done.err
    assert "chatpost profiles add" in done.err
    assert "CHATPOST_URL" in done.err


def test_bytes_that_are_not_utf_8(shell: Shell, chat: Emulator) -> None:
    """Bytes that are not UTF-8, in a pipe or an argument, are posted as U+FFFD with a warning."""
    piped = shell("send", stdin=b"a\xffb")
    typed = shell("send", "a\udcffb")
    assert texts(chat) == ["a\ufffdb"] * 2
    assert "not UTF-8" in piped.err
    assert "not UTF-8" in typed.err


def test_dash_is_stdin(shell: Shell, chat: Emulator) -> None:
    """A single dash means stdin; among other words it is text. Newlines at the end of a pipe are removed."""
    shell("send", "-", stdin="piped\n\n")
    shell("send", "a", "-", "b", stdin="not read")
    assert texts(chat) == ["piped", "a - b"]


@pytest.mark.parametrize(("redirect", "status"), [("<&-", 65), ("0>/dev/null", 66)])
def test_stdin_that_cannot_be_read(shell: Shell, chat: Emulator, redirect: str, status: int) -> None:
    """A closed stdin counts as an empty text. If stdin cannot be read, chatpost exits with 66."""
    done = shell("send", stdin=subprocess.DEVNULL, redirect=redirect)
    assert (done.status, done.err.count("\n"), chat.received) == (status, 1, [])


def test_far_too_much_stdin(shell: Shell, chat: Emulator) -> None:
    """On endless stdin, chatpost stops reading and exits with 65."""
    with open("/dev/zero", "rb") as endless:  # noqa: PTH123 - it is a device
        done = shell("send", stdin=endless.fileno())
    assert (done.status, chat.received) == (65, [])


def test_a_dry_run_is_json_whatever_it_masks(shell: Shell) -> None:
    """`--dry-run` prints valid JSON, even if chatpost masks a secret-like part of the text."""
    done = shell("send", "--dry-run", 'see ?key=abc"x')
    assert json.loads(done.out)["body"]["text"] == 'see ?key=***"x'


@pytest.mark.parametrize("error", [ZeroDivisionError, EOFError])  # Click takes an EOFError for Ctrl-C
def test_a_bug_is_reported_without_a_traceback(
    chatpost: InProcess, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """On a bug, chatpost exits with 70 and names its location, but does not quote the exception's message."""

    def fail(*_: object, **__: object) -> None:
        raise error("secret")

    monkeypatch.setattr("chatpost.commands.posting.read_content", fail)
    done = chatpost("send", "a")
    assert done.status == 70
    assert re.fullmatch(
        r"chatpost: stopped by a bug. Nothing was posted.\n\n?"
        rf"chatpost: error: this is a bug in chatpost \S+: {error.__name__} at test_posting.py:\d+; .*\n",
        done.err,
    )


def test_ctrl_c_dies_of_sigint(shell: Shell, chat: Emulator) -> None:
    """On Ctrl-C, chatpost dies of SIGINT, without a traceback."""
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    running = shell.start("send", "hello")
    wait_for_requests(chat)
    running.signal(signal.SIGINT)
    running.end().expect(-signal.SIGINT)
