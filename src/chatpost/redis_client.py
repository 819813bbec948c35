"""A fleet's Redis or Valkey, by redis-py: each call ends within its timeout, whatever the server does."""

from __future__ import annotations

import hashlib
import pkgutil
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from ssl import SSLCertVerificationError
from typing import Any, NamedTuple
from urllib.parse import unquote

from chatpost.concurrency import run_with_timeout
from chatpost.errors import ConfigurationError, StorageError

PREFIX = "chatpost:"  # of all keys

_SCHEMES = "redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:[0-9]{1,5})?"
_DATABASE = r"(/(?P<database>[0-9]{0,5}))?"
# For each kind of URL: the pattern of the part after scheme, user and password, and the form to show in errors.
_FORMS = {
    "": (rf"(?P<hosts>{_HOST}){_DATABASE}", "HOST[:PORT][/DATABASE]"),
    "cluster": (rf"(?P<hosts>{_HOST}(,{_HOST})*)/?", "HOST[:PORT],..."),
    "sentinel": (
        rf"(?P<hosts>{_HOST}(,{_HOST})*)/(?P<service>[^/?#@]+){_DATABASE}",
        "HOST[:PORT],.../SERVICE[/DATABASE]",
    ),
    "unix": ("/[^?#]+", "/PATH"),
}
_ECHO = b"chatpost"
_LONGEST_ANSWER = 64 * 1024 * 1024  # bytes; a full outbox in one space has fewer

# Reasons, by patterns of an error's name and text. A retry does not help against those of the first table.
_PERMANENT = {
    "Authentication.required": "it requires a password: add it to the Redis URL",
    "AuthenticationError|AuthenticationWrongNumber": "its user or password is wrong",
    "NoPermissionError|NOPERM": f"its user may not run scripts or use keys that begin with {PREFIX}",
    "WRONGTYPE": f"another program uses keys that begin with {PREFIX}",
    "MovedError": "it is part of a cluster: use a redis+cluster:// URL",
    "ImportError|ModuleNotFoundError": "redis-py is not installed: in a checkout, run pipx install --force '.[redis]'",
}
_TRANSIENT = {
    "OutOfMemoryError|-OOM": "it is full",
    "ReadOnlyError|READONLY": "it is a read-only replica",
    "BusyLoadingError": "it is loading its data",
    "MISCONF": "it cannot save its data",
    "MasterDownError": "its primary is down",
    "MasterNotFoundError": "its sentinels know no primary of this service: check the service's name",
    "ClusterDownError": "its cluster is down",
    "BUSY": "it is busy with a script",
    "LOST": "it has lost its messages",
    "Connection.closed.by.server": "the connection was closed",
    "InvalidResponse": "it does not speak the Redis protocol",
}


def load_script(package: str, name: str) -> str:
    """Return the Lua script in the file ``name`` of a package."""
    return (pkgutil.get_data(package, name) or b"").decode()


class RedisClient:
    """The Redis at a URL. Threads may share it.

    ``url`` has no user, password or options. ``failed_at`` is the monotonic time of the last call if that failed, else
    None. All calls raise `StorageError`, with ``maybe_done`` if the server may have run the command.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """Connect at the first call. A call takes at most ``timeout`` seconds, plus the import of redis-py.

        Raises `ConfigurationError`, which does not quote the URL, if the URL is invalid.
        """
        self._address = _parse(url.strip())
        self.url = self._address.shown
        self.failed_at: float | None = None
        self._timeout = timeout
        self._idle: list[_Connection] = []

    def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | bytes | float], limit: float = inf
    ) -> Any:
        """Run a script, which Redis executes atomically, in at most ``limit`` seconds; return its answer."""
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()  # its name in Redis's cache

        def evaluate(client: Any) -> Any:
            from redis.exceptions import NoScriptError

            try:
                return client.execute_command("EVALSHA", digest, len(keys), *keys, *arguments)
            except NoScriptError:
                return client.execute_command("EVAL", script, len(keys), *keys, *arguments)

        return self._ask(evaluate, limit)

    def call(self, *words: str | float, limit: float = inf) -> Any:
        """Run a command in at most ``limit`` seconds; return redis-py's answer."""
        return self._ask(lambda client: client.execute_command(*words), limit)

    def reject(self, answer: Any) -> StorageError:
        """Treat an invalid answer as a failure; return the error to raise."""
        return self._failure(f"it returned {str(answer)[:100]}")

    def _failure(self, reason: str, *, is_permanent: bool = False, maybe_done: bool = False) -> StorageError:
        self.failed_at = time.monotonic()
        return StorageError(self.url, reason, is_permanent=is_permanent, maybe_done=maybe_done)

    def _ask(self, question: Callable[[Any], Any], limit: float) -> Any:
        limit = min(limit, self._timeout)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _Connection(self._address, limit, self._timeout)
        try:
            import redis  # before the clock starts: the import may take longer than an answer

            answer = run_with_timeout(limit, partial(connection.ask, question))
        except Exception as error:  # noqa: BLE001 - no bug of redis-py may hold up a message
            connection.close()  # the next connection may reach another server, or a server with another password
            reason, is_permanent = _reason(error, connection, limit, self._address.secrets)
            maybe_done = connection.may_have_sent and not isinstance(error, redis.exceptions.ResponseError)
            raise self._failure(reason, is_permanent=is_permanent, maybe_done=maybe_done) from None
        self._idle.append(connection)
        self.failed_at = None
        return answer


class _Address(NamedTuple):
    """The parts of a URL. ``kind`` is ``unix``, ``sentinel``, ``cluster`` or empty; ``service`` is Sentinel's name.

    ``url`` is for redis-py: user, password, database, options and the first of the ``hosts``. ``shown`` has no secrets;
    ``secrets`` are user and password.
    """

    kind: str
    url: str
    hosts: tuple[str, ...]
    service: str
    shown: str
    secrets: tuple[str, ...]


def _parse(text: str) -> _Address:
    scheme = re.match(r"(?P<unix>unix)://|(?P<plain>rediss?)(\+(?P<kind>sentinel|cluster))?://", text)
    if scheme is None:
        raise ConfigurationError(f"the Redis URL does not begin with {_SCHEMES}")
    kind = scheme["unix"] or scheme["kind"] or ""
    form, written = _FORMS[kind]
    # The last @ ends the password. The options after the ? contain no @.
    found = re.fullmatch(rf"((?P<who>[^/?#\[\]]*)@)?(?P<where>{form})(?P<options>\?[^#@]*)?", text[scheme.end() :])
    if found is None:
        raise ConfigurationError(
            f"the Redis URL does not have the form {scheme[0]}[[USER]:PASSWORD@]{written};"
            " in a password, write %2F %3F %23 %40 %5B %5D for / ? # @ [ ]"
        )
    parts = found.groupdict(default="")
    hosts = tuple(parts.get("hosts", "").split(","))
    who = f"{parts['who']}@" if parts["who"] else ""
    first = parts["where"] if kind == "unix" else f"{hosts[0]}/{parts.get('database', '')}"
    url = f"{scheme['unix'] or scheme['plain']}://{who}{first}{parts['options']}"
    secrets = tuple(unquote(secret) for secret in parts["who"].split(":", 1) if secret)
    return _Address(kind, url, hosts, unquote(parts.get("service", "")), scheme[0] + parts["where"], secrets)


class _Connection:
    """A client of redis-py, for one call at a time; it sends nothing after `close`.

    ``is_met``: it has reached a server. ``may_have_sent``: the server was ready for a command.
    """

    def __init__(self, address: _Address, limit: float, timeout: float) -> None:
        self._address = address
        self._limit = limit
        self._timeout = timeout
        self._client: Any = None
        self._is_closed = False
        self.is_met = False
        self.may_have_sent = False

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Return the answer to a question; raises any exception of redis-py, and `TimeoutError`."""
        if self._client is None:
            self._client = self._make_client()
        if self._is_closed:  # while redis-py asked a cluster for its servers
            raise TimeoutError
        return question(self._client)

    def close(self) -> None:
        """Close it; a thread that waits for an answer gets an error."""
        self._is_closed = True
        if self._client is not None:
            self._client.close()

    def _make_client(self) -> Any:
        import redis as library

        redis: Any = library  # which has types for some of its functions
        kind, hosts, parse = self._address.kind, self._address.hosts, redis.connection.parse_url
        # Each server gets a share of the time, so that one unreachable server does not use it up.
        share = self._limit / (len(hosts) + (kind in {"sentinel", "cluster"}))
        # Not by `from_url`: there, the URL's options would override these.
        options = parse(self._address.url) | {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": share,
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            "protocol": 2,
            "decode_responses": False,
            "encoding": "utf-8",
            "parser_class": _bounded_parser(),
            "redis_connect_func": self._introduce,
        }
        if kind in {"", "unix"}:
            return redis.Redis.from_pool(redis.ConnectionPool(**options))
        options = {name: options[name] for name in options.keys() - {"host", "port"}}
        options["ssl"] = options.pop("connection_class", None) is not None
        servers = [{"host": "localhost"} | parse(f"redis://{host}") for host in hosts]
        if kind == "cluster":
            del options["parser_class"]  # it has one for its redirections
            nodes = [redis.cluster.ClusterNode(its["host"], its.get("port", 6379)) for its in servers]
            return redis.RedisCluster(startup_nodes=nodes, **options)
        not_theirs = {"username", "password", "db", "redis_connect_func", "parser_class"}  # not for Sentinel itself
        watchers = {name: options[name] for name in options.keys() - not_theirs} | {"socket_timeout": share}
        addresses = [(its["host"], its.get("port", 26379)) for its in servers]
        return redis.Sentinel(addresses, sentinel_kwargs=watchers, **options).master_for(self._address.service)

    def _introduce(self, connection: Any) -> None:
        """Log in on a new connection, and check that a Redis answers."""
        from redis.exceptions import InvalidResponse, TimeoutError as RedisTimeoutError

        self.is_met, self.may_have_sent = True, False
        if self._address.kind != "cluster":  # there, redis-py has already done so
            connection.lib_name = connection.lib_version = connection.driver_info = None  # saves two round trips
            connection.on_connect()
        connection.send_command("ECHO", _ECHO)
        if connection.read_response() != _ECHO:
            raise InvalidResponse
        self.may_have_sent = True
        if self._is_closed:
            raise RedisTimeoutError


def _bounded_parser() -> type[Any]:
    """Return redis-py's parser, which refuses an answer that is too large, before it allocates the memory."""
    from redis._parsers import _RESP2Parser  # the parser without native code
    from redis.exceptions import InvalidResponse

    class BoundedParser(_RESP2Parser):
        def on_connect(self, connection: Any) -> None:
            super().on_connect(connection)  # type: ignore[no-untyped-call]  # redis-py has no types for it
            buffer: Any = self._buffer
            read, fill = buffer.read, buffer._read_from_socket  # noqa: SLF001 - it has no public names

            def bounded_read(length: int, **more: Any) -> bytes:
                if length > _LONGEST_ANSWER:
                    raise InvalidResponse
                return read(length, **more)  # type: ignore[no-any-return]  # see above

            def bounded_fill(*args: Any, **more: Any) -> bool:
                if buffer._buffer.getbuffer().nbytes > 2 * _LONGEST_ANSWER:  # noqa: SLF001 - see above
                    raise InvalidResponse
                return fill(*args, **more)  # type: ignore[no-any-return]  # see above

            buffer.read, buffer._read_from_socket = bounded_read, bounded_fill  # noqa: SLF001 - see above

    return BoundedParser


def _reason(error: Exception, connection: _Connection, limit: float, secrets: Sequence[str]) -> tuple[str, bool]:
    """Return why no answer came within ``limit`` seconds, in words for the user, and whether that is permanent."""
    cause: BaseException | None = error
    while cause is not None:
        text = f"{type(cause).__name__} {cause}"
        for pattern, reason in (_PERMANENT | _TRANSIENT).items():
            if re.search(pattern, text):
                return reason, pattern in _PERMANENT
        if isinstance(cause, SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message.rstrip('.')}", True
        if type(cause).__name__ == "TimeoutError":
            return f"it did not answer within {limit:g} s", False
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower(), False
        if isinstance(cause, TypeError | ValueError) and not connection.is_met:
            return "redis-py rejects its URL, or an option in it", True
        cause = cause.__cause__ or cause.__context__
    if not type(error).__module__.startswith("redis"):
        return _TRANSIENT["InvalidResponse"], False
    from redis.exceptions import ResponseError

    said = str(error).rstrip(".")
    if any(secret in said for secret in secrets):  # a server may quote the command in its error
        said = said.partition(" ")[0]
    return f"it returned {said[:100]}" if isinstance(error, ResponseError) else said[:1].lower() + said[1:], False
