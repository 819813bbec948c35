"""Promises under fault, tested through the installed command against a real server."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from chatpost.emulator.faults import Fault, Kind
from tests.conftest import KEY, TOKEN, Finished, answering
from tests.servers import closed_port, raw_server, url_on
from tests.terminals import Terminal

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import Shell

WEBHOOK = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"


@pytest.fixture(autouse=True)
def _paced(shell: Shell) -> None:
    """Enable pacing, as for every user."""
    del shell.env["CHATPOST_PACING"]


def request_ids(chat: Emulator) -> set[str]:
    return {received.query["requestId"] for received in chat.received}


@pytest.mark.parametrize("code", [503, 500, 502, 504, 408])
def test_a_passing_server_error(shell: Shell, chat: Emulator, code: int) -> None:
    """On a transient server error, chatpost retries under the same request ID, and the message is posted once."""
    chat.faults.append(answering(code))
    done = shell("send", "hello")
    assert done.status == 0
    assert done.out == f"{chat.space().messages[0].name}\n"
    assert len(chat.received) == 2
    assert len(request_ids(chat)) == 1
    assert done.err.count("\n") == 1
    assert f"Chat returned {code}" in done.err
    assert "retrying in" in done.err


def test_a_lasting_server_error(shell: Shell, chat: Emulator) -> None:
    """On a lasting server error, chatpost exits with 75 before the deadline, with Chat's answer and the request ID."""
    chat.faults.extend([answering(503)] * 9)
    done = shell("send", "--deadline", "4", "hello")
    assert done.status == 75
    assert 1 < len(chat.received) <= 6
    (request_id,) = request_ids(chat)
    last = done.err.splitlines()[-1]
    assert 'Chat returned 503 UNAVAILABLE: "The service is currently unavailable."' in last
    assert f"may have been posted; to retry without posting it twice, add --request-id {request_id}" in last


def test_attempts_are_limited_by_retries(shell: Shell, chat: Emulator) -> None:
    """With `--retries N`, chatpost makes one attempt and at most N retries."""
    chat.faults.extend([answering(503)] * 9)
    done = shell("send", "--retries", "1", "hello")
    assert (done.status, len(chat.received)) == (75, 2)
    assert "gave up after 2 attempts" in done.err


def test_waits_as_long_as_chat_asks(shell: Shell, chat: Emulator) -> None:
    """After a 429 with `Retry-After: 1`, chatpost waits at least a second before the next attempt."""
    chat.faults.append(answering(429, Retry_After="1"))
    assert shell("send", "hello").status == 0
    first, second = chat.received
    assert second.at - first.at >= 1


def test_a_wait_past_the_deadline(shell: Shell, chat: Emulator) -> None:
    """If Retry-After is past the deadline, chatpost exits with 75 at once."""
    chat.faults.append(answering(429, Retry_After="600"))
    done = shell("send", "--deadline", "60", "hello")
    assert (done.status, len(chat.received)) == (75, 1)
    assert "past the deadline of 60 s" in done.err
    assert "Nothing was posted" in done.err


@pytest.mark.parametrize("value", ["soon", "Fri, 15 Jan 2010 08:00:30 GMT", "-1", "0.3"])
def test_an_odd_retry_after(shell: Shell, chat: Emulator, value: str) -> None:
    """If Retry-After is invalid or already over, chatpost uses the normal backoff."""
    chat.faults.append(answering(503, Retry_After=value))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (0, 2)


def test_retry_after_as_a_date(shell: Shell, chat: Emulator) -> None:
    """If Retry-After is a date after the deadline, chatpost exits with 75 at once, as for a number of seconds."""
    chat.faults.append(answering(503, Retry_After="Fri, 15 Jan 2100 08:00:30 GMT"))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (75, 1)


@pytest.mark.parametrize("code", [401, 403])
def test_a_rejected_token(shell: Shell, chat: Emulator, code: int) -> None:
    """On a rejected token, chatpost exits with 77 and does not retry."""
    chat.faults.append(answering(code))
    done = shell("send", "hello")
    assert (done.status, len(chat.received), done.out) == (77, 1, "")
    assert "copy the webhook's link from Chat again" in done.err


def test_a_rejected_key(shell: Shell, chat: Emulator) -> None:
    """On a rejected key, a 400, chatpost exits with 77, does not retry, and masks the key in Chat's message."""
    error = {
        "code": 400,
        "message": f"API key not valid: {KEY}.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
    chat.faults.append(answering(400, json.dumps({"error": error}).encode()))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (77, 1)
    assert "API key not valid: ***." in done.err


def test_an_invalid_message(shell: Shell, chat: Emulator) -> None:
    """On any other 400, chatpost exits with 65, does not retry, and shows Chat's message."""
    body = {"error": {"code": 400, "message": "Message has odd things.", "status": "INVALID_ARGUMENT"}}
    chat.faults.append(answering(400, json.dumps(body).encode()))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (65, 1)
    assert 'Chat returned 400 INVALID_ARGUMENT: "Message has odd things."' in done.err


@pytest.mark.parametrize("thread", [["-k", "unknown"], ["--thread", "spaces/AAAA/threads/unknown"]])
def test_a_thread_that_does_not_exist(shell: Shell, chat: Emulator, thread: list[str]) -> None:
    """A reply with `--or-fail` to a missing thread exits with 69, and posts nothing."""
    done = shell("reply", "--or-fail", *thread, "hello")
    assert (done.status, len(chat.received), chat.space().messages) == (69, 1, [])
    assert "Nothing was posted" in done.err


@pytest.mark.parametrize(("code", "status", "times"), [(502, 75, 2), (403, 77, 1), (404, 69, 1), (400, 65, 1)])
def test_an_html_error_page(shell: Shell, chat: Emulator, code: int, status: int, times: int) -> None:
    """On an HTML error page, the status code decides the outcome, and chatpost shows a short, safe excerpt."""
    page = b"<html><script>evil()</script><h1>No\x1b]0;title\x07 way</h1>" + b"<p>more and more" * 200
    chat.faults.extend([answering(code, page)] * 2)
    done = shell("send", "--retries", "1", "hello")
    assert (done.status, len(chat.received)) == (status, times)
    assert "No ]0;title way more and more" in done.err
    assert "evil" not in done.err
    assert "\x1b" not in done.err
    assert len(done.err) < 700


def test_an_endless_answer(shell: Shell) -> None:
    """An endless answer is read only up to a limit, in bounded memory."""

    def rave(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        while True:
            connection.sendall(b"raving " * 10_000)

    with raw_server(rave) as (port, _):
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell.run("sh", "-c", "ulimit -v 300000; exec chatpost send hello")
    assert done.status == 77


@pytest.mark.parametrize("location", [b"http://[::1", b"//[", b"\xff\xfe", b""])
def test_a_redirect_to_nowhere(shell: Shell, location: bytes) -> None:
    """On a redirect, chatpost reads neither the target nor the endless page."""

    def redirect(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 301 Moved\r\nLocation: " + location + b"\r\n\r\n")
        while True:
            connection.sendall(b"raving " * 10_000)

    with raw_server(redirect) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell.run("sh", "-c", "ulimit -v 300000; exec chatpost send hello")
    assert (done.status, len(heard)) == (76, 1)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(shell: Shell, chat: Emulator, code: int) -> None:
    """On a redirect, chatpost exits with 76 and sends nothing to the other host."""
    with raw_server(lambda _: None) as (port, heard):
        chat.faults.append(answering(code, Location=url_on(port)))
        done = shell("send", "hello")
    assert (done.status, len(chat.received), heard) == (76, 1, [])


def test_connection_refused(shell: Shell) -> None:
    """On a refused connection, chatpost exits with 75, and nothing was posted."""
    with closed_port() as port:
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell("send", "--deadline", "1", "hello")
    done.expect(75, f"could not connect to 127.0.0.1:{port}: connection refused", "Nothing was posted")


def test_a_name_that_is_not_resolved(shell: Shell) -> None:
    """On a host name that cannot be resolved, chatpost exits with 75."""
    shell.env["CHATPOST_URL"] = url_on(443, "https").replace(
        "127.0.0.1:443", "no-such-host-of-the-tests.googleapis.com"
    )
    shell("send", "--retries", "0", "hello").expect(75, "could not be resolved")


def test_without_a_network(shell: Shell) -> None:
    """Without a network, chatpost says so once and retries quietly; `-v` shows each attempt, `-q` only the error."""
    shell.env["CHATPOST_URL"] = WEBHOOK.replace("chat.", "no-such-host-of-the-tests.")
    name = "the name no-such-host-of-the-tests.googleapis.com could not be resolved"
    retries = ("send", "--retries", "2", "hello")
    done = shell(*retries)
    assert done.status == 75
    assert done.err.splitlines() == [
        f"chatpost: {name}; retrying without further messages",
        f"chatpost: error: {name}; gave up after 3 attempts (see docs/troubleshooting.md#network). Nothing was posted.",
    ]
    assert shell(*retries, "-v").err.count("retrying in") == 2
    assert shell(*retries, "-q").err.count("\n") == 1


def test_a_terminal_without_a_network(shell: Shell) -> None:
    """At a terminal, one live line shows when the next attempt is, and disappears at the end."""
    shell.env |= {"CHATPOST_URL": WEBHOOK.replace("chat.", "no-such-host-of-the-tests."), "TERM": "xterm"}
    terminal = Terminal()
    sending = shell.start("send", "--retries", "2", "hello", stderr=terminal.theirs)
    terminal.wait_for("retrying without further messages")
    terminal.wait_for("no network; next attempt in")
    terminal.wait_for("gave up after 3 attempts")
    assert sending.end().status == 75
    assert "no network" not in terminal.close()


def test_an_answer_cut_short(shell: Shell, chat: Emulator) -> None:
    """On a truncated 200, chatpost retries under the same request ID, and the message is posted once."""
    chat.faults.append(Fault(Kind.TRUNCATE))
    done = shell("send", "hello")
    assert (done.status, len(chat.received), len(chat.space().messages)) == (0, 2, 1)
    assert len(request_ids(chat)) == 1


@pytest.mark.parametrize("fault", [Fault(Kind.TRUNCATE), answering(200, b"<html>hi"), answering(204, b"")])
def test_an_answer_that_is_never_valid(shell: Shell, chat: Emulator, fault: Fault) -> None:
    """If no answer is ever valid, chatpost exits with 76 and says "probably posted"."""
    chat.faults.extend([fault] * 2)
    done = shell("send", "--retries", "1", "hello")
    assert (done.status, len(chat.received)) == (76, 2)
    assert "probably posted" in done.err
    assert request_ids(chat).pop() in done.err


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_that_does_not_exist(shell: Shell, chat: Emulator, variable: str) -> None:
    """If a CA bundle does not exist, chatpost exits with 78 and names the file."""
    shell.env[variable] = "/nowhere/ca.pem"
    done = shell("send", "hello")
    assert (done.status, chat.received) == (78, [])
    assert done.err == f"chatpost: error: {variable} names /nowhere/ca.pem, which does not exist\n"


def test_a_ca_bundle_without_certificates(shell: Shell, chat: Emulator, tmp_path: Path) -> None:
    """If a CA bundle contains no certificates, chatpost exits with 78 and names the file."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    shell.env |= {"REQUESTS_CA_BUNDLE": str(bundle), "CHATPOST_URL": url_on(chat.port, "https")}
    shell("send", "hello").expect(78, f"REQUESTS_CA_BUNDLE names {bundle}, which contains no certificates")


def test_a_dead_proxy(shell: Shell) -> None:
    """If the proxy is down, chatpost exits with 75 and does not show the proxy's password."""
    url = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"
    with closed_port() as port:
        shell.env |= {"CHATPOST_URL": url, "HTTPS_PROXY": f"http://me:pr0xyPassw0rd@127.0.0.1:{port}"}
        done = shell("send", "-v", "--deadline", "1", "hello")
    done.expect(75, "the proxy in HTTPS_PROXY cannot be reached: connection refused")
    assert "pr0xyPass" not in done.err


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "form",
    ["http://127.0.0.1:{}", "127.0.0.1:{}", "localhost:{}", '"http://localhost:{}"', "me:pr0xyPassw0rd@localhost:{}"],
)
def test_a_proxy_that_refuses(shell: Shell, variable: str, form: str) -> None:
    """A proxy without a scheme speaks HTTP, as for curl; the error names the variable and the proxy's answer."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(refusal)) as (port, heard):
        shell.env |= {"CHATPOST_URL": WEBHOOK, variable: form.format(port)}
        done = shell("send", "--retries", "0", "hello")
    done.expect(75, f"the proxy in {variable} refused the connection to Chat (403)")
    assert heard[0].startswith(b"CONNECT chat.googleapis.com:443")
    assert (b"Proxy-Authorization" in heard[0]) is ("@" in form)
    assert "pr0xyPass" not in done.err


def test_a_proxy_with_an_ipv6_address(shell: Shell) -> None:
    """The brackets of an IPv6 address are not part of the proxy's name."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(refusal), "::1") as (port, heard):
        shell.env |= {"CHATPOST_URL": WEBHOOK, "HTTPS_PROXY": f"http://[::1]:{port}"}
        shell("send", "--retries", "0", "hello").expect(75, "refused the connection to Chat (403)")
    assert heard[0].startswith(b"CONNECT chat.googleapis.com:443")


def test_https_for_a_proxy_without_tls(shell: Shell) -> None:
    """If the proxy's URL begins with https:// but it speaks HTTP, chatpost exits with 78 at once and names the fix."""
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(answer)) as (port, heard):
        shell.env |= {"CHATPOST_URL": WEBHOOK, "HTTPS_PROXY": f"https://127.0.0.1:{port}"}
        done = shell("send", "hello")
    done.expect(78, "the proxy in HTTPS_PROXY does not speak TLS: write http:// instead of https:// in its URL")
    assert len(heard) == 1


def test_a_proxy_whose_name_is_not_resolved(shell: Shell) -> None:
    """The error says that it is the proxy's name that could not be resolved, not Chat's."""
    shell.env |= {"CHATPOST_URL": WEBHOOK, "HTTPS_PROXY": "http://proxy.invalid:3128"}
    done = shell("send", "--retries", "0", "hello")
    done.expect(75, "the proxy in HTTPS_PROXY cannot be reached: its name could not be resolved")


@pytest.mark.parametrize("value", ["9999999999", "9" * 400])
def test_a_very_long_retry_after(shell: Shell, chat: Emulator, value: str) -> None:
    """A Retry-After with any number of digits is valid. Past the deadline, chatpost exits with 75 at once."""
    chat.faults.append(answering(503, Retry_After=value))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (75, 1)


def test_a_proxy_that_asks_for_a_password(shell: Shell) -> None:
    """If a proxy asks for a password, chatpost exits with 75, and the proxy receives no key, token or text."""
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    url = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"
    with raw_server(lambda connection: connection.sendall(refusal)) as (port, heard):
        shell.env |= {"CHATPOST_URL": url, "HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        done = shell("send", "--retries", "0", "hello")
    done.expect(75, "the proxy requires authentication (407): add the user name and password to HTTPS_PROXY")
    assert heard[0].startswith(b"CONNECT chat.googleapis.com:443")
    assert KEY.encode() not in heard[0]


@pytest.mark.parametrize("proxy", ["http://a..b:1", f"http://{'a' * 64}:1", "http://me:pr0xyPassw0rd@", "socks5://x"])
def test_an_invalid_proxy(shell: Shell, proxy: str) -> None:
    """On an invalid proxy URL, chatpost exits with 78 and does not show the URL."""
    shell.env |= {"CHATPOST_URL": WEBHOOK, "HTTPS_PROXY": proxy}
    done = shell("send", "hello")
    is_socks = proxy.startswith("socks")
    invalid = "the proxy URL in HTTPS_PROXY is invalid: write http://HOST:PORT"
    socks = "HTTPS_PROXY names a SOCKS proxy, which chatpost does not support: use an HTTP proxy"
    see = "(see docs/troubleshooting.md#network)"
    assert done.status == 78
    assert done.err == f"chatpost: error: {socks if is_socks else invalid} {see}. Nothing was posted.\n"


def test_stdout_is_closed(shell: Shell, chat: Emulator) -> None:
    """If stdout is closed before chatpost prints the message name, the message is posted, and chatpost exits with 0."""
    read, write = os.pipe()
    os.close(read)
    done = shell("send", "hello", stdout=write)
    os.close(write)
    assert (done.status, done.err, len(chat.received)) == (0, "", 1)


def test_no_stdout(shell: Shell, chat: Emulator) -> None:
    """If chatpost starts without a stdout, it posts and exits with 0."""
    done = shell("send", "hello", redirect=">&-")
    assert (done.status, done.err, len(chat.received)) == (0, "", 1)


def test_stdout_is_full(shell: Shell, chat: Emulator) -> None:
    """If stdout is full, chatpost exits with 74, and stderr gives the name of the posted message."""
    done = shell("send", "hello", redirect=">/dev/full")
    assert (done.status, len(chat.received)) == (74, 1)
    assert f"the message was posted: {chat.space().messages[0].name}" in done.err


def test_stdout_is_full_for_several(shell: Shell, chat: Emulator) -> None:
    """If stdout is full, chatpost reports each posted message on stderr."""
    shell.write_profiles("".join(f'[profiles.{name}]\nurl = "{chat.url(name)}"\n' for name in "ab"))
    done = shell("send", "-p", "a", "-p", "b", "hello", redirect=">/dev/full")
    assert done.status == 74
    for name in "ab":
        assert f"{name}: cannot write to stdout" in done.err
        assert chat.space(name).messages[0].name in done.err


def test_an_error_with_a_full_stdout(shell: Shell) -> None:
    """If nothing was posted, a full stdout does not change the exit status of the error."""
    assert shell("send", "-o", "json", "", redirect=">/dev/full").status == 65
    assert shell("send", "-o", "json", "--soft-fail", "", redirect=">/dev/full").status == 0
    assert shell("--help", redirect=">/dev/full").status == 74


@pytest.mark.parametrize("blank", [b"", b"\n", b" \t\r\n\n", "\u00a0\n".encode()])
def test_blank_text(shell: Shell, chat: Emulator, blank: bytes) -> None:
    """On blank stdin, chatpost exits with 65 and posts nothing. With `--skip-empty`, it exits with 0."""
    done = shell("send", stdin=blank)
    assert (done.status, done.out) == (65, "")
    assert "--skip-empty" in done.err
    assert shell("send", "--skip-empty", stdin=blank) == Finished(0, "", "")
    assert chat.received == []


def test_stdin_is_a_terminal(shell: Shell, chat: Emulator) -> None:
    """At a terminal without a text, chatpost exits with 2 and a hint, and does not wait for input."""
    ours, theirs = os.openpty()
    try:
        for argv, example in ((["send"], 'chatpost send "Hello"'), (["reply", "-k", "x"], 'reply -k KEY "Hello"')):
            done = shell(*argv, stdin=theirs)
            assert (done.status, chat.received) == (2, [])
            assert example in done.err
    finally:
        os.close(ours)
        os.close(theirs)


def test_stdin_is_left_alone(shell: Shell, chat: Emulator) -> None:
    """With a text on the command line, chatpost does not read stdin."""
    read, write = os.pipe()
    os.write(write, b"not for chatpost")
    try:
        done = shell("send", "hello", stdin=read)
        assert (done.status, chat.space().messages[0].text) == (0, "hello")
        assert os.read(read, 100) == b"not for chatpost"
    finally:
        os.close(read)
        os.close(write)


NOT_READ = "stdin has data that was not posted: add - to post it as the text"


@pytest.mark.parametrize(
    ("argv", "warns"),
    [
        (["--title", "Disk"], True),
        (["--card", "card.json"], True),
        (["--title", "Disk", "with words"], False),
        (["-q", "--title", "Disk"], False),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_a_pipe_beside_a_card(shell: Shell, chat: Emulator, argv: list[str], kind: str, *, warns: bool) -> None:
    """A card without a text leaves stdin unread; a warning says so if a pipe or a file has data at once."""
    (shell.home / "card.json").write_text('{"header": {"title": "T"}}')
    (shell.home / "input").write_text("left alone")
    read = os.open(shell.home / "input", os.O_RDONLY)
    if kind == "pipe":
        os.close(read)
        read, write = os.pipe()
        os.write(write, b"left alone")
        os.close(write)
    try:
        done = shell("send", *argv, stdin=read)
        assert os.read(read, 100) == b"left alone"
    finally:
        os.close(read)
    assert (done.status, len(chat.received), NOT_READ in done.err) == (0, 1, warns)


def test_an_empty_stdin_beside_a_card(shell: Shell) -> None:
    """An open pipe without data, an empty file, and a closed stdin cause neither a warning nor a wait."""
    read, write = os.pipe()
    try:
        assert shell("send", "--title", "T", stdin=read).err == ""
    finally:
        os.close(write)
    assert shell("send", "--title", "T", stdin=read).err == ""
    os.close(read)
    for redirect in ("< /dev/null", "<&-", "< /dev/zero"):
        assert shell("send", "--title", "T", redirect=redirect).err == ""


def test_stdin_that_does_not_block(shell: Shell, chat: Emulator) -> None:
    """A non-blocking stdin is read to its end, despite pauses."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    first = threading.Event()

    def feed() -> None:
        os.write(write, b"first, ")
        first.wait(0.5)  # never set: this pauses the input for a while
        os.write(write, b"second")
        os.close(write)

    feeder = threading.Thread(target=feed)
    feeder.start()
    done = shell("send", stdin=read)
    feeder.join()
    os.close(read)
    assert (done.status, chat.space().messages[0].text) == (0, "first, second")


@pytest.mark.parametrize("text", ["a" * 32_000, "é" * 16_000])
def test_the_longest_text(shell: Shell, chat: Emulator, text: str) -> None:
    """A text of exactly 32,000 bytes is posted in full. The newline at the end of a pipe does not count."""
    assert shell("send", stdin=f"{text}\n").status == 0
    assert chat.space().messages[0].text == text


def test_one_byte_too_many(shell: Shell, chat: Emulator) -> None:
    """With `--overflow fail`, one byte more exits with 65, and posts nothing."""
    done = shell("send", "--overflow", "fail", stdin="é" * 16_000 + "a")
    assert (done.status, chat.received) == (65, [])
    assert "32,001 bytes" in done.err


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (f"http://chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}", "http://"),
        (f"https://evil.example/v1/spaces/A/messages?key={KEY}&token={TOKEN}", "host"),
        (f"https://me:pw@chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}", "user name"),
        (f"https://chat.googleapis.com/v1/spaces/A?key={KEY}&token={TOKEN}", "path"),
        (f"https://chat.googleapis.com/v1/spaces/A/messages?key={KEY}", "token"),
    ],
)
def test_a_url_that_is_no_webhook(shell: Shell, chat: Emulator, url: str, names: str) -> None:
    """If a URL is not a webhook, chatpost exits with 78 and names the invalid part and the source of the URL."""
    shell.env["CHATPOST_URL"] = url
    done = shell("send", "hello")
    assert (done.status, chat.received) == (78, [])
    assert done.err.startswith("chatpost: error: CHATPOST_URL: ")
    assert names in done.err
    assert done.err.count("\n") == 1


def test_broken_toml(shell: Shell, chat: Emulator) -> None:
    """On a broken profile file, chatpost exits with 78 and gives file, line and column, but not the line's text."""
    path = shell.write_profiles(f'[profiles.ops]\nurl = "{url_on(chat.port)}\n')
    done = shell("send", "-p", "ops", "hello")
    assert (done.status, chat.received) == (78, [])
    assert str(path) in done.err
    assert "line 2, column" in done.err
    assert "127.0.0.1" not in done.err


def test_an_unknown_profile(shell: Shell, chat: Emulator) -> None:
    """On an unknown profile, chatpost exits with 78 and lists the existing profiles."""
    path = shell.write_profiles(f'[profiles.ops]\nurl = "{url_on(chat.port)}"\n[profiles.ci]\nurl = {{ env = "X" }}\n')
    done = shell("send", "-p", "nope", "hello")
    assert (done.status, chat.received) == (78, [])
    assert f"there is no profile nope in {path} (it has: ops, ci)" in done.err


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_profile_file_writable_by_others(shell: Shell, chat: Emulator, mode: int) -> None:
    """If others can write to the profile file, chatpost exits with 78."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{url_on(chat.port)}"\n', mode)
    done = shell("send", "-p", "ops", "hello")
    assert (done.status, chat.received) == (78, [])
    assert "chmod go-w" in done.err


def test_a_profile_file_readable_by_others(shell: Shell, chat: Emulator) -> None:
    """If others can read the profile file, chatpost posts with a warning."""
    shell.write_profiles(f'[profiles.ops]\nurl = "{url_on(chat.port)}"\n', 0o644)
    done = shell("send", "-p", "ops", "hello")
    assert (done.status, len(chat.received)) == (0, 1)
    assert "warning" in done.err
    assert "chmod 600" in done.err


def test_two_runs_are_two_messages(shell: Shell, chat: Emulator) -> None:
    """Two runs with the same text post two messages."""
    names = {shell("send", "hello").out for _ in range(2)}
    assert len(names) == len(chat.space().messages) == 2
