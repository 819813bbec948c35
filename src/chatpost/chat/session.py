"""The HTTP session: what requests and urllib3 do differently for Chat, and the certificate authorities it trusts.

The first of these that is set names the authorities: ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, as for requests;
``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, as for OpenSSL; the machine's own directory of authorities, as for curl and git;
certifi. OpenSSL looks an authority up in a hashed directory in no time; to load certifi's file takes 20 ms.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from chatpost import __version__
from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUESTS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENSSL_VARIABLE = "SSL_CERT_FILE"
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d")

CONNECT_TIMEOUT = 5.0
"""Seconds to connect to one address, or a smaller share of an attempt's, so that all addresses get their try."""


def new_session(environment: Mapping[str, str]) -> requests.Session:
    """Return a session for posting to webhooks.

    Raises `ConfigurationError` if the environment names authorities that do not exist.
    """
    session = _Session()
    adapter = _Adapter(authorities(environment) or Authorities(DEFAULT_CA_BUNDLE_PATH))
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
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


class _EachAddress(HTTPConnection):
    """Connects to the first of the host's addresses that accepts; each gets its share of the time."""

    def _new_conn(self) -> socket.socket:
        host, seconds = self._dns_host, self.timeout
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if isinstance(seconds, int | float):
            self.timeout = min(CONNECT_TIMEOUT, seconds / (len(addresses) + 1))
        try:
            for address in addresses:
                self._dns_host = address
                try:
                    return super()._new_conn()
                except (ConnectTimeoutError, NewConnectionError):
                    if address == addresses[-1]:
                        raise
            raise AssertionError  # a name that is found has an address
        finally:
            self._dns_host, self.timeout = host, seconds


class _Connection(_EachAddress):
    response_class = _Response


class _SecureConnection(_EachAddress, HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Connects by pools whose responses pass over interim answers, and trusts these authorities."""

    def __init__(self, trusted: Authorities) -> None:
        super().__init__()
        self._trusted = trusted

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs, conn.ca_cert_dir = self._trusted

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


class Authorities(NamedTuple):
    """A file of certificates, and directories that OpenSSL looks them up in, with colons between. Both are trusted."""

    file: str | None = None
    directories: str | None = None


def authorities(environment: Mapping[str, str]) -> Authorities | None:
    """Return the trusted authorities; None for certifi's.

    Raises `ConfigurationError` if requests' variables name one that does not exist.
    """
    variable = _variable(environment)
    bundle = environment[variable] if variable else None
    if variable in _REQUESTS_VARIABLES and bundle is not None:
        if not os.path.exists(bundle):  # noqa: PTH110 - pathlib's raises if it may not look there
            msg = f"{variable} names {bundle}, which does not exist"
            raise ConfigurationError(msg)
        return Authorities(None, bundle) if os.path.isdir(bundle) else Authorities(bundle)  # noqa: PTH112 - see above
    paths = ssl.get_default_verify_paths()
    # capath is None if the system's directory does not exist.
    directories = environment.get(paths.openssl_capath_env) or paths.capath or ""
    if not any(map(_is_hashed, directories.split(os.pathsep))):
        return Authorities(bundle) if bundle else None
    return Authorities(bundle, directories)


def _variable(environment: Mapping[str, str]) -> str | None:
    """Return the variable that names a file of authorities, or in requests' case a directory, if one does."""
    for variable in _REQUESTS_VARIABLES:
        if environment.get(variable):
            return variable
    # OpenSSL ignores a file that does not exist, and so does Python.
    is_there = os.path.isfile(environment.get(_OPENSSL_VARIABLE, ""))  # noqa: PTH113 - pathlib's raises
    return _OPENSSL_VARIABLE if is_there else None


def _is_hashed(directory: str) -> bool:
    """Return whether OpenSSL can look authorities up in the directory."""
    try:
        with os.scandir(directory or os.devnull) as entries:
            return any(_HASHED_NAME.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def unusable_bundle(environment: Mapping[str, str]) -> str | None:
    """Return, for a person, that the variable that counts names a file without certificates, if it does."""
    variable = _variable(environment)
    if variable is None or _holds_certificates(Path(bundle := environment[variable])):
        return None
    return f"{variable} names {bundle}, which holds no certificates"


def _holds_certificates(bundle: Path) -> bool:
    try:
        if not bundle.is_dir():
            ssl.create_default_context(cafile=bundle)
    except OSError:
        return False
    return True
