"""Finds the webhooks to post to: by the names of profiles, or in the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.webhook import Webhook
from chatpost.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile, ProfileFile, Sharing

URL = "CHATPOST_STORE"  # the variable with a Redis's URL; empty for no Redis
OUTBOX = "CHATPOST_OUTBOX"  # the variable with the place of the outbox
NAMED_TWICE = "a profile is named twice: name each once"


class WebhookSource(NamedTuple):
    """Where a webhook comes from. ``profile`` is None if its URL is in CHATPOST_URL.

    ``fetch_webhook`` is given the seconds it may take.
    """

    profile: Profile | None
    fetch_webhook: Callable[[float], Webhook]


def find_sources(
    names: Sequence[str], config: Path | None, environment: Mapping[str, str], warn: Callable[[str], None]
) -> list[WebhookSource]:
    """Return the webhooks to post to: of ``names``, else CHATPOST_URL, else CHATPOST_PROFILE, else the default profile.

    ``names`` are those of profiles in the file ``config``, or in the user's if that is None. Raises `UsageError` for a
    name given twice, and `ConfigurationError` if nothing is set, or the profile file is at fault.
    """
    url = environment.get("CHATPOST_URL")
    if url is not None and not names:
        return [WebhookSource(None, lambda _: _webhook_from_environment(url))]
    names = names or environment.get("CHATPOST_PROFILE", "").split()
    if len(set(names)) < len(names):
        raise UsageError(NAMED_TWICE)
    return [WebhookSource(profile, partial(profile.webhook, environment)) for profile in _profiles(names, config, warn)]


def _webhook_from_environment(url: str) -> Webhook:
    if not url.strip():
        # A CI secret that a fork does not get is empty: its messages must not go to a default profile.
        raise ConfigurationError(
            "CHATPOST_URL is set but empty: set it to a webhook's URL, or unset it to use a profile"
            " (in a CI, a pull request from a fork gets no secrets)"
        )
    try:
        return Webhook.parse(url)
    except ConfigurationError as error:
        raise ConfigurationError(f"CHATPOST_URL: {error}") from None


def _profiles(names: Sequence[str], config: Path | None, warn: Callable[[str], None]) -> list[Profile]:
    # Not at the top: a run with CHATPOST_URL reads no TOML.
    from chatpost.profiles.file import NO_WEBHOOK, PROFILE_NAME, user_profile_file

    if not all(PROFILE_NAME.fullmatch(name) for name in names):
        raise ConfigurationError("invalid profile name: -p takes a name from profiles.toml, never a URL")
    file = find_profiles(config)
    if file is None and names:
        missing = f"there is no profile {names[0]}, and no profile file {user_profile_file()}"
        raise ConfigurationError(f"{missing}: `chatpost profiles add {names[0]}` makes one")
    if file is not None and (warning := file.permission_warning()):
        warn(warning)
    if file is None or not (file.profiles or names):
        raise ConfigurationError(NO_WEBHOOK)
    if not names and file.default is None:
        raise ConfigurationError(
            f"name a profile with -p: {file.path} has {', '.join(file.profiles)}; or set default in the file"
        )
    return [file.profile(name) for name in names or [str(file.default)]]


def find_profiles(config: Path | None) -> ProfileFile | None:
    """Load the profile file ``config``, else the user's or the system's; None if there is none.

    Raises `ConfigurationError`.
    """
    from chatpost.directories import find_profile_file

    path = find_profile_file(config)
    if path is None:
        return None
    from chatpost.profiles.file import load_trusted_profiles  # reads TOML

    return load_trusted_profiles(path)


def find_sharing(
    sources: Sequence[WebhookSource],
    config: Path | None,
    environment: Mapping[str, str],
    warn: Callable[[str], None],
) -> Sharing | None:
    """Return what the file of the sources' profiles says of a fleet's Redis, or without profiles the user's file.

    Warns if the user's file cannot be used: the message needs no profile.
    """
    for source in sources:
        if source.profile is not None:
            return source.profile.sharing
    try:
        return load_sharing(config, environment)
    except ConfigurationError as error:
        warn(f"a store in the profile file is not used: {error}")
        return None


def load_sharing(config: Path | None, environment: Mapping[str, str]) -> Sharing | None:
    """Read what the profile file ``config``, or the user's, says of a fleet's Redis.

    It is not read if the environment leaves nothing open. Raises `ConfigurationError`.
    """
    file = None if {URL, OUTBOX} <= environment.keys() else find_profiles(config)
    return None if file is None else file.sharing
