"""A Redis or Valkey that a fleet shares: it runs our scripts, each in one round trip, and never for long."""

from __future__ import annotations

import hashlib
import pkgutil
import time
from math import inf
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from chatpost.concurrency import run_with_timeout
from chatpost.delivery.redis_connection import RedisConnection, RedisError, UnusableUrl
from chatpost.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.delivery.store_url import StoreUrl

PREFIX = "chatpost:"
"""The beginning of all of our keys."""

_LASTING = {
    "NOAUTH": "it wants a password: put it into the store's URL",
    "WRONGPASS": "its user or password is wrong",
    "NOPERM": f"its user may not run scripts, or not use keys that begin with {PREFIX}",
    "WRONGTYPE": f"another program uses keys that begin with {PREFIX}",
    "MOVED": "it is a part of a cluster: begin its URL with redis+cluster://",
}
_PASSING = {
    "OOM": "it is full",
    "READONLY": "it is a replica, which takes no writes",
    "LOADING": "it is loading its data",
    "MISCONF": "it cannot save its data",
    "MASTERDOWN": "its primary is away",
    "CLUSTERDOWN": "its cluster is down",
    "BUSY": "it is busy with a script",
    "LOST": "it has lost its messages",
}


class Script(NamedTuple):
    """A script in Lua, and its SHA-1 in hexadecimal digits, by which Redis remembers it."""

    text: str
    digest: str

    @classmethod
    def of(cls, text: str) -> Script:
        """Return a script by its text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def load(cls, name: str) -> Script:
        """Read a script of pacing."""
        return cls.of((pkgutil.get_data("chatpost.pacing", name) or b"").decode())


class _Connection(Protocol):
    def ask(self, *words: str | float) -> Any: ...

    def is_open(self) -> bool: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class RedisServer:
    """The Redis at a URL, whose every answer comes within ``timeout`` seconds. Threads may share it.

    All calls raise `StorageError`. ``failed_at`` is the monotonic time of the last call if that has failed.
    """

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        self.url = url
        self.failed_at: float | None = None
        self._timeout = timeout
        self._idle: list[_Connection] = []

    def run(self, script: Script, keys: tuple[str, ...], arguments: Sequence[str | float], limit: float = inf) -> Any:
        """Run a script, which Redis does all at once; return its answer, at the latest after ``limit`` seconds."""
        rest = (len(keys), *keys, *arguments)
        try:
            return self._ask(("EVALSHA", script.digest, *rest), limit)
        except RedisError as error:
            if not _is_unknown_script(error):
                raise self._failure(error) from None
        return self.call("EVAL", script.text, *rest, limit=limit)

    def call(self, *words: str | float, limit: float = inf) -> Any:
        """Return the answer to a command."""
        try:
            return self._ask(words, limit)
        except RedisError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _failure(self, error: RedisError) -> StorageError:
        self.failed_at = time.monotonic()
        name, answer = str(error).partition(" ")[0], str(error)
        if "unauthenticated" in answer:  # it takes no long command before a password
            name = "NOAUTH"
        reason = _LASTING.get(name) or _PASSING.get(name, f"it answered {answer[:100]}")
        return StorageError(self.url, reason, is_permanent=name in _LASTING)

    def _ask(self, words: Sequence[str | float], limit: float) -> Any:
        """Return the answer to a command; raises `RedisError`, or `StorageError` if none comes."""
        limit = min(limit, self._timeout)
        used: list[_Connection] = []
        is_over = False

        def ask() -> Any:
            connection = self._idle_connection() or connect(self.url, limit)
            if is_over:  # it has been said that nothing was sent
                connection.close()
                raise TimeoutError
            used.append(connection)
            try:
                answer = connection.ask(*words)
            except BaseException as error:
                # Whatever else it is: another server may answer the next one, or take another password.
                if isinstance(error, RedisError) and _is_unknown_script(error):
                    self._idle.append(connection)
                else:
                    connection.close()
                raise
            self._idle.append(connection)
            return answer

        try:
            connect = self._connection_type()
            answer = run_with_timeout(limit, ask)
        except RedisError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: a message must not wait for it
            is_over = True
            for connection in used:
                connection.abort()
            self.failed_at = time.monotonic()
            reason, is_lasting = _reason_of(error, limit)
            raise StorageError(self.url, reason, is_permanent=is_lasting, maybe_done=bool(used)) from None
        self.failed_at = None
        return answer

    def _idle_connection(self) -> _Connection | None:
        """Return a connection that is not in use; the server may have closed some of them."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open():
                return connection
            connection.close()
        return None

    def _connection_type(self) -> Callable[[StoreUrl, float], _Connection]:
        if self.url.kind == "server" and not self.url.options:
            return RedisConnection
        from chatpost.delivery.redis_library import LibraryConnection  # takes half the time of a send

        return LibraryConnection


def _is_unknown_script(error: RedisError) -> bool:
    return str(error).startswith("NOSCRIPT")


def _reason_of(error: Exception, limit: float) -> tuple[str, bool]:
    """Return the reason, for a person, why no answer came within so many seconds, and whether that will last."""
    if isinstance(error, TimeoutError):
        return f"it does not answer within {limit:g} s", False
    if isinstance(error, ImportError):
        return "such a URL needs redis-py: pipx install --force 'chatpost-cli[redis]'", True
    if isinstance(error, SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message.rstrip('.')}", True
    reason = (getattr(error, "strerror", None) or "").lower() or str(error) or type(error).__name__
    return reason, isinstance(error, UnusableUrl)
