"""Adding a profile to profiles.toml, keeping all else that stands there. The only importer of tomlkit."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit

from chatpost.errors import ConfigurationError
from chatpost.profiles import load_profiles

if TYPE_CHECKING:
    from chatpost.profiles import ProfileFile


def add_profile(path: Path, name: str, url: str, *, replace: bool) -> ProfileFile:
    """Write the profile into the file, which only its owner can then read, and return what the file now says.

    The file is replaced whole, so that it is never half written. The only profile stays the default when a second
    one comes. Raises `ConfigurationError` where the name is taken (unless `replace`) or the file is at fault.
    """
    before = load_profiles(path) if path.exists() else None
    document = tomlkit.document()
    if before is not None:
        if error := before.permission_error():
            raise ConfigurationError(error)
        if name in before.profiles and not replace:
            msg = f"there is a profile {name} in {path} already: --replace gives it this URL"
            raise ConfigurationError(msg)
        document = tomlkit.parse(path.read_text("utf-8-sig"))
    if before is None or before.named_default is None:
        document["default"] = (before.default if before is not None else None) or name
    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    profiles = document["profiles"]
    if name not in profiles:
        profiles[name] = tomlkit.table()
    profiles[name]["url"] = url
    _write(path, tomlkit.dumps(document))
    return load_profiles(path)


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # a link stays a link
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink()
            raise
    except OSError as failure:
        msg = f"{path} cannot be written: {os.strerror(failure.errno or 0).lower()}"
        raise ConfigurationError(msg) from None
