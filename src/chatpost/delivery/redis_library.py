"""Connections that Sentinel finds, to clusters, and with options: by redis-py, of which this is the only importer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    RedisError as LibraryError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel

from chatpost.delivery.redis_connection import RedisError

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
        except LibraryError as error:
            raise _translated(error) from None
        except (TypeError, ValueError):
            msg = "redis-py does not know an option of its URL"
            raise OSError(msg) from None

    def ask(self, *words: str | float) -> Any:
        """Return the answer to a command; raises `RedisError` or `OSError`."""
        try:
            return self._client.execute_command(*words)
        except (LibraryError, TypeError) as error:
            raise _translated(error) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(url: StoreUrl, timeout: float) -> Any:
    common: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    common |= {"retry": Retry(NoBackoff(), 0), "username": url.user or None, "password": url.password or None}
    tls: dict[str, Any] = {"ssl": True} if url.is_tls else {}
    if url.kind == "cluster":
        make_node: Any = ClusterNode
        nodes = [make_node(host, port) for host, port in url.hosts]
        return RedisCluster(startup_nodes=nodes, **common, **tls, **_options(url))
    if url.kind == "sentinel":
        watchers = {"socket_timeout": timeout, "socket_connect_timeout": timeout, **tls}
        make_sentinel: Any = Sentinel
        sentinel = make_sentinel(url.hosts, sentinel_kwargs=watchers, db=url.database, **common, **tls, **_options(url))
        return sentinel.master_for(url.service)
    if url.path:
        return Redis(unix_socket_path=url.path, db=url.database, **common, **_options(url))
    host, port = url.hosts[0]
    return Redis(host=host, port=port, db=url.database, **common, **tls, **_options(url))


def _options(url: StoreUrl) -> dict[str, Any]:
    """Return the options of the URL as redis-py reads them."""
    if not url.options:
        return {}
    query = "&".join(f"{name}={value}" for name, value in url.options.items())
    pool = ConnectionPool.from_url(f"redis://localhost?{query}")
    return {name: pool.connection_kwargs[name] for name in url.options}


def _translated(error: Exception) -> Exception:
    name = next((name for kind, name in _NAMES.items() if isinstance(error, kind)), None)
    if name is not None or isinstance(error, ResponseError):
        return RedisError(f"{name} {error}" if name else str(error))
    return OSError(str(error) or type(error).__name__)
