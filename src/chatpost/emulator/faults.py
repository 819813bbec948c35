"""Faults on demand, each for one of the next requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPEC = re.compile(
    r"(?P<kind>[a-z0-9-]+)(?:,retry-after=(?P<retry_after>[^*]+)|=(?P<seconds>[\d.]+))?(?:\*(?P<times>\d{1,12}))?"
)


MOST_TIMES = 100_000
"""Most requests that one ``--fault`` can hit."""


class Kind(Enum):
    """The kinds of faults."""

    NONE = "ok"
    STATUS = "status"
    DELAY = "delay"
    DROP_BEFORE = "drop-before"
    DROP_AFTER = "drop-after"
    TRUNCATE = "truncate"
    DRIP = "drip"


_BY_NAME = {kind.value: kind for kind in Kind if kind is not Kind.STATUS}


@dataclass(frozen=True)
class Fault:
    """One request's fault.

    ``STATUS`` answers with ``status``, ``headers`` and ``body`` (None: the service's own words) and stores
    nothing. ``DELAY`` stores, and answers after ``seconds``. ``DROP_BEFORE`` and ``DROP_AFTER`` close the
    connection before or after storing. ``TRUNCATE`` stores, and cuts the answer short; ``DRIP`` stores, and
    never ends its answer.
    """

    kind: Kind
    status: int = 0
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def answering(status: int, body: bytes | None = None, **headers: str) -> Fault:
    """Return a fault that answers with a status and stores nothing."""
    return Fault(
        Kind.STATUS, status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body
    )


def parse_faults(spec: str) -> list[Fault]:
    """Read the value of ``--fault``: a fault, once or ``*N`` times. Raises `ValueError` with a line for a person."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ValueError(_TEACH)
    kind, seconds, retry_after = match["kind"], match["seconds"], match["retry_after"]
    times = min(int(match["times"] or 1), MOST_TIMES)
    if re.fullmatch(r"[345]\d\d", kind) and seconds is None:
        headers = {"Retry-After": retry_after} if retry_after is not None else {}
        return [Fault(Kind.STATUS, int(kind), headers=headers)] * times
    if retry_after is None and (kind == "delay") == (seconds is not None):
        try:
            return [Fault(_BY_NAME[kind], seconds=float(seconds or 0))] * times
        except (KeyError, ValueError):
            pass
    raise ValueError(_TEACH)


_TEACH = (
    "a fault is one of: 503 (any status from 300 to 599), 429,retry-after=2, delay=1.5, drop-before, drop-after, "
    "truncate, drip, ok; add *N for N requests"
)
