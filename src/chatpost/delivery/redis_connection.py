"""A connection to one Redis server: Redis's own protocol, as far as scripts need it.

redis-py speaks it too, but its import takes half the CPU time of a send. It is used where more is needed.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from io import BufferedReader

    from chatpost.delivery.store_url import StoreUrl


class RedisError(Exception):
    """The server's answer to a command is an error."""


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

    def ask(self, *words: str | float) -> Any:
        """Return the answer to a command: bytes, an int, None, or a list of these; raises `RedisError`."""
        commands, self._first = [*self._first, words], []
        self._socket.sendall(b"".join(map(_encoded, commands)))
        answers = [self._read() for _ in commands]
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers[-1]

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    def _read(self) -> Any:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            msg = "the connection was closed"
            raise ConnectionResetError(msg)
        kind, rest = line[:1], line[1:-2]
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
                return [self._read() for _ in range(int(rest))]
        msg = "it does not speak Redis's protocol"
        raise ConnectionAbortedError(msg)


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


def _encoded(words: tuple[str | int | float, ...]) -> bytes:
    encoded = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
