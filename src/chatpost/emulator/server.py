"""The emulator's HTTP server: Flask over Werkzeug, on loopback."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

from chatpost.emulator.contract import ApiError, check_webhook, invalid_argument, read_body, read_query
from chatpost.emulator.faults import Fault, Kind
from chatpost.emulator.pages import add_pages
from chatpost.emulator.space import Space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"
_LOOPBACK_NAMES = {"127.0.0.1", "localhost", "::1"}
_DRIP_SECONDS = 0.05
_HEARTBEAT = 15.0
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The names of google.rpc.Code by HTTP status."""


@dataclass(frozen=True)
class Received:
    """A request that came in at ``at`` of the clock. ``status`` 0: the connection was dropped without an answer."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int


class Emulator:
    """A Google Chat on loopback, which accepts any space, key and token. A context manager that serves.

    Each of ``faults`` is for one of the next requests; ``quota`` limits a space to one request a second.
    ``on_received`` is called with every request, from the thread that served it.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        quota: bool = True,
        faults: Iterable[Fault] = (),
        clock: Callable[[], float] = time.monotonic,
        on_received: Callable[[Received], None] = lambda _: None,
    ) -> None:
        """``port`` 0 takes any free port; raises `OSError` if the port is taken."""
        self.faults = deque(faults)
        self.spaces: dict[str, Space] = {}
        self.received: list[Received] = []
        self._quota = quota
        self._clock = clock
        self.on_received = on_received
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._stored = threading.Condition()
        # If Werkzeug itself cannot bind, it ends the process.
        with socket.create_server((HOST, port), backlog=128) as listener:
            self._server = make_server(
                HOST, port, self._app(), threaded=True, request_handler=_Handler, fd=listener.fileno()
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        """The port that it serves on."""
        return int(self._server.port)

    def url(self, space: str = "AAAA", key: str = "any-key", token: str = "any-token") -> str:  # noqa: S107 - any will do
        """Return a webhook's URL; each token is another webhook."""
        return f"http://{HOST}:{self.port}/v1/spaces/{space}/messages?key={key}&token={token}"

    @property
    def page(self) -> str:
        """The page that shows the spaces."""
        return f"http://{HOST}:{self.port}/"

    def space(self, name: str = "AAAA") -> Space:
        """Return a space, which exists as soon as it is named."""
        with self._lock:
            return self._space(f"spaces/{name}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with self._stored:
            self._stored.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _space(self, name: str) -> Space:
        return self.spaces.setdefault(name, Space(name, self._clock, self._quota))

    def _app(self) -> Flask:
        app = Flask(__name__, static_folder=None, template_folder="page")
        app.config["PROPAGATE_EXCEPTIONS"] = True  # a dropped connection must reach the server
        app.post("/v1/spaces/<space>/messages")(self._create)
        add_pages(app, lambda: dict(self.spaces), self._changes)
        app.before_request(_refuse_strangers)
        app.register_error_handler(HTTPStatus.NOT_FOUND, _not_found)
        app.register_error_handler(HTTPStatus.METHOD_NOT_ALLOWED, _not_found)
        return app

    def _create(self, space: str) -> Response:
        raw, query = request.get_data(), request.args.to_dict()
        with self._lock:
            fault = self.faults.popleft() if self.faults else Fault(Kind.NONE)
            try:
                response = self._answer(fault, f"spaces/{space}", raw, query)
            except ApiError as refusal:
                response = jsonify(refusal.body())
                response.status_code = refusal.code
            dropped = fault.kind in {Kind.DROP_BEFORE, Kind.DROP_AFTER}
            status = 0 if dropped else response.status_code
            received = Received(self._clock(), request.method, request.path, query, dict(request.headers), raw, status)
            self.received.append(received)
        with self._stored:
            self._stored.notify_all()
        self.on_received(received)
        if dropped:
            _drop()
        if fault.kind is Kind.DELAY:
            self._stopping.wait(fault.seconds)
        return response

    def _answer(self, fault: Fault, space: str, raw: bytes, query: dict[str, str]) -> Response:
        if fault.kind is Kind.STATUS:
            return _faulty(fault)
        if fault.kind is Kind.DROP_BEFORE:
            return Response()
        check_webhook(query)
        if request.mimetype != "application/json":
            message = "Invalid JSON payload received: its Content-Type is not application/json."
            raise invalid_argument(message)
        parameters = read_query(query)
        self._space(space).take_quota()
        body = read_body(raw, space)
        stored = self._space(space).create(query["token"], body, parameters)
        response = jsonify(stored.answer(body))
        if fault.kind is Kind.TRUNCATE:
            whole = response.get_data()
            return Response(_cut(whole), headers={"Content-Length": str(len(whole))}, mimetype="application/json")
        if fault.kind is Kind.DRIP:
            return Response(self._drip(), mimetype="application/json")
        return response

    def _changes(self) -> Iterator[int | None]:
        """Yield the number of requests, at once and whenever more have come; None now and then in between."""
        seen = -1
        while not self._stopping.is_set():
            with self._stored:
                if len(self.received) == seen:
                    self._stored.wait(_HEARTBEAT)
            count = len(self.received)
            yield None if count == seen else count
            seen = count

    def _drip(self) -> Iterator[bytes]:
        while not self._stopping.wait(_DRIP_SECONDS):
            yield b" "


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as Chat does, and writes no log."""

    protocol_version = "HTTP/1.1"

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:  # noqa: ARG002 - Werkzeug's
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's
        pass


def _refuse_strangers() -> tuple[Response, int] | None:
    """Refuse a page of the web that reaches loopback through the user's browser: by another name, or from elsewhere."""
    host = request.host.rpartition(":")[0] or request.host
    origin = request.headers.get("Origin")
    if host.strip("[]") in _LOOPBACK_NAMES and origin in {None, f"http://{request.host}"}:
        return None
    refusal = ApiError(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", "The emulator serves loopback only.")
    return jsonify(refusal.body()), refusal.code


def _drop() -> None:
    """Close the connection without an answer, with a reset."""
    connection: socket.socket = request.environ["werkzeug.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError


def _cut(whole: bytes) -> Iterator[bytes]:
    yield whole[: len(whole) // 2]
    raise ConnectionResetError


def _faulty(fault: Fault) -> Response:
    if fault.body is not None:
        return Response(fault.body, fault.status, dict(fault.headers), mimetype="text/html")
    name = _STATUS_NAMES.get(fault.status, "UNKNOWN")
    message = "The service is currently unavailable." if name == "UNAVAILABLE" else "A fault that was asked for."
    refusal = ApiError(fault.status, name, message)
    response = jsonify(refusal.body())
    response.status_code = fault.status
    response.headers.update(fault.headers)
    return response


def _not_found(_: Exception) -> tuple[Response, int]:
    refusal = ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", "Requested entity was not found.")
    return jsonify(refusal.body()), refusal.code
