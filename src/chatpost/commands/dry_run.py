"""`--dry-run`: the way of every message, with a client that prints the request and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from chatpost.chat.message import CreatedMessage, CreateMessageRequest
from chatpost.chat.webhook import Webhook
from chatpost.cli.console import as_json, write_data
from chatpost.cli.options import OutputOptions
from chatpost.delivery.model import Delivery
from chatpost.delivery.sender import Sender, Timing
from chatpost.errors import DataError


class _Printer(NamedTuple):
    label: str | None
    one_line: bool

    def create_message(
        self, webhook: Webhook, request: CreateMessageRequest, _timeout: float, _on_sending: Callable[[], None]
    ) -> CreatedMessage:
        shown: dict[str, Any] = {
            "profile": self.label,
            "method": "POST",
            "url": webhook.masked_url(request.parameters()),
            "body": request.body(),
        }
        write_data(as_json(shown, webhook.mask, indent=None if self.one_line else 2))
        if request.message.cards:
            _check(shown["body"], webhook.space)
        return CreatedMessage("", f"{webhook.space}/threads/THREAD-OF-THE-FIRST")


def _check(body: Mapping[str, Any], space: str) -> None:
    """Raise `DataError` if Google's own types do not accept a message. Without the extra ``emulator``, accept it."""
    try:
        from chatpost.emulator.contract import complaint  # Google's types take most of a second
    except ImportError:
        return
    wrong = complaint(body, space)
    if wrong is not None:
        raise DataError(f"Chat would reject this message: {wrong}")


def dry_run(deliveries: Sequence[Delivery], options: OutputOptions, timing: Timing) -> None:
    """Print each request as JSON, secrets masked: on one line with ``-o json``, else on several."""
    for delivery in deliveries:
        printer = _Printer(delivery.to.label, one_line=options.output == "json")
        Sender(printer, None, timing, lambda *_: None).deliver(delivery)
