"""Faults to inject, one per request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from chatpost.formatting import parse_duration

_SPEC = re.compile(
    r"(?:(?P<status>[345]\d\d)(?:,retry-after=(?P<retry_after>[^*]+))?|delay=(?P<delay>[^*]+)"
    r"|(?P<kind>ok|drop-before|drop-after|truncate|drip))(?:\*(?P<times>\d{1,12}))?"
)
_MOST_TIMES = 100_000


class Kind(Enum):
    """The kinds of faults."""

    NONE = "ok"
    STATUS = "status"
    DELAY = "delay"
    DROP_BEFORE = "drop-before"
    DROP_AFTER = "drop-after"
    TRUNCATE = "truncate"
    DRIP = "drip"


@dataclass(frozen=True)
class Fault:
    """The fault of one request.

    ``STATUS`` answers with ``status``, ``headers`` and ``body`` (None: a Chat error), and stores nothing. ``DELAY``
    stores the message, and answers after ``seconds``. ``DROP_BEFORE`` and ``DROP_AFTER`` close the connection before
    or after storing it. ``TRUNCATE`` stores it, and cuts the answer short; ``DRIP`` stores it, and never ends its
    answer.
    """

    kind: Kind
    status: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def parse_faults(spec: str) -> list[Fault]:
    """Parse the value of ``--fault``: a fault, ``*N`` times. Raises `ValueError` with an error message for users."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ValueError(
            "a fault is one of: 503 (any status from 300 to 599), 429,retry-after=2, delay=1.5s, drop-before, "
            "drop-after, truncate, drip, ok; add *N for N requests"
        )
    if match["status"]:
        headers = {"Retry-After": match["retry_after"]} if match["retry_after"] else {}
        fault = Fault(Kind.STATUS, int(match["status"]), headers=headers)
    else:
        fault = Fault(Kind(match["kind"] or "delay"), seconds=parse_duration(match["delay"] or "0"))
    return [fault] * min(int(match["times"] or 1), _MOST_TIMES)
