"""Finds the webhooks to post to, and a fleet's Redis: in profiles or in the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.webhook import Webhook
from chatpost.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from chatpost.profiles.file import Profile, ProfileFile, Sharing
    from chatpost.redis_client import RedisClient

URL = "CHATPOST_REDIS_URL"  # variable with the URL of a Redis; empty for no Redis
WEBHOOK = "CHATPOST_URL"  # variable with a webhook's URL
WEBHOOK_FILE = "CHATPOST_URL_FILE"  # variable with the path of a file that contains it
OUTBOX = "CHATPOST_OUTBOX"  # variable with the location of the outbox
NAMED_TWICE = "a profile is specified twice: specify each profile once"
_TIMEOUT = 5.0  # seconds for a command to print the Redis's URL, and for Redis to answer


class WebhookSource(NamedTuple):
    """Source of a webhook. ``profile`` is None for a variable; ``fetch_webhook`` takes a timeout in seconds."""

    profile: Profile | None
    fetch_webhook: Callable[[float], Webhook]


def find_sources(
    names: Sequence[str], config: Path | None, environment: Mapping[str, str], warn: Callable[[str], None]
) -> list[WebhookSource]:
    """Return the webhooks to post to: of ``names``, else of a variable, CHATPOST_PROFILE or the default.

    ``names`` are profiles of the file ``config``, or of the user's file if that is None. Raises `UsageError` for a
    duplicate name, and `ConfigurationError` if no webhook is configured or the profile file is invalid.
    """
    if not names and (variable := webhook_variable(environment)):
        return [WebhookSource(None, lambda _: _webhook_from(variable, environment[variable].strip()))]
    names = names or environment.get("CHATPOST_PROFILE", "").split()
    if len(set(names)) < len(names):
        raise UsageError(NAMED_TWICE)
    return [WebhookSource(profile, partial(profile.webhook, environment)) for profile in _profiles(names, config, warn)]


def webhook_variable(environment: Mapping[str, str]) -> str | None:
    """Return the variable that names a webhook, even if it is empty; raises `ConfigurationError` if two do."""
    if environment.get(WEBHOOK, "").strip() and environment.get(WEBHOOK_FILE, "").strip():
        raise ConfigurationError(f"{WEBHOOK} and {WEBHOOK_FILE} are both set: unset one of them")
    names = sorted((WEBHOOK_FILE, WEBHOOK), key=lambda name: not environment.get(name, "").strip())
    return next((name for name in names if name in environment), None)


def _webhook_from(variable: str, value: str) -> Webhook:
    if not value:
        # CI systems leave secrets empty for forks, whose messages must not go to a default profile.
        what = "a webhook's URL" if variable == WEBHOOK else "the path of a file with a webhook's URL"
        raise ConfigurationError(
            f"{variable} is set but empty: set it to {what}, or unset it to use a profile"
            " (in CI, pull requests from forks get no secrets)"
        )
    try:
        if variable == WEBHOOK:
            return Webhook.parse(value)
        return Webhook.parse(_url_in_file(value))
    except (ConfigurationError, RuntimeError) as error:
        raise ConfigurationError(f"{variable}: {error}") from None


def _url_in_file(name: str) -> str:
    from chatpost.profiles.url_source import read_url_file  # not with CHATPOST_URL

    if "://" in name:
        raise ConfigurationError(f"this is a URL, not the path of a file: set {WEBHOOK} to it")
    path = Path(name).expanduser()
    if url := read_url_file(path):
        return url
    raise ConfigurationError(f"the file {path} is empty")


def _profiles(names: Sequence[str], config: Path | None, warn: Callable[[str], None]) -> list[Profile]:
    from chatpost.profiles.file import NO_WEBHOOK, PROFILE_NAME, user_profile_file  # not with CHATPOST_URL

    if not all(PROFILE_NAME.fullmatch(name) for name in names):
        raise ConfigurationError(_fault_of_name(names))
    file = find_profiles(config)
    if file is None and names:
        missing = f"there is no profile {names[0]}, and no profile file {user_profile_file()}"
        raise ConfigurationError(f"{missing}: create it with `chatpost profiles add {names[0]}`")
    if file is not None and (warning := file.permission_warning()):
        warn(warning)
    if file is None or not (file.profiles or names):
        raise ConfigurationError(NO_WEBHOOK)
    if not names and file.default is None:
        known = ", ".join(file.profiles)
        raise ConfigurationError(f"there is no default profile: choose one with -p ({known}), or set it in {file.path}")
    return [file.profile(name) for name in names or [str(file.default)]]


def _fault_of_name(names: Sequence[str]) -> str:
    if "" in names:
        return "-p has an empty profile name: check that the variable in it is set"
    if spaced := next((name for name in names if " " in name and "://" not in name), None):
        advice = f"If it is text, put -- before it: `chatpost send -- '-p{spaced:.40}'`"
        return f"'{spaced:.40}' is not a profile name. {advice}"
    return "invalid profile name: -p takes a name from profiles.toml, never a URL"


def find_profiles(config: Path | None) -> ProfileFile | None:
    """Load the profile file ``config``, else the user's or the system's; None if neither exists.

    Raises `ConfigurationError`.
    """
    from chatpost.directories import find_profile_file

    path = find_profile_file(config)
    if path is None:
        return None
    from chatpost.profiles.file import load_trusted_profiles  # parses TOML

    return load_trusted_profiles(path)


class RedisConfig:
    """Location of a fleet's Redis and of the outbox: set in the environment, else in a profile file. Thread-safe.

    ``outbox`` is not validated until `has_outbox`. The URL is fetched once, at the first use.
    """

    def __init__(self, sharing: Sharing | None, environment: Mapping[str, str]) -> None:
        self._environment = environment
        url = environment.get(URL)
        self._url = url if url is None else url.strip().strip("\"'")
        self._source = sharing.redis if sharing is not None and self._url is None else None
        self.outbox = environment.get(OUTBOX, "").strip() or (sharing and sharing.outbox) or "local"
        self._lock = Lock()
        self._client: RedisClient | ConfigurationError | None = None
        self.is_configured = self._source is not None or bool(self._url)

    @classmethod
    def of_file(cls, config: Path | None, environment: Mapping[str, str]) -> RedisConfig:
        """Load it from the profile file ``config``, or the user's, if the environment does not set everything.

        Raises `ConfigurationError`.
        """
        file = None if {URL, OUTBOX} <= environment.keys() else find_profiles(config)
        return cls(None if file is None else file.sharing, environment)

    @classmethod
    def of_sources(
        cls,
        sources: Sequence[WebhookSource],
        config: Path | None,
        environment: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> RedisConfig:
        """Take it from the profiles' file. For a webhook from CHATPOST_URL, use `of_file`, and warn if that fails."""
        for source in sources:
            if source.profile is not None:
                return cls(source.profile.sharing, environment)
        try:
            return cls.of_file(config, environment)
        except ConfigurationError as error:
            warn(f"ignoring redis in the profile file: {error}")
            return cls(None, environment)

    def has_outbox(self) -> bool:
        """Return whether the outbox is in Redis; raises `ConfigurationError` for an invalid setting."""
        if self.outbox not in {"redis", "local"}:
            raise ConfigurationError(f"{OUTBOX} must be redis or local")
        if self.outbox == "redis" and not self.is_configured:
            raise ConfigurationError(
                f"the outbox is set to redis, but no Redis is configured: set {URL}, or add redis to profiles.toml"
            )
        return self.outbox == "redis"

    def client(self) -> RedisClient:
        """Return the client of this Redis, the same one for each call; raises `ConfigurationError`."""
        with self._lock:
            self._client = self._client or self._make_client()
        if isinstance(self._client, ConfigurationError):
            raise self._client
        return self._client

    def _make_client(self) -> RedisClient | ConfigurationError:
        from chatpost.redis_client import RedisClient  # few commands use Redis

        try:
            url = self._url or "" if self._source is None else self._source.fetch(_TIMEOUT, self._environment)
            return RedisClient(url, _TIMEOUT)
        except ConfigurationError as error:
            return ConfigurationError(f"{URL if self._source is None else 'redis'}: {error}")
