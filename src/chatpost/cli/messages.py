"""Sentences and JSON about a delivery."""

from __future__ import annotations

from typing import Any

from chatpost import errors
from chatpost.delivery.model import Delivery, Suppressed
from chatpost.delivery.sender import AttemptMade
from chatpost.formatting import format_time

TROUBLESHOOTING = "docs/troubleshooting.md"  # explains errors; after the first release, its address on the site


def describe_attempt(delivery: Delivery, attempt: AttemptMade) -> str:
    """Describe one attempt: the request and its outcome."""
    count, request = len(delivery.factories), delivery.progress.request
    part = f"part {attempt.part} of {count}, " if count > 1 else ""
    url = delivery.to.webhook.masked_url(request.parameters() if request else {})
    outcome = "posted" if attempt.error is None else str(attempt.error)
    line = f"{part}attempt {attempt.number}: POST {url}: {outcome} ({attempt.seconds:.2f} s)"
    return delivery.to.webhook.mask(line)


def describe_failure(delivery: Delivery, known: str | None, *, can_repeat: bool) -> str:
    """Say why a delivery failed, and the state of its message: ``known``, if given, else `describe_state`."""
    progress, known = delivery.progress, known or describe_state(delivery, can_repeat=can_repeat)
    why = f"; {progress.gave_up}" if progress.gave_up else ""
    error = str(progress.error).rstrip(".")
    return f"{error}{why}{see_also(progress.error)}. {known}"


def see_also(error: errors.ChatpostError | None) -> str:
    """Return a reference to the page about an error of the network, the webhook or the outbox, if it needs one."""
    text = str(error)
    if isinstance(error, errors.StorageError) or "the outbox" in text or "chatpost outbox" in text:
        section = "redis" if "://" in text else "outbox"
    elif isinstance(error, errors.NotAllowed | errors.Refused):
        section = "webhook"
    elif isinstance(error, errors.DeliveryError) and error.code in {None, 429}:
        section = "429" if error.code or isinstance(error, errors.SpaceBusy) else "network"
    else:
        return ""
    return f" (see {TROUBLESHOOTING}#{section})"


def describe_spooled(delivery: Delivery) -> str:
    """Say that the message was spooled, and why."""
    progress = delivery.progress
    why = f"{progress.gave_up}; " if progress.gave_up else ""
    stored = f"{why}stored in the outbox as message {progress.outbox_id}: run `chatpost outbox flush` to post it"
    if not progress.unattended:
        return stored
    advice = "run `chatpost outbox flush --quiet` every minute, from cron or a systemd timer"
    return f"{stored}. The outbox was not flushed in the last hour: {advice} (see docs/outbox.md#flush-the-outbox)"


def describe_suppressed(suppressed: Suppressed, now: float) -> str:
    """Describe a suppressed message; ``now`` is in seconds since the epoch."""
    when = format_time(suppressed.posted_at, now)
    count = "1 repeat" if suppressed.repeats == 1 else f"{suppressed.repeats:,} repeats"
    return f"suppressed: this message was already posted at {when} ({count} since then)"


def describe_state(delivery: Delivery, *, can_repeat: bool) -> str:
    """Say whether the message was posted, and if ``can_repeat``, how to retry without posting it twice."""
    progress, count, request_id = delivery.progress, len(delivery.factories), delivery.request_id
    if progress.outbox_id is not None:
        return f"The message is in the outbox as message {progress.outbox_id}: run `chatpost outbox flush` to post it"
    if count > 1 and (progress.posted or progress.maybe_posted):
        next_one = ", and the next one may have been" if progress.maybe_posted else ""
        known = f"Posted {progress.posted} of {count} parts{next_one}"
        again = f"; to post only the rest, send the same text again with --request-id {request_id}"
    elif progress.created is not None:
        return f"The message was posted: {progress.created.name}"
    elif progress.maybe_posted:
        likely = "was probably" if isinstance(progress.error, errors.BrokenAnswer) else "may have been"
        known = f"The message {likely} posted"
        again = f"; to retry without posting it twice, add --request-id {request_id}"
    else:
        return "Nothing was posted."
    return known + (again if can_repeat else ".")


def record(delivery: Delivery, known: str | None, *, can_repeat: bool) -> dict[str, Any]:
    """Return the delivery for `-o json`; ``known`` is as for `describe_failure`."""
    progress, created, asked = delivery.progress, delivery.progress.created, delivery.to.thread
    return {
        "profile": delivery.to.label,
        "name": created and created.name,
        "thread": {
            "name": created.thread_name if created else asked and asked.name,
            "threadKey": asked and asked.key,
        },
        "requestId": delivery.request_id,
        "outbox": progress.outbox_id,
        "parts": {"posted": progress.posted, "of": len(delivery.factories)},
        "attempts": progress.attempts,
        "suppressed": progress.suppressed is not None,
        "error": progress.error and _error(progress.error, describe_failure(delivery, known, can_repeat=can_repeat)),
    }


def failure_record(error: errors.ChatpostError) -> dict[str, Any]:
    """Return an error that was raised before there was a delivery, with the keys of `record`."""
    return {
        "profile": None,
        "name": None,
        "thread": {"name": None, "threadKey": None},
        "requestId": None,
        "outbox": None,
        "parts": {"posted": 0, "of": 0},
        "attempts": 0,
        "suppressed": False,
        "error": _error(error, str(error)),
    }


def _error(error: errors.ChatpostError, message: str) -> dict[str, Any]:
    code, status = (error.code, error.status) if isinstance(error, errors.DeliveryError) else (None, None)
    return {"exit": int(error.exit_status), "code": code, "status": status, "message": message}
