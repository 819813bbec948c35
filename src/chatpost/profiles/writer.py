"""Edits profiles.toml and preserves the rest of the file. The only importer of tomlkit.

An edit reads the file under a lock and replaces it atomically, so concurrent edits are safe.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomlkit

from chatpost.directories import reason_for_distrust
from chatpost.errors import ConfigurationError, system_reason
from chatpost.profiles.file import ProfileFile, load_profiles, load_trusted_profiles


def add_profile(path: Path, name: str, url: str, *, replace: bool) -> ProfileFile:
    """Add a profile to the file, with mode 0600; return the new content. The first profile becomes and stays default.

    Raises `ConfigurationError` if the name is taken (unless `replace`) or the file is invalid.
    """
    with _locked(path):
        before = check_before_adding(path, name, replace=replace)
        default = (before.default if before is not None else None) or name

        def add(content: Any) -> None:
            profiles = content.setdefault("profiles", {})
            if name in profiles:
                profiles[name]["url"] = url
            else:
                profiles[name] = {"url": url}
            content.setdefault("default", default)

        return _change(path, add)


def check_before_adding(path: Path, name: str, *, replace: bool) -> ProfileFile | None:
    """Return the file, None if it does not exist; raises as `add_profile` does."""
    if error := reason_for_distrust(path):
        raise ConfigurationError(error)
    before = load_profiles(path) if os.path.exists(path) else None  # noqa: PTH110 - pathlib's can raise
    if before is not None and name in before.profiles and not replace:
        raise ConfigurationError(f"{path} already has a profile {name}: use --replace to change its URL")
    return before


def delete_profile(path: Path, name: str) -> ProfileFile:
    """Delete a profile, also as the default; return the new content.

    Raises `ConfigurationError` if the profile does not exist or the file is invalid.
    """

    def remove(content: Any) -> None:
        del content["profiles"][name]
        if not content["profiles"]:
            del content["profiles"]
        if content.get("default") == name:
            del content["default"]
        for recipient, names in list(content.get("sendmail", {}).items()):
            if isinstance(names, list) and name in names:
                names.remove(name)
            if names in (name, []):
                del content["sendmail"][recipient]

    with _locked(path):
        load_trusted_profiles(path).profile(name, advises_to_add=False)
        return _change(path, remove)


def set_default(path: Path, name: str) -> ProfileFile:
    """Make a profile the default; return the new content. Raises as `delete_profile` does."""
    with _locked(path):
        load_trusted_profiles(path).profile(name, advises_to_add=False)
        return _change(path, lambda content: content.update(default=name))


def _change(path: Path, change: Callable[[Any], None]) -> ProfileFile:
    """Edit the file, after a check that its new text parses to the expected content and nothing else."""
    before = path.read_text("utf-8-sig") if os.path.exists(path) else ""  # noqa: PTH110 - pathlib's can raise
    expected = tomllib.loads(before)
    had_default = "default" in expected
    change(expected)
    if "default" in expected and not had_default:  # a key after a table's heading would belong to the table
        before = f"default = {tomlkit.string(expected['default']).as_string()}\n\n{before}"
    try:
        document = tomlkit.parse(before)
        change(document)
        text = tomlkit.dumps(document)
        is_as_expected = tomllib.loads(text) == expected
    except (KeyError, ValueError):  # tomlkit cannot edit every form of TOML
        is_as_expected = False
    if not is_as_expected:
        raise ConfigurationError(f"{path} cannot be edited automatically: write [profiles.NAME] with its keys below it")
    _write(path, text)
    return load_profiles(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the file's directory, because the file itself is replaced. Turns `OSError` into `ConfigurationError`."""
    directory = path.resolve().parent
    try:
        for missing in reversed([place for place in (directory, *directory.parents) if not place.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            _lock(descriptor, path)
            yield
        finally:
            os.close(descriptor)
    except OSError as failure:
        raise ConfigurationError(f"{path} cannot be written: {system_reason(failure)}") from None


def _lock(descriptor: int, path: Path) -> None:
    for _ in range(200):  # for about 10 seconds
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return None
    raise ConfigurationError(f"another process is editing {path}: try again later")


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # a link stays a link
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
