"""`--dry-run`: the way of every message, with a client that prints the request and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import CreatedMessage
from chatpost.cli.console import as_json, write_data
from chatpost.commands.sending import TIMING
from chatpost.delivery.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.chat.message import CreateMessageRequest
    from chatpost.chat.webhook import Webhook
    from chatpost.cli.delivery_options import OutputOptions
    from chatpost.delivery.model import Delivery


class _Printer(NamedTuple):
    label: str | None
    one_line: bool

    def create_message(
        self, webhook: Webhook, request: CreateMessageRequest, _timeout: float, _on_sending: Callable[[], None]
    ) -> CreatedMessage:
        shown = {
            "profile": self.label,
            "method": "POST",
            "url": webhook.masked_url(request.parameters()),
            "body": request.body(),
        }
        write_data(as_json(shown, webhook.mask, indent=None if self.one_line else 2))
        return CreatedMessage("", f"{webhook.space}/threads/THREAD-OF-THE-FIRST")


def dry_run(deliveries: Sequence[Delivery], options: OutputOptions) -> None:
    """Print each request as JSON, secrets masked: on one line with ``-o json``, else on several."""
    for delivery in deliveries:
        printer = _Printer(delivery.to.label, one_line=options.output == "json")
        Sender(printer, None, TIMING, lambda *_: None).deliver(delivery)
