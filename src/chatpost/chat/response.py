"""Maps HTTP answers other than a created message to errors.

Chat's errors are a ``google.rpc.Status`` as JSON, bare or wrapped in ``{"error": ...}``. A proxy can answer with
anything. Neither is trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus
from typing import Any, NamedTuple

from chatpost.errors import BrokenAnswer, DeliveryError, InvalidMessage, NotAllowed, ProtocolError, Refused, Unavailable
from chatpost.formatting import one_line

SUCCESSES = range(200, 300)
_REDIRECTS = range(300, 400)
_LONGEST_QUOTE = 300
_LONGEST_EXCERPT = 80
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_LONGEST_WAIT = 1e6  # seconds; threads and sleep fail for much longer waits
_UNSEEN_HTML = r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)|<[^>]*(>|\Z)"


class Answer(NamedTuple):
    """An HTTP answer. ``body`` is None if it is incomplete or too large."""

    code: int
    headers: Mapping[str, str]
    body: bytes | None


class Status(NamedTuple):
    """The valid parts of a ``google.rpc.Status``; ``retry_delay`` is in seconds."""

    status: str | None = None
    message: str | None = None
    reasons: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    retry_delay: float | None = None

    @classmethod
    def read(cls, body: bytes) -> Status:
        """Parse any bytes; missing or invalid parts are left out."""
        read: Any = {}
        with suppress(ValueError, RecursionError):
            read = json.loads(body)
        if isinstance(read, dict) and isinstance(read.get("error"), dict):
            read = read["error"]
        if not isinstance(read, dict):
            return cls()
        details = _dicts(read.get("details"))
        violations = [violation for detail in details for violation in _dicts(detail.get("fieldViolations"))]
        words = ((_text(violation.get("field")), _text(violation.get("description"))) for violation in violations)
        return cls(
            _text(read.get("status")),
            _text(read.get("message")),
            tuple(filter(None, (_text(detail.get("reason")) for detail in details))),
            tuple(filter(None, (": ".join(filter(None, pair)) for pair in words))),
            next(filter(None, (_duration(detail.get("retryDelay")) for detail in details)), None),
        )


def error_of_answer(answer: Answer, mask: Callable[[str], str], now: float) -> DeliveryError:
    """Return the error for an answer.

    ``mask`` removes secrets from quoted text; ``now`` is in seconds since the epoch: ``Retry-After`` can be a date.
    """
    if answer.code in SUCCESSES:
        what = "was cut short" if answer.body is None else "contains no message name"
        msg = f"Chat returned {answer.code}, but the response {what}"
        return BrokenAnswer(msg, code=answer.code, maybe_posted=True)
    status = Status.read(answer.body or b"")
    said = mask(_said(answer, status))
    kind, advice = _meaning(answer.code, status)
    return kind(
        f"{said}; {mask(advice)}" if advice else said,
        code=answer.code,
        status=None if status.status is None else mask(one_line(status.status, _LONGEST_EXCERPT)),
        retry_after=_retry_after(answer.headers.get("Retry-After"), now) or status.retry_delay,
        maybe_posted=answer.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        or answer.code in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.SWITCHING_PROTOCOLS},
    )


def _meaning(code: int, status: Status) -> tuple[type[DeliveryError], str]:
    """Return the class of the error, and advice."""
    copy = "copy the webhook's link from Chat again"
    match code:
        case 400 if "API_KEY_INVALID" in status.reasons:
            return NotAllowed, f"the key in the webhook URL is invalid: {copy}"
        case 400 | 413:
            return InvalidMessage, _invalid_part(status)
        case 401 | 403 if status.status or status.message:
            is_policy = "administrator" in (status.message or "").lower()
            ask = "incoming webhooks are not allowed: ask your Google Workspace administrator to allow them"
            return NotAllowed, ask if is_policy else f"the webhook's key or token is invalid: {copy}"
        case 401 | 403:
            return NotAllowed, f"the response may be from a proxy: check the network, or {copy}"
        case 404:
            return Refused, "the webhook, its space or the thread does not exist"
        case 407:
            return Unavailable, "the proxy requires authentication: add the user name and password to HTTPS_PROXY"
        case 429:
            return Unavailable, "a space accepts one message per second from all its webhooks together"
        case _ if code in _REDIRECTS:
            return ProtocolError, "Chat never redirects: check your network and proxy"
        case _ if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code == HTTPStatus.REQUEST_TIMEOUT:
            return Unavailable, ""
    return Refused, "retrying will not help"


def _invalid_part(status: Status) -> str:
    """Return what Chat found invalid: the fields that it names, else the thread or the message."""
    violations = one_line("; ".join(status.violations), _LONGEST_QUOTE)
    if re.search(r"(?i)thread.?(key|name|resource)|invalid thread|message\.thread", f"{status.message} {violations}"):
        advice = "the thread is invalid: check --thread and --thread-key"
        return f"{violations}; {advice}" if violations else advice
    return violations or "the message is invalid"


def _said(answer: Answer, status: Status) -> str:
    if status.status or status.message:
        name = f" {one_line(status.status, _LONGEST_EXCERPT)}" if status.status else ""
        words = f': "{one_line(status.message, _LONGEST_QUOTE)}"' if status.message else ""
        return f"Chat returned {answer.code}{name}{words}"
    if answer.code in _REDIRECTS:  # its page has no message
        return f"the server returned {answer.code}, a redirect"
    page = re.sub(_UNSEEN_HTML, " ", (answer.body or b"").decode(errors="replace"))
    excerpt = one_line(page, _LONGEST_EXCERPT)
    return f"the server returned {answer.code}" + (f', with a page that begins "{excerpt}"' if excerpt else "")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _duration(value: Any) -> float | None:
    """Parse a protobuf ``Duration``, such as ``1.5s``; return None for anything else."""
    if isinstance(value, str) and value.endswith("s") and _SECONDS.fullmatch(value[:-1]):
        return min(float(value[:-1]), _LONGEST_WAIT)
    return None


def _retry_after(value: str | None, now: float) -> float | None:
    """Parse ``Retry-After``, seconds or an HTTP date; return None for anything else, and for a date in the past."""
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), _LONGEST_WAIT)
    try:
        date = parsedate_tz(value)
        return None if date is None else min(max(0.0, mktime_tz(date) - now), _LONGEST_WAIT) or None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
