"""The HTTP session: our changes to requests and urllib3, and the trusted certificate authorities.

Authorities come from the first of these that is set: ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, as for requests;
``SSL_CERT_FILE`` and ``SSL_CERT_DIR``, as for OpenSSL; the system's directory of authorities, as for curl and git;
certifi. OpenSSL looks an authority up in a hashed directory at no cost; loading certifi's file takes 20 ms.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from chatpost import __version__
from chatpost.errors import ConfigurationError

_REQUESTS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CONNECT_TIMEOUT = 5.0  # seconds for one address, less if the attempt's timeout is too short for all addresses


def new_session(environment: Mapping[str, str]) -> requests.Session:
    """Return a session; raises `ConfigurationError` if a variable names a CA bundle that does not exist."""
    session = _Session()
    adapter = _Adapter(_authorities(environment))
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    session.headers.update(
        {
            "User-Agent": f"chatpost/{__version__}",
            "Content-Type": "application/json; charset=UTF-8",
            "Accept": "application/json",
            # An answer is small, and a compressed one could unpack to gigabytes.
            "Accept-Encoding": "identity",
        }
    )
    # trust_env reads proxies from the environment, and also ~/.netrc, which this keeps out.
    session.auth = lambda request: request
    return session


class _Response(http.client.HTTPResponse):
    """Skips interim answers such as 102 and 103: the standard library skips only 100."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # not in typeshed
            if not http.HTTPStatus.SWITCHING_PROTOCOLS < status[1] < http.HTTPStatus.OK:
                return status
            http.client.parse_headers(self.fp)


class _EachAddress(HTTPConnection):
    """Connects to the first of the host's addresses that accepts; all addresses share the timeout."""

    response_class = _Response

    def _new_conn(self) -> socket.socket:
        host, seconds = self._dns_host, self.timeout
        try:
            found = socket.getaddrinfo(host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if isinstance(seconds, int | float):
            self.timeout = min(_CONNECT_TIMEOUT, seconds / (len(addresses) + 1))
        try:
            for address in addresses[:-1]:
                self._dns_host = address
                with suppress(ConnectTimeoutError, NewConnectionError):
                    return super()._new_conn()
            self._dns_host = addresses[-1]
            return super()._new_conn()
        finally:
            self._dns_host, self.timeout = host, seconds


class _SecureConnection(_EachAddress, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _EachAddress


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    """Uses our pools, and trusts the authorities in a file and in directories, which are separated by colons."""

    def __init__(self, trusted: tuple[str | None, str | None]) -> None:
        super().__init__()
        self._trusted = trusted

    def cert_verify(self, conn: Any, *_: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"
        conn.ca_certs, conn.ca_cert_dir = self._trusted

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class Proxy(NamedTuple):
    """A proxy's URL, with a scheme, and the variable that sets it."""

    url: str
    variable: str


def find_proxy(url: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a URL, from the environment or the system's settings, if any.

    As for curl, the scheme of a proxy is http unless its URL has another one.
    """
    proxy = (select_proxy(url, get_environ_proxies(url)) or "").strip().strip("\"'")  # env files keep quotes
    if not proxy:
        return None
    names = (name for kind in ("https_proxy", "all_proxy") for name in (kind, kind.upper()))
    variable = next(filter(environment.get, names), "the system's settings")
    return Proxy(proxy if "://" in proxy else f"http://{proxy}", variable)


class _Session(requests.Session):
    """Handles a redirect like any other answer. requests would read its whole body, and parse its target."""

    def get_redirect_target(self, _resp: requests.Response) -> None:
        return None


def _authorities(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the file and the directories of trusted authorities; raises `ConfigurationError`."""
    variable, bundle = _find_bundle(environment)
    if variable in _REQUESTS_VARIABLES:
        if not os.path.exists(bundle):  # noqa: PTH110 - pathlib's raises without permission
            raise ConfigurationError(f"{variable} names {bundle}, which does not exist")
        return (None, bundle) if os.path.isdir(bundle) else (bundle, None)  # noqa: PTH112 - see above
    paths = ssl.get_default_verify_paths()
    # capath is None if the system's directory does not exist.
    directories = environment.get(paths.openssl_capath_env) or paths.capath or ""
    if any(map(_is_hashed, directories.split(os.pathsep))):
        return bundle or None, directories
    return bundle or DEFAULT_CA_BUNDLE_PATH, None


def _find_bundle(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the variable that names a file of authorities (or for requests a directory), and its value, or blanks."""
    for variable in _REQUESTS_VARIABLES:
        if environment.get(variable):
            return variable, environment[variable].strip()
    bundle = environment.get("SSL_CERT_FILE", "")  # OpenSSL ignores a file that does not exist, and so does Python
    return ("SSL_CERT_FILE", bundle) if os.path.isfile(bundle) else ("", "")  # noqa: PTH113 - as in _authorities


def _is_hashed(directory: str) -> bool:
    """Return whether OpenSSL can look up authorities in the directory."""
    try:
        with os.scandir(directory or os.devnull) as entries:
            return any(re.fullmatch(r"[0-9a-f]{8}\.\d", entry.name) for entry in entries)
    except OSError:
        return False


def unusable_bundle(environment: Mapping[str, str]) -> str | None:
    """Return the error if a variable names a file without certificates, else None."""
    variable, bundle = _find_bundle(environment)
    try:
        if bundle and not Path(bundle).is_dir():
            ssl.create_default_context(cafile=bundle)
    except OSError:
        return f"{variable} names {bundle}, which contains no certificates"
    return None
