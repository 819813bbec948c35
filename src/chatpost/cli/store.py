"""A fleet's store: where it is configured, and what is kept there."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chatpost.delivery.redis_server import RedisServer
    from chatpost.delivery.store_url import StoreUrl
    from chatpost.outbox.model import Outbox
    from chatpost.profiles.file import Sharing
    from chatpost.profiles.sources import WebhookSource

URL = "CHATPOST_STORE"
"""The variable with the URL; empty for no store."""

OUTBOX = "CHATPOST_OUTBOX"
"""The variable that says where messages are kept."""

_FETCHING = 5.0  # seconds that a program has to print the URL
_TIMEOUT = 5.0  # seconds for an answer, if nothing else can be done without it


class Store:
    """The store that the environment and the profile file configure, if any. Its URL is fetched once, when needed."""

    def __init__(self, sharing: Sharing | None) -> None:
        self._sharing = sharing
        self._lock = Lock()
        self._server: RedisServer | ConfigurationError | None = None

    @classmethod
    def of_file(cls, config: Path | None) -> Store:
        """Return the store that the profile file names, if the environment leaves anything open.

        Raises `ConfigurationError`.
        """
        if os.environ.get(URL) is not None and os.environ.get(OUTBOX) is not None:
            return cls(None)
        from chatpost.directories import find_profile_file

        path = find_profile_file(config)
        if path is None:
            return cls(None)
        from chatpost.profiles.file import load_profiles  # reads TOML

        file = load_profiles(path)
        if error := file.permission_error():  # it could name a program
            raise ConfigurationError(error)
        return cls(file.sharing)

    @classmethod
    def of_targets(cls, targets: Sequence[WebhookSource], config: Path | None, warn: Callable[[str], None]) -> Store:
        """Return the store that the file of the targets' profiles names, else the one that the user's names."""
        profile = next((target.profile for target in targets if target.profile is not None), None)
        if profile is not None:
            return cls(profile.sharing)
        try:
            return cls.of_file(config)
        except ConfigurationError as error:  # the message needs no profile
            warn(f"a store in the profile file is not used: {error}")
            return cls(None)

    @property
    def is_configured(self) -> bool:
        """Whether there is one."""
        url = os.environ.get(URL)
        return bool(url.strip()) if url is not None else self._sharing is not None and self._sharing.store is not None

    def has_outbox(self) -> bool:
        """Return whether messages are kept there; raises `ConfigurationError`."""
        where = os.environ.get(OUTBOX) or (self._sharing.outbox if self._sharing is not None else None) or "machine"
        if where not in {"store", "machine"}:
            msg = f"{OUTBOX} is not store or machine"
            raise ConfigurationError(msg)
        if where == "store" and not self.is_configured:
            msg = f"the outbox is to be in the fleet's store, but there is none: set {URL}, or store in profiles.toml"
            raise ConfigurationError(msg)
        return where == "store"

    def outbox(self) -> Outbox:
        """Return the outbox there, or the user's own on this machine; raises `ConfigurationError`, `StorageError`."""
        from chatpost.outbox import open_outbox  # few messages are spooled

        return open_outbox(self.server() if self.has_outbox() else None)

    def server(self) -> RedisServer:
        """Return the Redis; raises `ConfigurationError`. Threads may share it."""
        from chatpost.delivery.redis_server import RedisServer

        with self._lock:
            if self._server is None:
                try:
                    self._server = RedisServer(self._url(), _TIMEOUT)
                except ConfigurationError as error:
                    self._server = error
        if isinstance(self._server, ConfigurationError):
            raise self._server
        return self._server

    def _url(self) -> StoreUrl:
        from chatpost.delivery.store_url import StoreUrl

        url = os.environ.get(URL)
        where = "store" if url is None else URL
        try:
            if url is None and self._sharing is not None and self._sharing.store is not None:
                url = self._sharing.store.fetch(_FETCHING)
            return StoreUrl.parse(url or "")
        except ConfigurationError as error:
            msg = f"{where}: {error}"
            raise ConfigurationError(msg) from None
