"""No failure shows 8 or more consecutive characters of a key, a token or a proxy's password."""

from __future__ import annotations

import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
import trustme

from chatpost.emulator.faults import Fault, Kind
from chatpost.errors import ExitStatus
from tests.conftest import KEY, TOKEN, Finished, answering, secret_pieces
from tests.servers import deaf_server, raw_server, tls_server, url_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.emulator import Emulator
    from tests.conftest import InProcess, Shell

PASSWORD = "pr0xyPassw0rd%21ofTheTests"
URL = f"https://chat.googleapis.com/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"
FORMS = (URL, unquote(URL), quote(URL, safe=""), KEY, TOKEN, unquote(TOKEN), quote(TOKEN, safe=""))
ECHO = f"You sent {' and '.join(FORMS)} to us."

# Simulates a bug during the request, whose message contains the URL.
BUG = f"""
import requests
def post(*_, **__):
    raise RuntimeError({URL!r})
requests.Session.post = post
"""


@dataclass
class Stage:
    """The parts of a simulated failure: the shell, the servers and the command line."""

    shell: Shell
    chat: Emulator
    servers: ExitStack
    argv: list[str] = field(default_factory=lambda: ["send", "--retries", "1", "hello"])
    stdin: str = ""
    redirect: str = ""


def answered(code: int, **headers: str) -> Callable[[Stage], None]:
    """Answer with an error that quotes the secrets."""
    error = {"code": code, "message": ECHO, "status": f"BAD_{KEY}", "details": [{"fieldViolations": [{"field": ECHO}]}]}
    return lambda stage: stage.chat.faults.extend(
        [answering(code, json.dumps({"error": error}).encode(), **headers)] * 2
    )


def faulty(fault: Fault) -> Callable[[Stage], None]:
    return lambda stage: stage.chat.faults.extend([fault] * 2)


def endless(fault: Fault) -> Callable[[Stage], None]:
    """Use a fault that only the deadline ends."""

    def put_on(stage: Stage) -> None:
        faulty(fault)(stage)
        stage.argv[1:1] = ["--deadline", "2"]

    return put_on


def at(url: str) -> Callable[[Stage], None]:
    return lambda stage: stage.shell.env.update(CHATPOST_URL=url)


def nobody_listens(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stage.shell.env["CHATPOST_URL"] = url_on(listener.getsockname()[1])


def packets_are_swallowed(stage: Stage) -> None:
    stage.shell.env["CHATPOST_URL"] = url_on(stage.servers.enter_context(deaf_server()))
    stage.argv[1:1] = ["--deadline", "2"]


def not_http(stage: Stage) -> None:
    port, _ = stage.servers.enter_context(raw_server(lambda connection: connection.sendall(ECHO.encode())))
    stage.shell.env["CHATPOST_URL"] = url_on(port)


def not_trusted(stage: Stage) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    port, _ = stage.servers.enter_context(tls_server(context))
    stage.shell.env["CHATPOST_URL"] = url_on(port, "https")


def not_tls(stage: Stage) -> None:
    stage.shell.env["CHATPOST_URL"] = url_on(stage.chat.port, "https")


def ca_bundle(path: str) -> Callable[[Stage], None]:
    return lambda stage: stage.shell.env.update(CHATPOST_URL=url_on(stage.chat.port, "https"), REQUESTS_CA_BUNDLE=path)


def proxy(answer: bytes | None, form: str = "http://me:{}@127.0.0.1:{}") -> Callable[[Stage], None]:
    """Use a proxy that sends this answer, or one that is down."""

    def put_on(stage: Stage) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        if answer is not None:
            port, _ = stage.servers.enter_context(raw_server(lambda connection: connection.sendall(answer)))
        stage.shell.env |= {"CHATPOST_URL": URL, "HTTPS_PROXY": form.format(PASSWORD, port)}

    return put_on


def profiles(text: str, *argv: str, mode: int = 0o600) -> Callable[[Stage], None]:
    """Use a profile file, and a command that reads it."""

    def put_on(stage: Stage) -> None:
        del stage.shell.env["CHATPOST_URL"]
        stage.shell.write_profiles(text, mode)
        stage.argv = [*argv] if argv else stage.argv

    return put_on


def saying(*argv: str, stdin: str = "", redirect: str = "") -> Callable[[Stage], None]:
    """Use a command line with this stdin and redirection."""

    def put_on(stage: Stage) -> None:
        stage.argv, stage.stdin, stage.redirect = list(argv), stdin, redirect

    return put_on


def bug(stage: Stage) -> None:
    (stage.shell.home / "sitecustomize.py").write_text(BUG)
    stage.shell.env["PYTHONPATH"] = str(stage.shell.home)


CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
GOOD = f'[profiles.ops]\nurl = "{URL}"\n'

FAILURES: dict[str, tuple[Callable[[Stage], None], int]] = {
    **{f"{code}": (answered(code), 75) for code in (408, 429, 500, 502, 503, 504)},
    "429, too long": (answered(429, Retry_After="600"), 75),
    **{f"{code}": (answered(code), 77) for code in (401, 403)},
    **{f"{code}": (answered(code), 65) for code in (400, 413)},
    **{f"{code}": (answered(code), 69) for code in (404, 409, 418)},
    "a page": (faulty(answering(403, f"<h1>{ECHO}</h1>".encode())), 77),
    "a redirect": (faulty(answering(302, ECHO.encode(), Location=URL)), 76),
    "no JSON": (faulty(answering(200, ECHO.encode())), 76),
    "no message": (faulty(answering(200, json.dumps({"name": URL}).encode())), 76),
    "cut short": (faulty(Fault(Kind.TRUNCATE)), 76),
    "reset before": (faulty(Fault(Kind.DROP_BEFORE)), 75),
    "reset after": (faulty(Fault(Kind.DROP_AFTER)), 75),
    "too late": (endless(Fault(Kind.DELAY, seconds=300)), 75),
    "dripping": (endless(Fault(Kind.DRIP)), 75),
    "nobody listens": (nobody_listens, 75),
    "swallowed": (packets_are_swallowed, 75),
    "not HTTP": (not_http, 75),
    "no such name": (at(URL.replace("chat.", "no-such-host-of-the-tests.")), 75),
    "not trusted": (not_trusted, 76),
    "not TLS": (not_tls, 76),
    "no CA bundle": (ca_bundle("/nowhere"), 78),
    "an empty CA bundle": (ca_bundle("/dev/null"), 78),
    "a dead proxy": (proxy(None), 75),
    "a proxy that refuses": (proxy(REFUSED), 75),
    "a proxy that hangs up": (proxy(b""), 75),
    "a proxy that connects to nothing": (proxy(CONNECTED), 75),
    "a proxy that is none": (proxy(None, "ftp://me:{}@127.0.0.1:{}"), 78),
    "a proxy that is not even a URL": (proxy(None, "http://me:{}@[{}"), 78),
    "a URL without TLS": (at(URL.replace("https", "http")), 78),
    "a URL of another host": (at(URL.replace("googleapis", "evil")), 78),
    "a URL with a user": (at(URL.replace("chat.", f"{KEY}:{TOKEN}@chat.")), 78),
    "a URL with another path": (at(URL.replace("messages", f"messages/{KEY}")), 78),
    "a URL with more in it": (at(f"{URL}&{KEY}={TOKEN}"), 78),
    "a URL with a fragment": (at(f"{URL}#{TOKEN}"), 78),
    "a URL in halves": (at(URL.replace("&", " ")), 78),
    "no URL": (at(KEY + TOKEN), 78),
    "a URL as a profile": (saying("send", "-p", URL, "hello"), 78),
    "a URL as an option": (saying("send", "--timeout", URL, "hello"), 2),
    "a URL as an option of its own": (saying("send", f"--url={URL}", "hello"), 2),
    "a URL as a command": (saying(URL), 2),
    "a URL as a file": (saying("send", "--config", f"/nowhere/{URL}", "-p", "ops", "hello"), 78),
    "a URL as a thread": (saying("reply", "--thread", URL, "hello"), 2),
    "broken TOML": (profiles(GOOD.rstrip('"\n')), 78),
    "TOML with a URL for a key": (profiles(f'[profiles.ops]\n"{URL}" = 1\n'), 78),
    "TOML with a URL for a default": (profiles(f'default = "{URL}"\n{GOOD}'), 78),
    "TOML with a URL for a number": (profiles(f'{GOOD}deadline = "{URL}"\n'), 78),
    "a file others write": (profiles(GOOD, mode=0o666), 78),
    "a command that fails": (
        profiles(f'[profiles.ops]\nurl = {{ command = ["sh", "-c", "echo \'{URL}\' | tee /dev/stderr; exit 1"] }}\n'),
        78,
    ),
    "a command that raves": (profiles(f'[profiles.ops]\nurl = {{ command = ["echo", "x{URL}"] }}\n'), 78),
    "the list": (profiles(GOOD, "profiles"), 0),
    "the list as JSON": (profiles(GOOD, "profiles", "-o", "json"), 0),
    "a URL for a variable": (profiles(f'[profiles.ops]\nurl = {{ env = "{URL}" }}\n', "profiles"), 78),
    "a URL for a file": (profiles(f'[profiles.ops]\nurl = {{ file = "{URL}" }}\n', "profiles", "check"), 78),
    "a URL for a program": (profiles(f'[profiles.ops]\nurl = {{ command = ["{URL}"] }}\n', "profiles"), 78),
    "a URL for an argument": (profiles(f'[profiles.ops]\nurl = {{ command = ["echo", "{URL}"] }}\n', "profiles"), 0),
    "the check": (profiles(f"{GOOD}[profiles.b]\nurl = 'x{URL}'\n", "profiles", "check"), 78),
    "added twice": (profiles(GOOD, "profiles", "add", "ops"), 78),
    "added wrong": (saying("profiles", "add", "new", stdin=f"x{URL}\n"), 78),
    "too long": (saying("send", "--overflow", "fail", stdin="x" * 32_001), 65),
    "empty": (saying("send", stdin=""), 65),
    "stdout full": (saying("send", "hello", redirect=">/dev/full"), 74),
    "a dry run": (saying("send", "--dry-run", "hello"), 0),
    "a bug": (bug, 70),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_shows_a_secret(chatpost: InProcess, chat: Emulator, failure: str) -> None:
    """No failure shows a piece of a secret on stdout or stderr, at any verbosity or in JSON."""
    pieces = secret_pieces(KEY, TOKEN, PASSWORD)
    put_on, status = FAILURES[failure]
    with ExitStack() as servers:
        stage = Stage(chatpost, chat, servers)
        put_on(stage)
        command, *words = stage.argv
        verbosities = ([], ["-v"], ["-q"], ["-v", "-o", "json"]) if command in {"send", "reply"} else ([],)
        chat.faults.extend([*chat.faults] * len(verbosities))

        def run(more: list[str]) -> Finished:
            return chatpost(command, *more, *words, stdin=stage.stdin, redirect=stage.redirect)

        with ThreadPoolExecutor() as pool:
            # In a pool's threads, chatpost runs as processes, which wait for their next attempts at the same time.
            run_all = pool.map if status in {ExitStatus.TRY_LATER, ExitStatus.PROTOCOL} else map
            ended = list(run_all(run, verbosities))
    for done in ended:
        said = done.expect(status).out + done.err
        assert not [piece for piece in pieces if piece in said], said
        assert status == 0 or said
