"""A connection to one Redis server: Redis's own protocol, as far as scripts need it.

redis-py speaks it too, but its import takes half the CPU time of a send. It is used where more is needed.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from io import BufferedReader

    from chatpost.delivery.store_url import StoreUrl


_NOT_REDIS = "it does not speak Redis's protocol"
_ECHO = "chatpost"
_LONGEST_LINE = 64 * 1024
_DEEPEST = 8


class RedisError(Exception):
    """The server's answer to a command is an error."""


class UnusableUrl(OSError):
    """Something in the URL cannot be used."""


class RedisConnection:
    """Sends commands and reads their answers. Raises `OSError`, and `ssl.SSLError`, if the server is away."""

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        """``timeout`` is in seconds, for each wait."""
        self._socket = _connected(url, timeout)
        self._answers: BufferedReader = self._socket.makefile("rb")
        self._first: list[tuple[str, ...]] = []
        if url.password:
            self._first.append(("AUTH", *filter(None, (url.user,)), url.password))
        if url.database:
            self._first.append(("SELECT", str(url.database)))
        self._first.append(("ECHO", _ECHO))

    def ask(self, *words: str | float) -> Any:
        """Return the answer to a command: bytes, an int, None, or a list of these; raises `RedisError`."""
        while self._first:
            self._introduce(self._first.pop(0))
        return self._ask(words)

    def is_open(self) -> bool:
        """Return whether the server has not closed the connection; nothing is under way on it."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        """Let a thread that waits for an answer fail."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    def _introduce(self, words: tuple[str, ...]) -> None:
        try:
            if self._ask(words) != (b"OK" if words[0] != "ECHO" else _ECHO.encode()):
                raise ConnectionAbortedError(_NOT_REDIS)
        except RedisError as error:
            # The server may quote the password.
            msg = f"{str(error).partition(' ')[0]} {words[0]} is refused"
            raise RedisError(msg) from None

    def _ask(self, words: tuple[str | float, ...]) -> Any:
        self._socket.sendall(_encoded(words))
        try:
            answer = self._read()
        except (ValueError, OverflowError, MemoryError):  # a length that is no number, or too great
            raise ConnectionAbortedError(_NOT_REDIS) from None
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def _read(self, depth: int = 0) -> Any:
        line = self._answers.readline(_LONGEST_LINE)
        if not line:
            msg = "the connection was closed"
            raise ConnectionResetError(msg)
        kind, rest = line[:1], line[1:-2]
        if not line.endswith(b"\r\n") or depth > _DEEPEST:
            raise ConnectionAbortedError(_NOT_REDIS)
        match kind:
            case b"+":
                return rest
            case b"-":
                return RedisError(rest.decode(errors="replace"))
            case b":":
                return int(rest)
            case b"$" if rest == b"-1":
                return None
            case b"$":
                return self._answers.read(int(rest) + 2)[:-2]
            case b"*":
                return [self._read(depth + 1) for _ in range(int(rest))]
        raise ConnectionAbortedError(_NOT_REDIS)


def _connected(url: StoreUrl, timeout: float) -> socket.socket:
    with ExitStack() as opened:
        if url.path:
            plain = opened.enter_context(socket.socket(socket.AF_UNIX))
            plain.settimeout(timeout)
            plain.connect(url.path)
        else:
            plain = opened.enter_context(socket.create_connection(url.hosts[0], timeout))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.is_tls:
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=url.hosts[0][0])
        opened.pop_all()
        return plain


def _encoded(words: tuple[str | float, ...]) -> bytes:
    encoded = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
