"""Finds the webhooks to post to, from options, the environment and the profiles."""

from __future__ import annotations

import os
import random
import time
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.webhook import Webhook
from chatpost.delivery.sender import Timing
from chatpost.errors import ConfigurationError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chatpost.chat.client import ChatClient
    from chatpost.cli.store import Store
    from chatpost.cli.values import Where
    from chatpost.delivery.pacing import Pacer
    from chatpost.profiles.file import Profile

TIMING = Timing(clock=time.monotonic, sleep=time.sleep, random=random.random)


class Target(NamedTuple):
    """A webhook to post to. ``profile`` is None if the URL is in CHATPOST_URL.

    ``fetch_webhook`` is given the seconds it may take.
    """

    profile: Profile | None
    fetch_webhook: Callable[[float], Webhook]


def find_targets(where: Where, warn: Callable[[str], None]) -> list[Target]:
    """Return the targets of the first of these that is set: -p, CHATPOST_URL, CHATPOST_PROFILE, the default profile.

    Raises `ConfigurationError` if none of them is set, or the profile file is at fault.
    """
    url = os.environ.get("CHATPOST_URL")
    if url is not None and not where.profile:
        return [Target(None, lambda _: _webhook_from_environment(url))]
    names = where.profile or os.environ.get("CHATPOST_PROFILE", "").split()
    if len(set(names)) < len(names):
        msg = "a profile is named twice: name each once"
        raise UsageError(msg)
    return [Target(profile, profile.webhook) for profile in _profiles(names, where.config, warn)]


def _webhook_from_environment(url: str) -> Webhook:
    if not url.strip():
        # A CI secret that a fork does not get is empty: its messages must not go to a default profile.
        msg = (
            "CHATPOST_URL is set but empty: set it to a webhook's URL, or unset it to use a profile"
            " (in a CI, a pull request from a fork gets no secrets)"
        )
        raise ConfigurationError(msg)
    try:
        return Webhook.parse(url)
    except ConfigurationError as error:
        msg = f"CHATPOST_URL: {error}"
        raise ConfigurationError(msg) from None


def _profiles(names: Sequence[str], config: Path | None, warn: Callable[[str], None]) -> list[Profile]:
    # Not at the top: a run with CHATPOST_URL reads no TOML.
    from chatpost.directories import find_profile_file
    from chatpost.profiles.file import (
        NO_WEBHOOK,
        PROFILE_NAME,
        load_profiles,
        user_profile_file,
    )

    if not all(PROFILE_NAME.fullmatch(name) for name in names):
        msg = "invalid profile name: -p takes a name from profiles.toml, never a URL"
        raise ConfigurationError(msg)
    path = find_profile_file(config)
    if path is None:
        if names:
            missing = f"there is no profile {names[0]}, and no profile file {user_profile_file()}"
            msg = f"{missing}: `chatpost profiles add {names[0]}` makes one"
            raise ConfigurationError(msg)
        raise ConfigurationError(NO_WEBHOOK)
    file = load_profiles(path)
    if error := file.permission_error():
        raise ConfigurationError(error)
    if warning := file.permission_warning():
        warn(warning)
    if not file.profiles and not names:
        raise ConfigurationError(NO_WEBHOOK)
    if not names and file.default is None:
        msg = f"name a profile with -p: {path} has {', '.join(file.profiles)}; or set default in the file"
        raise ConfigurationError(msg)
    return [file.profile(name) for name in names or [str(file.default)]]


def state_file(name: str) -> Path:
    """Return the path of a file in the user's state directory; raises `StorageError` for a user without a home."""
    from chatpost.directories import user_state

    directory = user_state()
    if directory is None:
        why = "there is no home directory; set HOME or XDG_STATE_HOME"
        raise StorageError(name, why)
    return directory / name


def make_pacer(warn: Callable[[str], None], store: Store, retry_after: float = inf) -> Pacer | None:
    """Return the pacer that all of the user's processes on this machine share, and a fleet's if it has a store.

    None for a user without a home, or a store. A store that fails is left alone for ``retry_after`` seconds.
    """
    from chatpost.delivery.sqlite_store import SqliteStore, boot_id  # not for --help
    from chatpost.directories import user_state

    directory = user_state()
    own = None if directory is None else SqliteStore(directory / "pacing.sqlite3", time.monotonic, boot_id(), warn)
    if store.is_configured:
        from chatpost.delivery.fleet import FleetPacer

        return FleetPacer(own, lambda: _shared_queues(store, warn, retry_after))
    if own is None:
        warn("messages are not paced: there is no home directory; set HOME or XDG_STATE_HOME")
    return own


def _shared_queues(store: Store, warn: Callable[[str], None], retry_after: float) -> Pacer | None:
    from chatpost.delivery.redis_store import RedisStore

    try:
        return RedisStore(store.server(), warn, retry_after=retry_after)
    except ConfigurationError as error:
        warn(f"messages are paced by this machine alone: {error}")
        return None


def make_client() -> ChatClient:
    """Return a client for Chat."""
    from chatpost.chat.client import ChatClient  # requests, for a command that posts, not for --help

    return ChatClient(time.time)
