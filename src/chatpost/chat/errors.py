"""Maps exceptions of requests to our errors."""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from requests.exceptions import ConnectTimeout, InvalidSchema, InvalidURL, ProxyError, ReadTimeout, SSLError
from urllib3.exceptions import NameResolutionError

from chatpost.chat.session import Proxy, unusable_bundle
from chatpost.chat.webhook import Webhook
from chatpost.errors import DeliveryError, Offline, ProtocolError, Unavailable, UnusableRoute

if TYPE_CHECKING:
    from requests.exceptions import RequestException


class Circumstances(NamedTuple):
    """An attempt that failed. ``timeout`` is its limit, in seconds.

    ``posting_begun``: sending the message had begun.
    """

    webhook: Webhook
    proxy: Proxy | None
    timeout: float
    environment: Mapping[str, str]
    posting_begun: bool

    @property
    def host(self) -> str:
        """The host, and the proxy, if any: its failures look like the host's."""
        return f"{self.webhook.host}{f' through the proxy in {self.proxy.variable}' if self.proxy else ''}"


def invalid_proxy(proxy: Proxy) -> UnusableRoute:
    """Return the error for an invalid proxy. It does not quote the URL, which can contain a password."""
    is_socks = proxy.url.lower().startswith("socks")
    if is_socks:
        return UnusableRoute(
            f"{proxy.variable} names a SOCKS proxy, which chatpost does not support: use an HTTP proxy"
        )
    return UnusableRoute(f"the proxy URL in {proxy.variable} is invalid: write http://HOST:PORT")


def error_of(failure: RequestException, attempt: Circumstances) -> DeliveryError:
    """Return the error for an exception of requests, whose own message can contain the webhook URL."""
    webhook, proxy, timeout, posting_begun = attempt.webhook, attempt.proxy, attempt.timeout, attempt.posting_begun
    causes = _causes(failure)
    match failure:
        case InvalidURL() | InvalidSchema() if proxy:  # the webhook's URL is already checked
            return invalid_proxy(proxy)
        case ProxyError() if proxy:
            return _proxy_failure(causes, proxy)
        case SSLError():
            return _tls_failure(causes, attempt)
        case ConnectTimeout():
            return Unavailable(f"{attempt.host} did not accept a connection in time")
        case ReadTimeout():
            return Unavailable(f"{attempt.host} did not answer within {timeout:.3g} s", maybe_posted=posting_begun)
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return Offline(f"the name {webhook.host} could not be resolved")
    code = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno in errno.errorcode), 0)
    reason = f": {os.strerror(code).lower()}" if code else ""
    if posting_begun:
        return Unavailable(f"the connection to {attempt.host} was lost{reason}", maybe_posted=True)
    kind = Offline if code in _NO_ROUTE else Unavailable
    return kind(f"could not connect to {attempt.host}{reason}")


_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


def _proxy_failure(causes: list[BaseException], proxy: Proxy) -> DeliveryError:
    answer = re.search(r"^Tunnel connection failed: (\d{3})\b", "\n".join(map(str, causes)), re.MULTILINE)
    if answer and answer[1] == "407":
        return Unavailable(
            f"the proxy requires authentication (407): add the user name and password to {proxy.variable}"
        )
    what = f"the proxy in {proxy.variable}"
    if answer:
        return Unavailable(f"{what} refused the connection to Chat ({answer[1]}): ask your network team to allow it")
    if any(isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS for cause in causes):
        return UnusableRoute(f"{what} does not speak TLS: write http:// instead of https:// in its URL")
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return Offline(f"{what} cannot be reached: its name could not be resolved")
    code = next((cause.errno for cause in causes if isinstance(cause, OSError) and cause.errno in errno.errorcode), 0)
    return Unavailable(f"{what} cannot be reached{f': {os.strerror(code).lower()}' if code else ''}")


_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
# The peer closed the connection, or failed, during the handshake.
_BROKEN_HANDSHAKE = {"UNEXPECTED_EOF_WHILE_READING", "TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED"}


def _tls_failure(causes: list[BaseException], attempt: Circumstances) -> DeliveryError:
    webhook, posting_begun = attempt.webhook, attempt.posting_begun
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if certificate is None and any(
        isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        or (isinstance(cause, ssl.SSLError) and cause.reason in _BROKEN_HANDSHAKE)
        for cause in causes
    ):
        when = "" if posting_begun else " during the TLS handshake"
        return Unavailable(f"the connection to {attempt.host} was lost{when}", maybe_posted=posting_begun)
    if bundle := unusable_bundle(attempt.environment):
        return UnusableRoute(bundle)
    if certificate is not None:
        return ProtocolError(
            f"the certificate of {webhook.host} is not trusted: {certificate.verify_message.rstrip('.')};"
            " if your network has its own certificate authority, set REQUESTS_CA_BUNDLE to its file"
        )
    return ProtocolError(f"{webhook.host} failed the TLS handshake", maybe_posted=posting_begun)


def _causes(failure: BaseException) -> list[BaseException]:
    """Return an exception and all its causes; urllib3 keeps some of them in ``args`` or ``reason``."""
    found: list[BaseException] = []
    queue: list[object] = [failure]
    for cause in queue:  # which grows
        if isinstance(cause, BaseException) and cause not in found:
            found.append(cause)
            queue += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return found
