"""One attempt to post: a request to Chat and its answer. The only importer of requests."""

from __future__ import annotations

import errno
import io
import json
import os
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

import requests
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectionError as RequestsConnectionError,
    ConnectTimeout,
    InvalidSchema,
    InvalidURL,
    ProxyError,
    ReadTimeout,
    SSLError,
)
from urllib3.exceptions import HTTPError, NameResolutionError

from chatpost import __version__
from chatpost.chat.answer import Answer, created_message
from chatpost.errors import ConfigurationError, DeliveryError, ProtocolError, Unavailable, UnusableRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.chat.webhook import Webhook

ANSWER_LIMIT = 1024 * 1024
"""Bytes of an answer that are read. Chat's echo can be several times the size of the message."""

_CHUNK = 64 * 1024
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# None removes a scheme from the environment's proxies; the type stubs allow only strings.
_NO_PROXY: Any = {"http": None, "https": None, "all": None}
_NO_SUCH_PROXY = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is not the URL of a proxy"


class _Body(io.BytesIO):
    """A request's body that notes when sending it begins: before that, nothing can have been posted.

    Once ``abandoned`` it is not sent any more: an attempt that was left behind may get here late.
    """

    def __init__(self, content: bytes, on_sending: Callable[[], None]) -> None:
        super().__init__(content)
        self.begun = False
        self.abandoned = False
        self._on_sending = on_sending

    def read(self, size: int | None = -1) -> bytes:
        # This side sets begun, then reads abandoned; the other side does the reverse. So at least one of them sees.
        was_begun, self.begun = self.begun, True
        if self.abandoned:
            raise TimeoutError
        if not was_begun:
            self._on_sending()
        return super().read(size)


class _Session(requests.Session):
    """A session that takes a redirect as an answer like any other. requests would read all of it, and its target."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None


class ChatClient:
    """Posts to webhooks over one session, whose connections stay open from message to message.

    Raises `ConfigurationError` if the environment names a CA bundle that does not exist.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        """``wall_clock`` returns seconds of the epoch: a ``Retry-After`` can be a date."""
        _check_ca_bundle()
        self._wall_clock = wall_clock
        self._session = _Session()
        self._session.headers.update(
            {
                "User-Agent": f"chatpost/{__version__}",
                "Content-Type": "application/json; charset=UTF-8",
                "Accept": "application/json",
                # An answer is small, and without compression it cannot unpack to gigabytes.
                "Accept-Encoding": "identity",
            }
        )
        # Proxies and CA bundles come from the environment; this keeps out ~/.netrc, which would come with them.
        self._session.auth = lambda request: request

    def create_message(
        self,
        webhook: Webhook,
        request: CreateMessageRequest,
        timeout: float,
        on_sending: Callable[[], None] = lambda: None,
    ) -> CreatedMessage:
        """Post once, in at most ``timeout`` seconds; ``on_sending`` is called when the message begins to go out.

        Raises a `DeliveryError` that says whether the message may be in the space anyway.
        """
        body = _Body(json.dumps(request.body(), ensure_ascii=False).encode(), on_sending)
        attempt = _Attempt(lambda: self._exchange(webhook, request, body, timeout))
        try:
            answer = attempt.result(timeout)
        except TimeoutError:
            body.abandoned = True
            msg = f"{webhook.host} gave no answer within {timeout:.3g} s"
            raise Unavailable(msg, maybe_posted=body.begun) from None
        except requests.RequestException as failure:
            raise _failure(failure, webhook, timeout, posting_begun=body.begun) from None
        except (HTTPError, ValueError, TypeError):
            # Before it connects, requests lets through only errors about a proxy's URL.
            if body.begun or webhook.is_loopback or not getproxies():
                raise
            raise UnusableRoute(_NO_SUCH_PROXY) from None
        return created_message(answer, webhook.mask, self._wall_clock())

    def _exchange(self, webhook: Webhook, request: CreateMessageRequest, body: _Body, timeout: float) -> Answer:
        response = self._session.post(
            webhook.request_url(request.parameters()),
            data=body,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            # Loopback never goes through a proxy, whatever the environment says.
            proxies=_NO_PROXY if webhook.is_loopback else None,
        )
        with response:
            try:
                return Answer(response.status_code, response.headers, _limited(response.iter_content(_CHUNK)))
            except (ChunkedEncodingError, RequestsConnectionError):
                return Answer(response.status_code, response.headers, None)


class _Attempt:
    """An exchange in a thread of its own, which can be left behind.

    requests limits each wait for the network, not their sum: a name server that hangs, or an answer that drips in,
    would hold it for ever. A thread left behind goes on until the process ends. If its message is still posted, the
    next attempt finds it by the request id.
    """

    def __init__(self, exchange: Callable[[], Answer]) -> None:
        self._exchange = exchange
        self._answer: Answer | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._exchange()
        except BaseException as failure:  # noqa: BLE001 - raised again, in the thread that asked
            self._failure = failure

    def result(self, timeout: float) -> Answer:
        """Wait for the answer; raises `TimeoutError`, or what the exchange raised."""
        self._thread.join(timeout)
        if self._answer is not None:
            return self._answer
        raise self._failure or TimeoutError


def _limited(chunks: Iterator[bytes]) -> bytes | None:
    read = bytearray()
    for chunk in chunks:
        read += chunk
        if len(read) > ANSWER_LIMIT:
            return None
    return bytes(read)


def _failure(
    failure: requests.RequestException, webhook: Webhook, timeout: float, *, posting_begun: bool
) -> DeliveryError:
    """Say what a library's exception means, in our own words: the library's can hold the URL."""
    match failure:
        case InvalidURL() | InvalidSchema():  # a proxy's URL, since our own is checked
            return UnusableRoute(_NO_SUCH_PROXY)
        case ProxyError():
            return Unavailable(
                "the proxy named by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY did not let the request through"
            )
        case SSLError():
            return _tls_failure(failure, webhook, posting_begun=posting_begun)
        case ConnectTimeout():
            return Unavailable(f"{webhook.host} did not accept a connection within {timeout:.3g} s")
        case ReadTimeout():
            return Unavailable(f"{webhook.host} did not answer within {timeout:.3g} s", maybe_posted=posting_begun)
    causes = list(_causes(failure))
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return Unavailable(f"the name {webhook.host} could not be resolved")
    code = next(
        (cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno in errno.errorcode), None
    )
    reason = f": {os.strerror(code).lower()}" if code is not None else ""
    if posting_begun:
        return Unavailable(f"the connection to {webhook.host} broke off{reason}", maybe_posted=True)
    return Unavailable(f"no connection to {webhook.host}{reason}")


def _tls_failure(failure: SSLError, webhook: Webhook, *, posting_begun: bool) -> DeliveryError:
    for variable in _CA_VARIABLES:
        bundle = os.environ.get(variable)
        if bundle and not _holds_certificates(Path(bundle)):
            return UnusableRoute(f"{variable} names {bundle}, which holds no certificates")
    certificate = next((c for c in _causes(failure) if isinstance(c, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        return ProtocolError(
            f"the certificate of {webhook.host} cannot be trusted: {certificate.verify_message};"
            " if your network has its own certificate authority, set REQUESTS_CA_BUNDLE to its file"
        )
    return ProtocolError(f"{webhook.host} does not speak TLS correctly", maybe_posted=posting_begun)


def _holds_certificates(bundle: Path) -> bool:
    try:
        if not bundle.is_dir():
            ssl.create_default_context(cafile=bundle)
    except OSError:
        return False
    return True


def _check_ca_bundle() -> None:
    for variable in _CA_VARIABLES:
        bundle = os.environ.get(variable)
        if bundle:
            if not os.path.exists(bundle):  # noqa: PTH110 - pathlib's raises if it may not look there
                msg = f"{variable} names {bundle}, which does not exist"
                raise ConfigurationError(msg)
            return


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all its causes; urllib3 keeps some of them in arguments or reasons."""
    seen: set[int] = set()
    queue = [failure]
    while queue:
        cause = queue.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            queue += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
            yield cause
