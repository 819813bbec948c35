"""The certificate authorities that are trusted.

The first of these that is set: ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``, as for requests; ``SSL_CERT_FILE`` and
``SSL_CERT_DIR``, as for OpenSSL; the machine's own directory of authorities, as for curl and git; certifi.

OpenSSL looks an authority up in a hashed directory in no time. To load certifi's file takes 20 ms.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUESTS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENSSL_VARIABLE = "SSL_CERT_FILE"
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d")


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
