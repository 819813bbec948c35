"""A fleet's Redis: where it is configured, and whether the outbox is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from chatpost.errors import ConfigurationError
from chatpost.profiles.sources import OUTBOX, URL, load_sharing

if TYPE_CHECKING:
    from chatpost.profiles.file import Sharing
    from chatpost.redis_client import RedisClient

_TIMEOUT = 5.0  # seconds that a program has to print the URL, and Redis to give an answer


class RedisConfig:
    """The Redis of a profile file's lines, and of the environment, which wins. Threads may share it.

    ``is_configured``: there is one. ``outbox``: where the outbox is, not checked yet. The URL is fetched once, at the
    first use.
    """

    def __init__(self, sharing: Sharing | None, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._url = environment.get(URL)
        self._source = sharing.store if sharing is not None and self._url is None else None
        self.outbox = environment.get(OUTBOX) or (sharing and sharing.outbox) or "machine"
        self._lock = Lock()
        self._client: RedisClient | ConfigurationError | None = None
        self.is_configured = self._source is not None or bool(self._url and self._url.strip())

    @classmethod
    def of_file(cls, config: Path | None, environment: Mapping[str, str]) -> RedisConfig:
        """Use the profile file ``config``, or the user's; raises `ConfigurationError`."""
        return cls(load_sharing(config, environment), environment)

    def has_outbox(self) -> bool:
        """Return whether the outbox is there; raises `ConfigurationError`."""
        if self.outbox not in {"store", "machine"}:
            raise ConfigurationError(f"{OUTBOX} is not store or machine")
        if self.outbox == "store" and not self.is_configured:
            raise ConfigurationError(
                f"the outbox is to be in the fleet's store, but there is none: set {URL}, or store in profiles.toml"
            )
        return self.outbox == "store"

    def client(self) -> RedisClient:
        """Return a client of the Redis, always the same one; raises `ConfigurationError`."""
        with self._lock:
            self._client = self._client or self._make_client()
        if isinstance(self._client, ConfigurationError):
            raise self._client
        return self._client

    def _make_client(self) -> RedisClient | ConfigurationError:
        from chatpost.redis_client import RedisClient  # few commands use a Redis

        try:
            url = self._url or "" if self._source is None else self._source.fetch(_TIMEOUT, self._environment)
            return RedisClient(url, _TIMEOUT)
        except ConfigurationError as error:
            return ConfigurationError(f"{URL if self._source is None else 'store'}: {error}")
