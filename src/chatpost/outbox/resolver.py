"""Finds the webhooks of messages in the outbox, for a flush."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError
from chatpost.outbox.rows import unpacked_path
from chatpost.outbox.spooler import fingerprint
from chatpost.profiles.sources import find_sources

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.chat.webhook import Webhook
    from chatpost.outbox.model import Entry


class WebhookResolver:
    """Finds the webhooks of messages in the outbox: each profile is read once."""

    def __init__(self, seconds: float, config: Path | None) -> None:
        """``seconds``: the time that a profile's command may take. ``config``: the profile file, if one is named."""
        self._seconds = seconds
        self._config = config
        self._found: dict[tuple[str | None, str | None], Webhook | ConfigurationError] = {}
        self._joining: set[tuple[str | None, str | None]] = set()
        self._locks: defaultdict[tuple[str | None, str | None], threading.Lock] = defaultdict(threading.Lock)

    def __call__(self, entry: Entry) -> Webhook:
        """Return the message's webhook; raises `ConfigurationError` if it is not there any more."""
        found = self._look_up(entry)
        if isinstance(found, ConfigurationError):
            raise found
        if fingerprint(found) != entry.fingerprint:
            name = "CHATPOST_URL" if entry.profile is None else f"profile {entry.profile}"
            msg = (
                f"{name} is another webhook now: `chatpost outbox retry {entry.id} --profile NAME` chooses its webhook"
            )
            raise ConfigurationError(msg)
        return found

    def joins(self, entry: Entry) -> bool:
        """Return whether the message's profile asks for digests."""
        self._look_up(entry)
        return (entry.profile, entry.config) in self._joining

    def _look_up(self, entry: Entry) -> Webhook | ConfigurationError:
        source = (entry.profile, entry.config)
        with self._locks[source]:
            if source not in self._found:
                self._found[source] = self._find(entry)
            return self._found[source]

    def _find(self, entry: Entry) -> Webhook | ConfigurationError:
        # A message of another machine may name a file that is not on this one.
        own = unpacked_path(entry.config) if entry.config else None
        config = own if own is not None and os.path.isfile(own) else self._config  # noqa: PTH113 - pathlib's can raise
        names = () if entry.profile is None else (entry.profile,)
        try:
            if entry.profile is None and not os.environ.get("CHATPOST_URL"):
                msg = "it was written for the webhook in CHATPOST_URL, which is not set: set it and flush again"
                return ConfigurationError(msg)
            (target,) = find_sources(names, config, os.environ, lambda _: None)
            if target.profile is not None and target.profile.defaults.get("digest") is True:
                self._joining.add((entry.profile, entry.config))
            return target.fetch_webhook(self._seconds)
        except ConfigurationError as error:
            return error
