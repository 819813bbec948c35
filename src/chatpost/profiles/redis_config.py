"""A fleet's Redis: where it is configured, and whether the outbox is there."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError
from chatpost.profiles.sources import OUTBOX, URL, load_sharing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from chatpost.profiles.file import Sharing
    from chatpost.redis_client import RedisClient

_FETCHING = 5.0  # seconds that a program has to print the URL
_TIMEOUT = 5.0  # seconds for an answer without which nothing else can be done


class RedisConfig:
    """The Redis of a profile file's lines, and of the environment, which wins. Threads may share it.

    ``is_configured``: there is one. Its URL is fetched once, at the first use.
    """

    def __init__(self, sharing: Sharing | None, environment: Mapping[str, str]) -> None:
        self._sharing = sharing
        self._environment = environment
        self._lock = Lock()
        self._client: RedisClient | ConfigurationError | None = None
        url = environment.get(URL)
        self.is_configured = bool(url.strip()) if url is not None else sharing is not None and sharing.store is not None

    @classmethod
    def of_file(cls, config: Path | None, environment: Mapping[str, str]) -> RedisConfig:
        """Use the profile file ``config``, or the user's; raises `ConfigurationError`."""
        return cls(load_sharing(config, environment), environment)

    def has_outbox(self) -> bool:
        """Return whether the outbox is there; raises `ConfigurationError`."""
        where = self._environment.get(OUTBOX) or (self._sharing and self._sharing.outbox) or "machine"
        if where not in {"store", "machine"}:
            msg = f"{OUTBOX} is not store or machine"
            raise ConfigurationError(msg)
        if where == "store" and not self.is_configured:
            msg = f"the outbox is to be in the fleet's store, but there is none: set {URL}, or store in profiles.toml"
            raise ConfigurationError(msg)
        return where == "store"

    def client(self) -> RedisClient:
        """Return a client of the Redis, always the same one; raises `ConfigurationError`."""
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._make_client()
                except ConfigurationError as error:
                    self._client = error
        if isinstance(self._client, ConfigurationError):
            raise self._client
        return self._client

    def _make_client(self) -> RedisClient:
        from chatpost.redis_client import RedisClient  # few commands use a Redis

        url = self._environment.get(URL)
        where = "store" if url is None else URL
        try:
            if url is None and self._sharing is not None and self._sharing.store is not None:
                url = self._sharing.store.fetch(_FETCHING)
            return RedisClient(url or "", _TIMEOUT)
        except ConfigurationError as error:
            msg = f"{where}: {error}"
            raise ConfigurationError(msg) from None
