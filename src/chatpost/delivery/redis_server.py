"""A Redis or Valkey that a fleet shares: it runs our scripts, each in one round trip, and never for long."""

from __future__ import annotations

import hashlib
import pkgutil
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from chatpost.delivery.redis_connection import RedisConnection, RedisError
from chatpost.errors import StorageError
from chatpost.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.delivery.store_url import StoreUrl

PREFIX = "chatpost:"
"""The beginning of all of our keys."""

_REASONS = {
    "NOAUTH": "it wants a password: put it into the store's URL",
    "WRONGPASS": "its user or password is wrong",
    "NOPERM": f"its user may not run scripts, or not use keys that begin with {PREFIX}",
    "OOM": "it is full",
    "READONLY": "it is a replica, which takes no writes",
    "LOADING": "it is loading its data",
    "MISCONF": "it cannot save its data",
    "WRONGTYPE": f"another program uses keys that begin with {PREFIX}",
    "MASTERDOWN": "its primary is away",
    "CLUSTERDOWN": "its cluster is down",
    "MOVED": "it is a part of a cluster: begin its URL with redis+cluster://",
}


class Script(NamedTuple):
    """A script in Lua, and its SHA-1 in hexadecimal digits, by which Redis remembers it."""

    text: str
    digest: str

    @classmethod
    def load(cls, name: str) -> Script:
        """Read a script of this package."""
        text = pkgutil.get_data("chatpost.delivery", name) or b""
        return cls(text.decode(), hashlib.sha1(text, usedforsecurity=False).hexdigest())


class _Connection(Protocol):
    def ask(self, *words: str | float) -> Any: ...

    def close(self) -> None: ...


class RedisServer:
    """The Redis at a URL, whose every answer comes within ``timeout`` seconds. Threads may share it.

    All calls raise `StorageError`.
    """

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        self.url = url
        self._timeout = timeout
        self._idle: list[_Connection] = []

    def run(self, script: Script, keys: tuple[str, ...], *arguments: str | float) -> Any:
        """Run a script, which Redis does all at once; return its answer."""
        try:
            return self._ask("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except RedisError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise self._failure(error) from None
        return self.call("EVAL", script.text, len(keys), *keys, *arguments)

    def call(self, *words: str | float) -> Any:
        """Return the answer to a command."""
        try:
            return self._ask(*words)
        except RedisError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _failure(self, error: RedisError) -> StorageError:
        name, answer = str(error).partition(" ")[0], str(error)
        if "unauthenticated" in answer:  # it takes no long command before a password
            name = "NOAUTH"
        if self.url.password:  # an answer may quote the command
            answer = answer.replace(self.url.password, "***")
        return StorageError(self.url, _REASONS.get(name, f"it answered {answer[:100]}"))

    def _ask(self, *words: str | float) -> Any:
        is_sent = False

        def ask() -> Any:
            nonlocal is_sent
            connection = self._idle.pop() if self._idle else connect(self.url, self._timeout)
            is_sent = True
            try:
                answer = connection.ask(*words)
            except RedisError:
                self._idle.append(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return answer

        try:
            connect = self._connection_type()
            return within(self._timeout, ask)
        except TimeoutError:
            reason = f"it does not answer within {self._timeout:g} s"
        except ImportError:
            reason = "such a URL needs redis-py: pipx install --force 'chatpost-cli[redis]'"
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "").lower() or str(error) or type(error).__name__
        raise StorageError(self.url, reason, maybe_done=is_sent)

    def _connection_type(self) -> Callable[[StoreUrl, float], _Connection]:
        if self.url.kind == "server" and not self.url.options:
            return RedisConnection
        from chatpost.delivery.redis_library import LibraryConnection  # takes half the time of a send

        return LibraryConnection
