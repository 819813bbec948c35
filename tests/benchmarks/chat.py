"""The server for all contenders: like Chat for a sender, over TLS, with each response in one write."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import certifi
import trustme

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SECONDS_PER_REQUEST = 1.0


@dataclass
class Space:
    """A space and its requests.

    ``quota``: reject requests beyond one per second. ``latency``: seconds before each response. ``taken``: times of
    the accepted requests. ``ids``: the request IDs of the messages, in order of arrival.
    """

    quota: bool = False
    latency: float = 0.0
    requests: int = 0
    taken: list[float] = field(default_factory=list)
    ids: dict[str, float] = field(default_factory=dict)

    def take(self, request_id: str) -> HTTPStatus:
        """Count a request; return the status of its response."""
        self.requests += 1
        now = time.monotonic()
        if self.quota and self.taken and now - self.taken[-1] < SECONDS_PER_REQUEST:
            return HTTPStatus.TOO_MANY_REQUESTS
        self.taken.append(now)
        self.ids.setdefault(request_id or f"without {self.requests}", now)
        return HTTPStatus.OK

    @property
    def delivered(self) -> int:
        """Number of messages in the space: one per request ID."""
        return len(self.ids)


def _hashed(directory: Path, own: bytes) -> Path:
    """Create a hashed directory of authorities, as in /etc/ssl: certifi's, and the server's."""
    directory.mkdir()
    ending = "-----END CERTIFICATE-----\n"
    authorities = [*certifi.contents().split(ending)[:-1], own.decode().removesuffix(ending)]
    for number, authority in enumerate(authorities):
        (directory / f"{number}.pem").write_text(f"{authority}{ending}")
    subprocess.run(["openssl", "rehash", directory], check=True, capture_output=True)
    return directory


class Chat:
    """Serves HTTPS on loopback in a thread; a context manager."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        # certifi's authorities and the server's: loading them is part of the cost of contenders that trust certifi.
        self.ca_bundle = directory / "ca.pem"
        self.ca_bundle.write_bytes(certifi.contents().encode() + authority.cert_pem.bytes())
        self.ca_directory = _hashed(directory / "authorities", authority.cert_pem.bytes())
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._tls)
        self.spaces: dict[str, Space] = {}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=128)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port = int(server.sockets[0].getsockname()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def new_space(self, *, quota: bool = False, latency: float = 0.0) -> str:
        """Create a space for a run; return its ID."""
        name = f"S{len(self.spaces)}"
        self.spaces[name] = Space(quota, latency)
        return name

    def url(self, space: str) -> str:
        """Return a webhook's URL."""
        return f"https://127.0.0.1:{self.port}/v1/spaces/{space}/messages?key=any-key&token=any-token"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [line for line in head.lower().splitlines() if line.startswith("content-length:")]
                await reader.readexactly(int(lengths[0].partition(":")[2]))
                target = urlsplit(head.split(" ", 2)[1])
                name = target.path.split("/")[3]
                space = self.spaces[name]
                status = space.take("".join(parse_qs(target.query).get("requestId", [])))
                await asyncio.sleep(space.latency)
                writer.write(_answer(name, status, space.requests))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


def _answer(space: str, status: HTTPStatus, number: int) -> bytes:
    body: dict[str, object] = {"error": {"code": status.value, "status": "RESOURCE_EXHAUSTED", "message": "Quota."}}
    if status is HTTPStatus.OK:
        name = f"T{number}"
        body = {
            "name": f"spaces/{space}/messages/{name}.{name}",
            "thread": {"name": f"spaces/{space}/threads/{name}"},
            "text": "Hello",
        }
    raw = json.dumps(body).encode()
    headers = ("Content-Type: application/json", f"Content-Length: {len(raw)}")
    head = "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *headers, "", ""])
    return head.encode() + raw
