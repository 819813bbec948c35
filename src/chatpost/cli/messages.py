"""Describes a delivery: in sentences for a person, and as a JSON record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatpost.errors import BrokenAnswer, ChatpostError, DeliveryError

if TYPE_CHECKING:
    from chatpost.delivery.model import Delivery
    from chatpost.delivery.sender import AttemptMade


def label(delivery: Delivery) -> str:
    """Return the prefix of a sentence about the delivery: its profile, if it has one."""
    return f"{delivery.to.label}: " if delivery.to.label else ""


def attempt_made(delivery: Delivery, attempt: AttemptMade) -> str:
    """Describe one attempt: the request and its outcome."""
    count, request = len(delivery.factories), delivery.progress.request
    part = f"part {attempt.part} of {count}, " if count > 1 else ""
    url = delivery.to.webhook.masked_url(request.parameters() if request else {})
    outcome = "posted" if attempt.error is None else str(attempt.error)
    told = f"{part}attempt {attempt.number}: POST {url}: {outcome} ({attempt.seconds:.2f} s)"
    return delivery.to.webhook.mask(told)


def what_went_wrong(delivery: Delivery, known: str) -> str:
    """Say why a delivery failed, and what is ``known`` of it."""
    progress = delivery.progress
    what = f"{progress.error}; {progress.gave_up}" if progress.gave_up else f"{progress.error}"
    return f"{what}. {known}"


def what_is_kept(delivery: Delivery) -> str:
    """Say that the message is in the outbox, and why."""
    progress = delivery.progress
    why = f"{progress.gave_up}; " if progress.gave_up else ""
    return f"{why}kept in the outbox as {progress.kept}: `chatpost outbox flush` posts it"


def what_is_known(delivery: Delivery, *, can_repeat: bool) -> str:
    """Say whether the message is in the space, and if it can be repeated, how to do so without posting it twice."""
    progress, count, request_id = delivery.progress, len(delivery.factories), delivery.request_id
    if progress.kept is not None:
        return f"The message is kept in the outbox as {progress.kept}: `chatpost outbox flush` posts it"
    if count > 1 and (progress.posted or progress.maybe_posted):
        known = f"{progress.posted} of {count} parts are posted"
        if progress.maybe_posted:
            known += ", and the next may be"
        if not can_repeat:
            return f"{known}."
        return f"{known}; to post only the rest, send the same text again with --request-id {request_id}"
    if progress.created is not None:
        return f"The message was posted: {progress.created.name}"
    if not progress.maybe_posted:
        return "Nothing was posted."
    likely = "was probably" if isinstance(progress.error, BrokenAnswer) else "may have been"
    if not can_repeat:
        return f"The message {likely} posted."
    return f"The message {likely} posted; to try again without posting it twice, add --request-id {request_id}"


def record(delivery: Delivery, known: str) -> dict[str, Any]:
    """Return the delivery as `-o json` shows it; ``known`` is as for `what_went_wrong`."""
    progress, asked = delivery.progress, delivery.to.thread
    return {
        "profile": delivery.to.label,
        "name": progress.created.name if progress.created else None,
        "thread": {
            "name": progress.created.thread_name if progress.created else asked and asked.name,
            "threadKey": asked and asked.key,
        },
        "requestId": delivery.request_id,
        "outbox": progress.kept,
        "parts": {"posted": progress.posted, "of": len(delivery.factories)},
        "attempts": progress.attempts,
        "error": None if progress.error is None else _error(progress.error, what_went_wrong(delivery, known)),
    }


def failure_record(error: ChatpostError) -> dict[str, Any]:
    """Return, with the keys of `record`, an error that came before there was a delivery."""
    return {
        "profile": None,
        "name": None,
        "thread": {"name": None, "threadKey": None},
        "requestId": None,
        "outbox": None,
        "parts": {"posted": 0, "of": 0},
        "attempts": 0,
        "error": _error(error, str(error)),
    }


def _error(error: ChatpostError, message: str) -> dict[str, Any]:
    answered = error if isinstance(error, DeliveryError) else None
    return {
        "exit": int(error.exit_status),
        "code": answered.code if answered else None,
        "status": answered.status if answered else None,
        "message": message,
    }
