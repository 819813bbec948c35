"""The emulator's HTTP server, Flask on loopback: Chat's method for webhooks, and a page that shows the spaces."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple, Self

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.serving import WSGIRequestHandler, make_server

from chatpost.concurrency import start_without_signals
from chatpost.emulator.contract import ApiError, read_body, read_query
from chatpost.emulator.faults import Fault, Kind
from chatpost.emulator.render import EMOJI, card_html, safe_link, text_html
from chatpost.emulator.space import Space

_HOST = "127.0.0.1"
_HEARTBEAT = 15.0
_EMULATOR = "chatpost.emulator"  # the key of a request's emulator in its environment
# In case escaping fails: only the page's own script runs, and nothing is loaded from other hosts.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'"


class Received(NamedTuple):
    """A request, received ``at`` a time of the clock. ``status`` 0: the connection was dropped without an answer."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int


class Emulator:
    """A Google Chat on loopback, which accepts any space, key and token. It serves while it is a context manager.

    Each of ``faults`` is for one request; a space accepts one request per ``quota`` seconds, 0 for no limit.
    ``on_received`` is called with each request, from the thread that serves it.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        quota: float = 1.0,
        faults: Iterable[Fault] = (),
        clock: Callable[[], float] = time.monotonic,
        on_received: Callable[[Received], None] = lambda _: None,
    ) -> None:
        """``port`` 0 is any free port; raises `OSError` if the port is in use."""
        self.faults = deque(faults)
        self.spaces: dict[str, Space] = {}
        self.received: list[Received] = []
        self._quota = quota
        self._clock = clock
        self.on_received = on_received
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        # If Werkzeug cannot bind, it exits.
        with socket.create_server((_HOST, port), backlog=128) as listener:
            self._server = make_server(
                _HOST, port, self._answer_request, threaded=True, request_handler=_Handler, fd=listener.fileno()
            )
        self._server.timeout = 0  # only _serve waits for a request
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.port)

    @property
    def page(self) -> str:
        """URL of the page that shows the spaces."""
        return f"http://{_HOST}:{self.port}/"

    def url(self, space: str = "AAAA", key: str = "any-key", token: str = "any-token") -> str:  # noqa: S107 - any will do
        """Return a webhook URL; each token is a different webhook."""
        return f"{self.page}v1/spaces/{space}/messages?key={key}&token={token}"

    def space(self, name: str = "AAAA") -> Space:
        """Return a space, created on first use."""
        return self.spaces.setdefault(f"spaces/{name}", Space(f"spaces/{name}", self._clock, self._quota))

    def __enter__(self) -> Self:
        start_without_signals(self._thread)  # and those of its requests
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        self._wake.close()
        self._thread.join()
        self._woken.close()
        self._server.server_close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._server, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while all(key.fileobj is self._server for key, _ in selector.select()):
                self._server.handle_request()

    def _answer_request(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return _app()(environ | {_EMULATOR: self}, start_response)

    def create_message(self, space: str) -> Response:
        """Handle Flask's current request: inject the next fault, or create the message. For the app's routes."""
        raw, query = request.get_data(), request.args.to_dict()
        with self._changed:
            fault = self.faults.popleft() if self.faults else Fault(Kind.NONE)
            try:
                response = self._answer(fault, space, raw, query)
            except ApiError as error:
                response = _error_response(error)
            response.headers.update(fault.headers)
            is_dropped = fault.kind in {Kind.DROP_BEFORE, Kind.DROP_AFTER}
            status = 0 if is_dropped else response.status_code
            received = Received(self._clock(), request.method, request.path, query, dict(request.headers), raw, status)
            self.received.append(received)
            self._changed.notify_all()
        self.on_received(received)
        if is_dropped:
            connection: socket.socket = request.environ["werkzeug.socket"]
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            raise ConnectionResetError
        if fault.kind is Kind.DELAY:
            self._stopping.wait(fault.seconds)
        return response

    def _answer(self, fault: Fault, name: str, raw: bytes, query: dict[str, str]) -> Response:
        if fault.kind is Kind.DROP_BEFORE:
            return Response()
        if fault.kind is Kind.STATUS and fault.body is not None:
            return Response(fault.body, fault.status)
        if fault.kind is Kind.STATUS:
            unavailable = "The service is currently unavailable."
            raise ApiError(fault.status, unavailable if fault.status == 503 else "Injected fault.")  # noqa: PLR2004 - a status
        parameters = read_query(query)
        if request.mimetype != "application/json":
            raise ApiError(400, "Invalid JSON payload received: its Content-Type is not application/json.")
        space = self.space(name)
        space.take_quota()
        body = read_body(raw, space.name)
        response = jsonify(space.create(query["token"], body, parameters).answer(body))
        if fault.kind is Kind.TRUNCATE:
            whole = response.get_data()
            headers = {"Content-Length": str(len(whole))}
            return Response(_first_half(whole), headers=headers, mimetype="application/json")
        if fault.kind is Kind.DRIP:
            return Response(self._drip(), mimetype="application/json")
        return response

    def _drip(self) -> Iterator[bytes]:
        while not self._stopping.wait(0.05):
            yield b" "

    def events(self) -> Iterator[str]:
        """Yield an event at once and at each request, and a comment as a heartbeat, to detect closed connections.

        For the app's routes.
        """
        seen = -1
        while not self._stopping.is_set():
            with self._changed:
                if len(self.received) == seen:
                    self._changed.wait(_HEARTBEAT)
            count = len(self.received)
            yield ":\n\n" if count == seen else f"data: {count}\n\n"
            seen = count


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as Chat does, without a log."""

    protocol_version = "HTTP/1.1"

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:  # noqa: ARG002 - Werkzeug's
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's
        pass


# All emulators share the app, because setting up its routes takes most of an emulator's start.
@cache
def _app() -> Flask:
    app = Flask(__name__, static_folder="page", static_url_path="", template_folder="page")
    app.config["PROPAGATE_EXCEPTIONS"] = True  # a dropped connection must reach the server
    app.jinja_env.globals.update(card_html=card_html, text_html=text_html, safe_link=safe_link, emoji=EMOJI)
    app.post("/v1/spaces/<space>/messages")(_create)
    app.get("/")(_page)
    app.get("/spaces")(_page)
    app.get("/events")(_events)
    app.before_request(_refuse_strangers)
    app.after_request(_add_headers)
    app.register_error_handler(ApiError, _error_response)
    not_found = ApiError(404, "Requested entity was not found.")
    for status in (404, 405):
        app.register_error_handler(status, lambda _: _error_response(not_found))
    return app


def _emulator() -> Emulator:
    """Return the emulator of Flask's current request."""
    emulator: Emulator = request.environ[_EMULATOR]
    return emulator


def _create(space: str) -> Response:
    return _emulator().create_message(space)


def _page() -> str:
    template = "spaces.html" if request.path == "/spaces" else "page.html"
    spaces = dict(_emulator().spaces).values()
    return render_template(template, spaces=[space for space in spaces if space.messages])


def _events() -> Response:
    return Response(_emulator().events(), mimetype="text/event-stream")


def _refuse_strangers() -> None:
    """Reject requests that web pages send to loopback through the user's browser, by another host name or origin."""
    host = request.host.rpartition(":")[0] or request.host
    is_ours = host.strip("[]") in {"127.0.0.1", "localhost", "::1"}
    if not is_ours or request.headers.get("Origin") not in {None, f"http://{request.host}"}:
        raise ApiError(403, "The emulator serves loopback only.")


def _add_headers(response: Response) -> Response:
    response.headers.update({"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})
    return response


def _error_response(error: ApiError) -> Response:
    return make_response(error.body(), error.status)


def _first_half(whole: bytes) -> Iterator[bytes]:
    yield whole[: len(whole) // 2]
    raise ConnectionResetError
