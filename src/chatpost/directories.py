"""The directories of the user and of the system. The only importer of platformdirs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from chatpost.errors import StorageError

PROFILES = "profiles.toml"


def user_config() -> Path | None:
    """Return the user's configuration directory; None without a home."""
    return _in_home(platformdirs.user_config_dir, "XDG_CONFIG_HOME")


def user_state() -> Path | None:
    """Return the user's state directory; None without a home."""
    return _in_home(platformdirs.user_state_dir, "XDG_STATE_HOME")


def state_file(name: str) -> Path:
    """Return the path of a file in the user's state directory; raises `StorageError` without a home."""
    if directory := user_state():
        return directory / name
    raise StorageError(name, "there is no home directory; set HOME or XDG_STATE_HOME")


def find_profile_file(config: Path | None) -> Path | None:
    """Return ``config``, else the user's file, else the system's; None if neither exists."""
    if config is not None:
        return config
    site_config = _absolute(platformdirs.site_config_dir("chatpost", appauthor=False))
    candidates = [directory / PROFILES for directory in (user_config(), site_config) if directory is not None]
    return next((path for path in candidates if os.path.isfile(path)), None)  # noqa: PTH113 - pathlib's can raise


def _in_home(find: Callable[..., str], variable: str) -> Path | None:
    # A relative HOME would lead below the working directory, which others may own, and an empty one to the root.
    has_home = Path(os.environ.get("HOME", "/")).is_absolute() or Path(os.environ.get(variable, "")).is_absolute()
    try:
        return _absolute(find("chatpost", appauthor=False)) if has_home else None
    except RuntimeError:  # raised by platformdirs for a user without an entry in passwd
        return None


def _absolute(directory: str) -> Path | None:
    path = Path(directory)
    return path if path.is_absolute() else None
