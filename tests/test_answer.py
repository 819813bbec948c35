from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from chatpost.chat.client import read_answer
from chatpost.chat.message import CreatedMessage
from chatpost.chat.response import Answer, Status
from chatpost.chat.webhook import Webhook
from chatpost.errors import DeliveryError, ExitStatus
from tests.conftest import KEY, TOKEN

NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "details", "code", "message"]), inner),
)


def read(code: int, body: Any = b"", **headers: str) -> CreatedMessage:
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return read_answer(Answer(code, {k.replace("_", "-"): v for k, v in headers.items()}, raw), str, NOW)


def failure(code: int, body: Any = b"", **headers: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        read(code, body, **headers)
    return raised.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": {"status": "INVALID_ARGUMENT", "message": "Invalid thread resource name"}},
            ": the thread is invalid",
        ),
        ({"status": "INVALID_ARGUMENT", "message": "Message cannot be empty"}, "; the message is invalid"),
    ],
)
def test_blames_what_is_invalid(body: Any, said: str) -> None:
    """A 400 about a thread blames the thread, any other the message."""
    assert said.strip(": ;") in str(failure(400, body))


def test_a_policy_of_the_administrator() -> None:
    """A 403 that names the administrator advises to ask them, not to copy the link again."""
    body = {"error": {"status": "PERMISSION_DENIED", "message": "Webhooks are disabled by your administrator."}}
    error = failure(403, body)
    assert error.exit_status == ExitStatus.NOT_ALLOWED
    assert "ask your Google Workspace administrator to allow them" in str(error)
    assert "copy" not in str(error)


def test_reads_a_created_message() -> None:
    """A success gives the message name and the thread name. Other fields are ignored."""
    body = {"name": "spaces/A/messages/T.M", "thread": {"name": "spaces/A/threads/T"}, "text": "x", "new": 1}
    assert read(200, body) == CreatedMessage("spaces/A/messages/T.M", "spaces/A/threads/T")


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        {},
        {"name": 1},
        {"name": "spaces/A/messages/T.M"},
        {"name": "spaces/A/messages/T.M", "thread": {}},
        {"name": "spaces/A/messages/\x1b[31m", "thread": {"name": "spaces/A/threads/T"}},
        {"name": "spaces/A/messages/T.M\nspaces/A/messages/T.N", "thread": {"name": "spaces/A/threads/T"}},
    ],
)
def test_a_success_that_names_no_message(body: Any) -> None:
    """A success without a message name is retryable, and the message may have been posted."""
    error = failure(200, body)
    assert (error.exit_status, error.retryable, error.maybe_posted) == (ExitStatus.PROTOCOL, True, True)


@pytest.mark.parametrize(
    ("code", "status", "retried", "maybe"),
    [
        (301, ExitStatus.PROTOCOL, False, False),
        (400, ExitStatus.DATA, False, False),
        (401, ExitStatus.NOT_ALLOWED, False, False),
        (403, ExitStatus.NOT_ALLOWED, False, False),
        (404, ExitStatus.REFUSED, False, False),
        (405, ExitStatus.REFUSED, False, False),
        (407, ExitStatus.TRY_LATER, True, False),
        (408, ExitStatus.TRY_LATER, True, True),
        (409, ExitStatus.REFUSED, False, False),
        (413, ExitStatus.DATA, False, False),
        (429, ExitStatus.TRY_LATER, True, False),
        (500, ExitStatus.TRY_LATER, True, True),
        (503, ExitStatus.TRY_LATER, True, True),
        (599, ExitStatus.TRY_LATER, True, True),
    ],
)
def test_what_a_status_means(code: int, status: ExitStatus, retried: bool, maybe: bool) -> None:  # noqa: FBT001 - a row of the table
    """Each HTTP status has an exit status, is transient or permanent, and says if the message may have been posted."""
    error = failure(code)
    assert (error.exit_status, error.retryable, error.maybe_posted) == (status, retried, maybe)
    assert error.code == code


@pytest.mark.parametrize("wrap", [lambda status: status, lambda status: {"error": status}])
def test_reads_a_status_bare_and_wrapped(wrap: Any) -> None:
    """The error quotes Chat's message, whether its Status is bare or wrapped."""
    error = failure(
        503, wrap({"code": 503, "message": "The service is currently unavailable.", "status": "UNAVAILABLE"})
    )
    assert str(error) == 'Chat returned 503 UNAVAILABLE: "The service is currently unavailable."'
    assert error.status == "UNAVAILABLE"


def test_a_rejection_that_is_not_of_chat() -> None:
    """A 403 with an HTML page may be from a proxy, so the error does not blame only the webhook."""
    page = b"<html><body>Blocked by policy</body></html>"
    assert 'that begins "Blocked by policy"; the response may be from a proxy' in str(failure(403, page))
    assert "the webhook's key or token is invalid" in str(failure(403, {"error": {"message": "Denied."}}))


def test_reads_details() -> None:
    """The error includes field violations. An invalid key is an error of the webhook, not of the message."""
    violations = {"fieldViolations": [{"field": "message.text", "description": "too odd"}]}
    assert "message.text: too odd" in str(failure(400, {"error": {"message": "Bad.", "details": [violations]}}))
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = failure(400, {"error": {"message": "API key not valid.", "details": [reason]}})
    assert error.exit_status == ExitStatus.NOT_ALLOWED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1", 1.0),
        ("600", 600.0),
        ("1.5", 1.5),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2010 08:00:30 GMT", None),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1e9", None),
        ("\u0661", None),
        ("Fri, 99 Jan 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    """Retry-After is a number of seconds or a future date. Other values are ignored."""
    assert failure(429, b"", Retry_After=header).retry_after == seconds


def test_retry_info() -> None:
    """A RetryInfo in the error details counts as a Retry-After; the header takes precedence."""
    body = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]}}
    assert failure(429, body).retry_after == 3.5
    assert failure(429, body, Retry_After="7").retry_after == 7


@given(st.text())
def test_reads_any_retry_after(header: str) -> None:
    """Any Retry-After gives a non-negative number of seconds, or None."""
    seconds = failure(503, b"", Retry_After=header).retry_after
    assert seconds is None or seconds >= 0


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_reads_any_status(body: bytes) -> None:
    """Any response body gives one printable line."""
    status = Status.read(body)
    assert status.message is None or status.message.strip()
    line = str(failure(500, body))
    assert line.isprintable()
    assert len(line) < 700


def test_a_page_is_quoted_harmlessly() -> None:
    """The error quotes only a short excerpt of a page, without markup, scripts or control characters."""
    page = b"<html><head><title>502 Bad\x1b[31m Gateway</title><script>alert('x')</script></head>" + b"<p>padding" * 50
    line = str(failure(502, page))
    assert line.startswith('the server returned 502, with a page that begins "502 Bad [31m Gateway padding')
    assert "alert" not in line
    assert len(line) < 150


def test_secrets_that_the_server_quotes_are_masked() -> None:
    """The error masks the key and token in the server's message."""
    webhook = Webhook.parse(f"https://chat.googleapis.com/v1/spaces/A/messages?key={KEY}&token={TOKEN}")
    body = {"error": {"status": KEY, "message": f"no {KEY}", "details": [{"fieldViolations": [{"field": TOKEN}]}]}}
    with pytest.raises(DeliveryError) as raised:
        read_answer(Answer(400, {}, json.dumps(body).encode()), webhook.mask, NOW)
    assert str(raised.value) == 'Chat returned 400 ***: "no ***"; ***'
    assert raised.value.status == "***"
