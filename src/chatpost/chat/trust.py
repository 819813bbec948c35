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

from chatpost.errors import ConfigurationError

_REQUESTS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_FILE_VARIABLES = (*_REQUESTS_VARIABLES, "SSL_CERT_FILE")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d")


def authorities() -> str | None:
    """Return the file or directory of the trusted authorities; None for certifi's.

    Raises `ConfigurationError` if requests' variables name one that does not exist.
    """
    for variable in _REQUESTS_VARIABLES:
        if bundle := os.environ.get(variable):
            if not os.path.exists(bundle):  # noqa: PTH110 - pathlib's raises if it may not look there
                msg = f"{variable} names {bundle}, which does not exist"
                raise ConfigurationError(msg)
            return bundle
    # OpenSSL ignores a file that does not exist, and so does Python.
    if os.path.isfile(file := os.environ.get("SSL_CERT_FILE", "")):  # noqa: PTH113 - see above
        return file
    paths = ssl.get_default_verify_paths()
    # SSL_CERT_DIR can name several directories; capath is None if the one of the system does not exist.
    directories = [*os.environ.get(paths.openssl_capath_env, "").split(os.pathsep), paths.capath or ""]
    return next(filter(_is_hashed, directories), None)


def _is_hashed(directory: str) -> bool:
    """Return whether OpenSSL can look authorities up in the directory."""
    try:
        with os.scandir(directory or os.devnull) as entries:
            return any(_HASHED_NAME.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def unusable_bundle() -> str | None:
    """Return, for a person, which variable names a file without certificates, if one does."""
    for variable in _FILE_VARIABLES:
        bundle = os.environ.get(variable)
        if bundle and not _holds_certificates(Path(bundle)):
            return f"{variable} names {bundle}, which holds no certificates"
    return None


def _holds_certificates(bundle: Path) -> bool:
    try:
        if not bundle.is_dir():
            ssl.create_default_context(cafile=bundle)
    except OSError:
        return False
    return True
