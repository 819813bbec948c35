"""Makes references to webhooks for messages in the outbox, and resolves them for a flush."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from chatpost.chat.webhook import Webhook
from chatpost.errors import ConfigurationError
from chatpost.outbox.model import OutboxMessage, WebhookReference
from chatpost.profiles.sources import find_sources, webhook_variable


def reference_to(webhook: Webhook, profile: str | None, config: Path | None) -> WebhookReference:
    """Return a reference, without secrets, to the webhook of a profile in the file ``config``."""
    path = None
    if config is not None:
        with suppress(OSError):  # the working directory may no longer exist; then neither does the file
            config = config.absolute()
        path = quote(os.fsencode(config))  # as ASCII: a path need not be UTF-8
    return WebhookReference(profile, path, webhook.fingerprint, f"{webhook.origin}/{webhook.space}")


class WebhookResolver:
    """Resolves the webhooks of messages in the outbox. Reads each profile once. Threads may share one."""

    def __init__(self, seconds: float, config: Path | None, environment: Mapping[str, str]) -> None:
        """``seconds`` is the timeout of a profile's command. ``config`` is the profile file, if one was named."""
        self._seconds = seconds
        self._config = config
        self._environment = environment
        self._found: dict[tuple[str | None, str | None], tuple[Webhook, bool] | ConfigurationError] = {}
        self._locks: defaultdict[tuple[str | None, str | None], threading.Lock] = defaultdict(threading.Lock)

    def resolve(self, message: OutboxMessage) -> tuple[Webhook, bool]:
        """Return the message's webhook, and whether its profile asks for digests.

        Raises `ConfigurationError` if the webhook no longer exists.
        """
        reference = message.webhook
        source = reference.profile, reference.config
        with self._locks[source]:
            if source not in self._found:
                self._found[source] = self._find(reference)
            found = self._found[source]
        if isinstance(found, ConfigurationError):
            raise found
        if found[0].fingerprint != reference.fingerprint:
            name = "CHATPOST_URL" if reference.profile is None else f"profile {reference.profile}"
            command = f"chatpost outbox retry {message.id} --profile NAME"
            raise ConfigurationError(f"{name} is a different webhook now: choose one with `{command}`")
        return found

    def _find(self, reference: WebhookReference) -> tuple[Webhook, bool] | ConfigurationError:
        config = self._config
        if reference.config is not None:
            own = os.fsdecode(unquote_to_bytes(reference.config))
            # A message of another machine may refer to a file that this machine does not have.
            config = Path(own) if os.path.isfile(own) else config  # noqa: PTH113 - pathlib's can raise
        names = () if reference.profile is None else (reference.profile,)
        try:
            if reference.profile is None and not self._environment.get(webhook_variable(self._environment) or ""):
                where = "CHATPOST_URL or CHATPOST_URL_FILE"
                return ConfigurationError(
                    f"the message is for the webhook in {where}: set the variable and flush again"
                )
            (source,) = find_sources(names, config, self._environment, lambda _: None)
            wants_digest = source.profile is not None and source.profile.defaults.get("digest") is True
            return source.fetch_webhook(self._seconds), wants_digest
        except ConfigurationError as error:
            return error
