"""Maps exceptions of requests to our errors."""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from requests.exceptions import ConnectTimeout, InvalidSchema, InvalidURL, ProxyError, ReadTimeout, SSLError
from urllib3.exceptions import NameResolutionError

from chatpost.chat.session import unusable_bundle
from chatpost.chat.webhook import Webhook
from chatpost.errors import DeliveryError, ProtocolError, Unavailable, UnusableRoute

if TYPE_CHECKING:
    from requests.exceptions import RequestException

NO_SUCH_PROXY = "the proxy URL in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is invalid"
"""The error for an invalid proxy. It does not quote the URL, which can contain a password."""


def error_of(
    failure: RequestException, webhook: Webhook, timeout: float, environment: Mapping[str, str], *, posting_begun: bool
) -> DeliveryError:
    """Return the error for an exception of requests, whose own message can contain the webhook URL.

    ``timeout`` is the attempt's, in seconds; ``posting_begun``: sending the message had begun.
    """
    causes = _causes(failure)
    match failure:
        case InvalidURL() | InvalidSchema():  # the proxy's URL: the webhook's is already checked
            return UnusableRoute(NO_SUCH_PROXY)
        case ProxyError():
            return Unavailable(_proxy_failure(causes))
        case SSLError():
            return _tls_failure(causes, webhook, environment, posting_begun=posting_begun)
        case ConnectTimeout():
            return Unavailable(f"{webhook.host} did not accept a connection in time")
        case ReadTimeout():
            return Unavailable(f"{webhook.host} did not answer within {timeout:.3g} s", maybe_posted=posting_begun)
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return Unavailable(f"the name {webhook.host} could not be resolved")
    codes = (cause.errno or 0 for cause in causes if isinstance(cause, OSError))
    reason = next((f": {os.strerror(code).lower()}" for code in codes if code in errno.errorcode), "")
    if posting_begun:
        return Unavailable(f"the connection to {webhook.host} was lost{reason}", maybe_posted=True)
    return Unavailable(f"could not connect to {webhook.host}{reason}")


def _proxy_failure(causes: list[BaseException]) -> str:
    answer = re.search(r"^Tunnel connection failed: (\d{3})\b", "\n".join(map(str, causes)), re.MULTILINE)
    if answer and answer[1] == "407":
        return "the proxy requires authentication (407): add the user name and password to HTTPS_PROXY"
    what = f"returned {answer[1]}" if answer else "refused the connection"
    return f"the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY {what}"


# The peer closed the connection, or failed, during the handshake.
_BROKEN_HANDSHAKE = {"UNEXPECTED_EOF_WHILE_READING", "TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED"}


def _tls_failure(
    causes: list[BaseException], webhook: Webhook, environment: Mapping[str, str], *, posting_begun: bool
) -> DeliveryError:
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if certificate is None and any(
        isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        or (isinstance(cause, ssl.SSLError) and cause.reason in _BROKEN_HANDSHAKE)
        for cause in causes
    ):
        when = "" if posting_begun else " during the TLS handshake"
        return Unavailable(f"the connection to {webhook.host} was lost{when}", maybe_posted=posting_begun)
    if bundle := unusable_bundle(environment):
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
