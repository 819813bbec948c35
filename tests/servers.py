"""Faulty servers, for faults that the emulator and a real Redis cannot simulate."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from tests.conftest import KEY, TOKEN

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

ANSWER = b'{"name": "spaces/AAAA/messages/T.M", "thread": {"name": "spaces/AAAA/threads/T"}}'
WHOLE_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


def url_on(port: int, scheme: str = "http") -> str:
    """Return the URL of a webhook on a loopback port."""
    return f"{scheme}://127.0.0.1:{port}/v1/spaces/AAAA/messages?key={KEY}&token={TOKEN}"


@contextmanager
def _listening(serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[int]:
    """Serve one connection at a time. Yield the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def raw_server(serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[tuple[int, list[bytes]]]:
    """Run a server with arbitrary behaviour. Yield the port and a list of the first bytes of each connection."""
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        serve(connection)

    with _listening(listen, address) as port:
        yield port, heard


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """Run a TLS server. Yield the port and a list of requests; a failed handshake adds an empty one."""
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(b"")
        with context.wrap_socket(connection, server_side=True) as tls:
            request = tls.recv(65536)
            while b"\r\n\r\n{" not in request:
                request += tls.recv(65536)
            heard[-1] = request
            tls.sendall(WHOLE_ANSWER)

    with _listening(listen) as port:
        yield port, heard


@contextmanager
def answering_redis(answer: bytes) -> Iterator[str]:
    """Run a fake Redis that answers the handshake, then sends the same answer to every command. Yield the URL."""

    def serve(connection: socket.socket) -> None:
        while command := connection.recv(65536):
            connection.sendall(b"$8\r\nchatpost\r\n" if b"ECHO" in command else answer)

    with _listening(serve) as port:
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def closed_port() -> Iterator[int]:
    """Reserve a port without listening on it. Yield the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def deaf_server() -> Iterator[int]:
    """Listen with a full backlog, so that new connections time out. Yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as fillers:
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
