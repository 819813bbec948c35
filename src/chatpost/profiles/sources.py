"""Finds the webhooks to post to: by the names of profiles, or in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.webhook import Webhook
from chatpost.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from chatpost.profiles.file import Profile


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
    return [WebhookSource(profile, profile.webhook) for profile in _profiles(names, config, warn)]


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
