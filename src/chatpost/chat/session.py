"""The HTTP session: what requests and urllib3 have to do differently for Chat."""

from __future__ import annotations

import http.client
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from chatpost import __version__
from chatpost.chat.trust import authorities


def new_session() -> requests.Session:
    """Return a session for posting to webhooks.

    Raises `ConfigurationError` if the environment names authorities that do not exist.
    """
    session = _Session()
    session.verify = authorities() or True
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    session.headers.update(
        {
            "User-Agent": f"chatpost/{__version__}",
            "Content-Type": "application/json; charset=UTF-8",
            "Accept": "application/json",
            # An answer is small, and without compression it cannot unpack to gigabytes.
            "Accept-Encoding": "identity",
        }
    )
    # Proxies come from the environment; this keeps out ~/.netrc, which would come with them.
    session.auth = lambda request: request
    return session


class _Response(http.client.HTTPResponse):
    """A response that passes over interim answers, such as 102 and 103: the standard library knows only 100."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not http.HTTPStatus.SWITCHING_PROTOCOLS < status[1] < http.HTTPStatus.OK:
                return status
            http.client.parse_headers(self.fp)


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Connects by pools whose responses pass over interim answers."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


class _Session(requests.Session):
    """A session that takes a redirect as an answer like any other. requests would read all of it, and its target."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None
