"""Adds a profile to profiles.toml and keeps everything else in the file. The only importer of tomlkit."""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import Table

from chatpost.errors import ConfigurationError
from chatpost.profiles.file import load_profiles

if TYPE_CHECKING:
    from chatpost.profiles.file import ProfileFile


def add_profile(path: Path, name: str, url: str, *, replace: bool) -> ProfileFile:
    """Write the profile into the file, make the file readable by its owner only, and return its new content.

    The file is replaced whole, so it is never half written. The first profile stays the default when a second one
    comes. Raises `ConfigurationError` if the name is taken (unless `replace`) or the file is at fault.
    """
    before = load_profiles(path) if os.path.exists(path) else None  # noqa: PTH110 - pathlib's can raise
    document = tomlkit.document()
    if before is not None:
        if error := before.permission_error():
            raise ConfigurationError(error)
        if name in before.profiles and not replace:
            msg = f"{path} already has a profile {name}: use --replace to change its URL"
            raise ConfigurationError(msg)
        document = tomlkit.parse(path.read_text("utf-8-sig"))
    default = (before.default if before is not None else None) or name
    text = _with_profile(document, name, url, default)
    _check(text, before, name, url, path)
    _write(path, text)
    return load_profiles(path)


def _with_profile(document: tomlkit.TOMLDocument, name: str, url: str, default: str) -> str:
    profiles = document.setdefault("profiles", tomlkit.table(is_super_table=True))
    if name in profiles:
        profiles[name]["url"] = url
    else:
        inline = not isinstance(profiles, Table | OutOfOrderTableProxy)
        profile = tomlkit.inline_table() if inline else tomlkit.table()
        profile["url"] = url
        profiles[name] = profile
    text = tomlkit.dumps(document)
    # At the top: a key after a table's heading would belong to the table.
    return text if "default" in document else f"default = {tomlkit.string(default).as_string()}\n\n{text}"


def _check(text: str, before: ProfileFile | None, name: str, url: str, path: Path) -> None:
    """Raise `ConfigurationError` unless the text has the new profile and everything that the file had before."""
    tables = tomllib.loads(text)
    expected = {} if before is None else tomllib.loads(path.read_text("utf-8-sig"))
    expected.setdefault("default", (before.default if before else None) or name)
    expected.setdefault("profiles", {}).setdefault(name, {})["url"] = url
    if tables != expected:
        msg = f"{path} is written in a way that cannot be extended: write [profiles.NAME] with its keys below it"
        raise ConfigurationError(msg)


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
