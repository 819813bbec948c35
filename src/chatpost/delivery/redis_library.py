"""Connections that Sentinel finds, to clusters, and with options: by redis-py, of which this is the only importer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from chatpost.delivery.redis_connection import RedisError, UnusableUrl

if TYPE_CHECKING:
    from chatpost.delivery.store_url import StoreUrl

# Redis's own names of errors, which redis-py takes off.
_NAMES = {
    AuthenticationError: "WRONGPASS",
    BusyLoadingError: "LOADING",
    NoPermissionError: "NOPERM",
    NoScriptError: "NOSCRIPT",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}


class LibraryConnection:
    """Sends commands by redis-py. It has the methods of a `chatpost.delivery.redis_connection.RedisConnection`."""

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        try:
            self._client = _client(url, timeout)
        except (TypeError, ValueError):
            msg = "redis-py cannot use an option of its URL"
            raise UnusableUrl(msg) from None
        except Exception as error:  # noqa: BLE001 - whatever it is: a message must not wait for it
            raise _translated(error) from None

    def ask(self, *words: str | float) -> Any:
        """Return the answer to a command; raises `RedisError` or `OSError`."""
        try:
            return self._client.execute_command(*words)
        except Exception as error:  # noqa: BLE001 - as above
            raise _translated(error) from None

    def is_open(self) -> bool:
        """Return True: redis-py looks at its connections by itself."""
        return True

    def abort(self) -> None:
        """Do nothing: redis-py's own time-out ends the wait."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(url: StoreUrl, timeout: float) -> Any:
    ours: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "decode_responses": False,
        "encoding": "utf-8",
    }
    ours |= {"retry": Retry(NoBackoff(), 0)} | ({"ssl": True} if url.is_tls else {})
    who = {"username": url.user or None, "password": url.password or None}
    options = {name: value for name, value in who.items() if value} | _options(url) | ours
    if url.kind == "cluster":
        make_node: Any = ClusterNode
        return RedisCluster(startup_nodes=[make_node(host, port) for host, port in url.hosts], **options)
    if url.kind == "sentinel":
        make_sentinel: Any = Sentinel
        # Each of them has a share of the time, so that one that is away does not use it up.
        share = timeout / (len(url.hosts) + 1)
        watchers = {name: value for name, value in options.items() if name not in {"username", "password"}}
        watchers |= {"socket_timeout": share, "socket_connect_timeout": share}
        sentinel = make_sentinel(url.hosts, sentinel_kwargs=watchers, db=url.database, **options)
        return sentinel.master_for(url.service)
    if url.path:
        return Redis(unix_socket_path=url.path, db=url.database, **options)
    host, port = url.hosts[0]
    return Redis(host=host, port=port, db=url.database, **options)


def _options(url: StoreUrl) -> dict[str, Any]:
    """Return the options of the URL as redis-py reads them."""
    if not url.options:
        return {}
    pool = ConnectionPool.from_url(f"redis://localhost?{urlencode(url.options)}")
    return {name: value for name, value in pool.connection_kwargs.items() if name in url.options}


def _translated(error: Exception) -> Exception:
    name = next((name for kind, name in _NAMES.items() if isinstance(error, kind)), None)
    if name is not None or isinstance(error, ResponseError):
        return RedisError(f"{name} {error}" if name else str(error))
    if isinstance(error, MasterNotFoundError):
        return OSError("its sentinels know no primary of this service: check the service's name")
    return OSError(str(error).rstrip(".") or type(error).__name__)
