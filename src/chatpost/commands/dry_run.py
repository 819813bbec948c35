"""`--dry-run`: a sender whose client prints each request and sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

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
        """Print the request. Raises `DataError` for a card that Google's own types reject (extra ``emulator``)."""
        body = request.body()
        shown = {"profile": self.label, "method": "POST", "url": webhook.masked_url(request.parameters()), "body": body}
        write_data(as_json(shown, webhook.mask, indent=None if self.one_line else 2))
        if request.message.cards:
            try:
                from chatpost.emulator.contract import complaint  # Google's types take most of a second
            except ImportError:  # without the extra
                pass
            else:
                wrong = complaint(body, webhook.space)
                if wrong is not None:
                    raise DataError(f"Chat would reject this message: {wrong}")
        return CreatedMessage("", f"{webhook.space}/threads/THREAD-OF-THE-FIRST")


def dry_run(deliveries: Sequence[Delivery], options: OutputOptions, timing: Timing) -> None:
    """Print each request as JSON, without secrets: on one line with ``-o json``, else indented."""
    for delivery in deliveries:
        Sender(_Printer(delivery.to.label, options.output == "json"), None, timing, lambda *_: None).deliver(delivery)
