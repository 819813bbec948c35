"""Promises under network faults: hanging, dropped and dripping connections, and untrusted certificates.

The timeout of 100 seconds is longer than these tests run, so only the deadline can end the command.
"""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
import trustme

from chatpost.emulator.faults import Fault, Kind
from tests.servers import WHOLE_ANSWER, deaf_server, raw_server, tls_server, url_on

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from chatpost.emulator import Emulator
    from tests.conftest import Shell

PATIENT = ("--timeout", "100", "--deadline", "2")

# Simulates a name server that never answers.
NO_NAME_SERVER = """
import socket, threading
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
"""


def test_a_name_server_that_hangs(shell: Shell, chat: Emulator) -> None:
    """If the name server never answers, chatpost exits with 75 by the deadline, and nothing was posted."""
    (shell.home / "sitecustomize.py").write_text(NO_NAME_SERVER)
    shell.env["PYTHONPATH"] = str(shell.home)
    done = shell("send", *PATIENT, "hello")
    assert (done.status, chat.received) == (75, [])
    assert "Nothing was posted" in done.err


def test_an_address_that_swallows_packets(shell: Shell) -> None:
    """If no connection can be made, chatpost exits with 75 by the deadline, and nothing was posted."""
    with deaf_server() as port:
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell("send", *PATIENT, "hello")
    done.expect(75, f"127.0.0.1:{port}", "Nothing was posted")


def test_the_answer_comes_too_late(shell: Shell, chat: Emulator) -> None:
    """If Chat stores the message but answers too late, the retry finds it: one message, and exit status 0."""
    chat.faults.append(Fault(Kind.DELAY, seconds=300))
    done = shell("send", "--timeout", "2", "hello")
    assert (done.status, len(chat.received)) == (0, 2)
    assert [f"{message.name}\n" for message in chat.space().messages] == [done.out]


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.DROP_BEFORE])
def test_the_connection_is_reset(shell: Shell, chat: Emulator, kind: Kind) -> None:
    """If the connection is reset after the request, chatpost retries: one message, and exit status 0."""
    chat.faults.append(Fault(kind))
    done = shell("send", "hello")
    assert (done.status, len(chat.received)) == (0, 2)
    assert [f"{message.name}\n" for message in chat.space().messages] == [done.out]
    assert "was lost" in done.err


def test_a_body_that_drips(shell: Shell, chat: Emulator) -> None:
    """If the body never ends, chatpost exits with 75 by the deadline. The message may have been posted."""
    chat.faults.append(Fault(Kind.DRIP))
    done = shell("send", *PATIENT, "hello")
    assert (done.status, len(chat.received)) == (75, 1)
    request_id = chat.received[0].query["requestId"]
    assert f"may have been posted; to retry without posting it twice, add --request-id {request_id}" in done.err


def test_headers_that_drip(shell: Shell, chat: Emulator) -> None:
    """If the headers never end, chatpost exits with 75 by the deadline. The message may have been posted."""
    del chat

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        connection.settimeout(0.05)
        while True:
            connection.sendall(b"x")
            try:
                if connection.recv(65536) == b"":
                    return
            except TimeoutError:
                pass

    with raw_server(drip) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell("send", *PATIENT, "hello")
    assert (done.status, len(heard)) == (75, 1)
    assert "may have been posted" in done.err


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def served_by(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trust(shell: Shell, authority: trustme.CA) -> Path:
    bundle = shell.home / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    shell.env["REQUESTS_CA_BUNDLE"] = str(bundle)
    return bundle


def test_a_trusted_certificate(shell: Shell, authority: trustme.CA) -> None:
    """With a trusted and valid certificate for the host, the message is posted."""
    trust(shell, authority)
    with tls_server(served_by(authority.issue_cert("127.0.0.1"))) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port, "https")
        done = shell("send", "hello")
    assert (done.status, done.out) == (0, "spaces/AAAA/messages/T.M\n")
    assert b"hello" in heard[0]


@pytest.mark.parametrize("wrong", ["not trusted", "another host's", "expired"])
def test_an_untrusted_certificate(shell: Shell, authority: trustme.CA, wrong: str) -> None:
    """On an untrusted, mismatched or expired certificate, chatpost exits with 76 without a retry, and sends no text."""
    expired = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = {
        "not trusted": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "another host's": lambda: authority.issue_cert("chat.example"),
        "expired": lambda: authority.issue_cert("127.0.0.1", not_before=expired, not_after=expired),
    }[wrong]()
    trust(shell, authority)
    with tls_server(served_by(certificate)) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port, "https")
        done = shell("send", "hello")
    assert (done.status, heard) == (76, [b""])
    assert "is not trusted" in done.err
    assert "Nothing was posted" in done.err


TWO_ADDRESSES = """
import os, socket
real = socket.getaddrinfo
def both(host, port, *rest, **named):
    deaf = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(os.environ["DEAF_PORT"])))
    return [deaf, *real(host, port, *rest, **named)]
socket.getaddrinfo = both
"""


def test_a_second_address(shell: Shell, chat: Emulator) -> None:
    """If a host's first address does not answer, chatpost tries the second one within the same attempt."""
    (shell.home / "sitecustomize.py").write_text(TWO_ADDRESSES)
    with deaf_server() as port:
        shell.env |= {"PYTHONPATH": str(shell.home), "DEAF_PORT": str(port)}
        done = shell("send", "-v", "--timeout", "6", "--retries", "0", "hello")
    assert (done.status, len(chat.space().messages)) == (0, 1), done.err
    assert "attempt 1" in done.err


def _no_answer(_: socket.socket) -> None:
    """Close the connection at once."""


def _part_of_an_answer(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03")


def _internal_error(connection: socket.socket) -> None:
    connection.sendall(b"\x15\x03\x03\x00\x02\x02\x50")


@pytest.mark.parametrize("answer", [_no_answer, _part_of_an_answer, _internal_error])
def test_a_handshake_that_breaks_off(shell: Shell, answer: Callable[[socket.socket], None]) -> None:
    """If the TLS handshake breaks off, chatpost retries, then exits with 75, and nothing was posted."""
    with raw_server(answer) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port, "https")
        done = shell("send", "--retries", "1", "hello")
    assert (done.status, len(heard)) == (75, 2)
    assert "Nothing was posted" in done.err


@pytest.mark.parametrize("before", [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
def test_an_interim_answer(shell: Shell, before: bytes) -> None:
    """The client skips any number of interim answers (100, 102, 103) before the final one."""
    with raw_server(
        lambda connection: connection.sendall(before * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE_ANSWER)
    ) as (port, heard):
        shell.env["CHATPOST_URL"] = url_on(port)
        done = shell("send", "hello")
    assert (done.status, done.out, len(heard)) == (0, "spaces/AAAA/messages/T.M\n", 1), done.err


def test_the_machines_own_authorities(shell: Shell, authority: trustme.CA) -> None:
    """The client trusts authorities in a hashed directory or SSL_CERT_FILE. REQUESTS_CA_BUNDLE takes precedence."""
    directory = shell.home / "authorities"
    directory.mkdir()
    authority.cert_pem.write_to_path(str(directory / "ours.pem"))
    subprocess.run(["openssl", "rehash", directory], check=True, capture_output=True)
    with tls_server(served_by(authority.issue_cert("127.0.0.1"))) as (port, _):
        shell.env["CHATPOST_URL"] = url_on(port, "https")
        shell.env["SSL_CERT_DIR"] = f"/nowhere:{directory}"
        assert shell("send", "hello").status == 0
        del shell.env["SSL_CERT_DIR"]
        shell.env["SSL_CERT_FILE"] = str(directory / "ours.pem")
        assert shell("send", "hello").status == 0
        shell.env["SSL_CERT_FILE"] = "/nowhere/ca.pem"  # OpenSSL ignores a missing file
        assert shell("send", "hello").status == 76
        shell.env["SSL_CERT_FILE"] = str(directory / "ours.pem")
        trustme.CA().cert_pem.write_to_path(str(shell.home / "other.pem"))
        shell.env["REQUESTS_CA_BUNDLE"] = str(shell.home / "other.pem")
        assert shell("send", "hello").status == 76
