"""Reads profiles.toml, which names webhooks and sets option defaults for each."""

from __future__ import annotations

import codecs
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from chatpost.chat.webhook import Webhook
from chatpost.directories import PROFILES, reason_for_distrust, user_config
from chatpost.errors import ConfigurationError, system_reason
from chatpost.profiles.url_source import UrlSource, open_without_waiting, read_source

_SIZE_LIMIT = 1024 * 1024  # bytes

PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_USER_ID = re.compile(r"[0-9]{1,30}|all")  # Chat's number for a user, or everyone in the space
_USER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_LONGEST_RECIPIENT = 100  # characters to show
_MOST = 500  # users per name; a message has room for some thousand

HOW_TO_FIND_AN_ID = (
    "A user ID is a number: in Chat on the web, right-click the person's name, choose Inspect, and look for"
    " data-member-id"
)

NO_WEBHOOK = """no webhook is configured. To create one:
  1. In a browser, open the space in Chat: arrow next to its name > Apps & integrations > Add webhooks > Copy link.
  2. Store the link with `chatpost profiles add ops`, or set CHATPOST_URL to it."""


class Sharing(NamedTuple):
    """A profile file's settings of a fleet: the source of its Redis URL, and the location of the outbox."""

    redis: UrlSource | None = None
    outbox: str | None = None


class Profile(NamedTuple):
    """A named webhook in the file at ``path``. ``defaults`` are option values, not validated yet.

    ``mentions`` maps the file's names for users to user IDs.
    """

    path: Path
    name: str
    source: UrlSource
    defaults: Mapping[str, object]
    sharing: Sharing = Sharing()
    mentions: Mapping[str, tuple[str, ...]] = {}

    def webhook(self, environment: Mapping[str, str], timeout: float = inf) -> Webhook:
        """Fetch the URL from its source; ``timeout`` is in seconds. Raises `ConfigurationError`."""
        try:
            return Webhook.parse(self.source.fetch(timeout, environment))
        except ConfigurationError as error:
            raise ConfigurationError(f"profile {self.name}: {error}") from None

    def known_space(self, environment: Mapping[str, str]) -> str | None:
        """Return the profile's space (``spaces/S``); None if that takes running a command, or the URL is invalid."""
        try:
            return None if self.source.kind == "command" else self.webhook(environment).space
        except ConfigurationError:
            return None


class ProfileFile(NamedTuple):
    """A loaded profile file. ``mode`` is its ``st_mode``; ``sendmail`` maps mail recipients to profile names."""

    path: Path
    profiles: Mapping[str, Profile]
    named_default: str | None
    mode: int
    sharing: Sharing = Sharing()
    mentions: Mapping[str, tuple[str, ...]] = {}
    sendmail: Mapping[str, tuple[str, ...]] = {}

    @property
    def default(self) -> str | None:
        """The file's ``default``, else its only profile."""
        return self.named_default or (next(iter(self.profiles)) if len(self.profiles) == 1 else None)

    def profile(self, name: str, *, advises_to_add: bool = True) -> Profile:
        """Return a profile by name; raises `ConfigurationError` that lists the profiles."""
        if name in self.profiles:
            return self.profiles[name]
        from difflib import get_close_matches  # only for a mistake

        nearest = get_close_matches(name, self.profiles, 1)
        advice = f"; add it with `chatpost profiles add {name}`" if advises_to_add else ""
        advice = f"; did you mean {nearest[0]}?" if nearest else advice
        raise ConfigurationError(
            f"there is no profile {name} in {self.path} (it has: {', '.join(self.profiles) or 'none'}){advice}"
        )

    def permission_warning(self) -> str | None:
        """Return a warning if other users can read URLs in the file."""
        sources = [self.sharing.redis, *(profile.source for profile in self.profiles.values())]
        if self.mode & stat.S_IROTH and any(source and source.kind == "in the file" for source in sources):
            return f"{self.path} contains secret URLs, and other users can read it: run chmod 600 on it"
        return None


def user_profile_file() -> Path:
    """Return the path of the user's own file, which may not exist; raises `ConfigurationError` without a home."""
    if directory := user_config():
        return directory / PROFILES
    raise ConfigurationError("there is no home directory for a profile file: set HOME, or name a file with --config")


def load_profiles(path: Path) -> ProfileFile:
    """Load a profile file; raises `ConfigurationError` that names the file and the line and column, or the key."""
    text, mode = _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not TOML: {_without_values(str(error))}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f"{path} is not TOML: a number in it is too long, or it is nested too deeply"
        ) from None
    try:
        return _read_document(path, document, mode)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def load_trusted_profiles(path: Path) -> ProfileFile:
    """Load a profile file that only this user, or root, can have written; raises `ConfigurationError`."""
    file = load_profiles(path)
    if reason := reason_for_distrust(path):  # the file could run a program, or redirect messages
        raise ConfigurationError(reason)
    return file


def _read(path: Path) -> tuple[str, int]:
    try:
        with open_without_waiting(path) as file:
            os.set_blocking(file.fileno(), True)
            raw = file.read(_SIZE_LIMIT + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as failure:
        hint = ": check --config or CHATPOST_CONFIG" if isinstance(failure, FileNotFoundError) else ""
        raise ConfigurationError(f"{path} cannot be read: {system_reason(failure)}{hint}") from None
    if len(raw) > _SIZE_LIMIT:
        raise ConfigurationError(f"{path} is larger than {_SIZE_LIMIT:,} bytes: is it a profile file?")
    try:
        return raw.removeprefix(codecs.BOM_UTF8).decode(), mode
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line})") from None


def _without_values(complaint: str) -> str:
    """Return tomllib's message without the text that it quotes, which could be a secret."""
    what, _, where = complaint.rpartition(" (at ")
    what = re.sub(r"""(['"]).*\1""", "something", what, flags=re.DOTALL)
    return f"{what} ({where}" if where else what


def _read_document(path: Path, document: dict[str, Any], mode: int) -> ProfileFile:
    for key in document:
        if key not in {"default", "redis", "outbox", "mentions", "sendmail", "profiles"}:
            shown = f" {key}" if PROFILE_NAME.fullmatch(key) else ""  # else it could be a secret
            raise ValueError(
                f"unknown key{shown}: a profile file has default, redis, outbox, [mentions], [sendmail] and"
                " [profiles.NAME]"
            )
    outbox = document.get("outbox")
    if outbox not in (None, "redis", "local"):
        raise ValueError('outbox is not "redis" or "local"')
    sharing = Sharing(read_source("redis", document["redis"], path.parent) if "redis" in document else None, outbox)
    mentions = _read_mentions(document.get("mentions", {}))
    tables = document.get("profiles", {})
    if not isinstance(tables, dict):
        raise ValueError("profiles is not a table: write [profiles.NAME]")  # noqa: TRY004 - every fault of the file is the same error
    profiles = {
        name: _read_profile(name, table, path)._replace(sharing=sharing, mentions=mentions)
        for name, table in tables.items()
    }
    default = document.get("default")
    if default is not None and not (isinstance(default, str) and default in profiles):
        raise ValueError(f"default names a profile that is not in this file (it has: {', '.join(profiles) or 'none'})")
    sendmail = _read_sendmail(document.get("sendmail", {}), profiles)
    return ProfileFile(path, profiles, default, mode, sharing, mentions, sendmail)


def _read_profile(name: str, table: object, path: Path) -> Profile:
    if not PROFILE_NAME.fullmatch(name):
        raise ValueError("[profiles] has an invalid profile name: use letters, digits, and . _ - between them")
    if not isinstance(table, dict):
        raise ValueError(f"profiles.{name} is not a table: write [profiles.{name}] and a url below it")  # noqa: TRY004 - every fault of the file is the same error
    if "url" not in table:
        raise ValueError(f"profiles.{name} has no url")
    source = read_source(f"profiles.{name}.url", table["url"], path.parent)
    return Profile(path, name, source, {key: value for key, value in table.items() if key != "url"})


def _read_sendmail(table: object, profiles: Mapping[str, Profile]) -> dict[str, tuple[str, ...]]:
    """Return the profiles for each recipient, in lower case. Raises `ValueError`."""
    if not isinstance(table, dict):
        raise ValueError('sendmail is not a table: write [sendmail], and below it RECIPIENT = "PROFILE"')  # noqa: TRY004 - every fault of the file is the same error
    routes: dict[str, tuple[str, ...]] = {}
    for recipient, value in table.items():
        names = value if isinstance(value, list) else [value]
        shown = recipient if len(recipient) <= _LONGEST_RECIPIENT and recipient.isprintable() else "a recipient"
        if isinstance(value, dict):
            raise ValueError(f"sendmail.{shown} is a table: quote a recipient that contains a dot, @, * or ?")  # noqa: TRY004 - every fault of the file is the same error
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"sendmail.{shown} is not the name of a profile in quotes, or a list of names")
        if not all(name in profiles for name in names):
            known = ", ".join(profiles) or "none"
            raise ValueError(f"sendmail.{shown} names a profile that is not in this file (it has: {known})")
        if recipient.lower() in routes:
            raise ValueError(f"sendmail has {shown} twice: upper and lower case are the same")
        routes[recipient.lower()] = tuple(names)
    return routes


def _read_mentions(table: object) -> dict[str, tuple[str, ...]]:
    """Return the user IDs for each name. Raises `ValueError`."""
    if not isinstance(table, dict):
        raise ValueError('mentions is not a table: write [mentions], and below it NAME = "USER_ID"')  # noqa: TRY004 - every fault of the file is the same error
    words: dict[str, list[str]] = {}
    for name, value in table.items():
        its = value if isinstance(value, list) else [value]
        if name == "all":
            raise ValueError("[mentions] cannot define the name all, which means everyone")
        if not _USER_NAME.fullmatch(name):
            raise ValueError("[mentions] has an invalid name: use a letter, then letters, digits, and . _ -")
        if not its or not all(isinstance(word, str) for word in its):
            raise ValueError(f'mentions.{name} is not "USER_ID", in quotes, or a list of names')
        words[name] = [word.removeprefix("users/") for word in its]
    return _user_ids(words) if words else {}


def _user_ids(words: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    from graphlib import CycleError, TopologicalSorter  # few files have [mentions]

    try:
        names = [name for name in TopologicalSorter(words).static_order() if name in words]
    except CycleError as error:
        circle = error.args[1][::-1]
        raise ValueError(f"mentions.{circle[0]} refers to itself: {' > '.join(circle)}") from None
    found: dict[str, tuple[str, ...]] = {}
    for name in names:  # after the names that it stands for
        ids: dict[str, None] = {}
        for word in words[name]:
            if word not in found and not _USER_ID.fullmatch(word):
                raise ValueError(_unknown_user(name, word))
            ids |= dict.fromkeys(found.get(word, (word,)))
        if len(ids) > _MOST:
            raise ValueError(f"mentions.{name} resolves to more than {_MOST} users")
        found[name] = tuple(ids)
    return {name: found[name] for name in words}


def _unknown_user(name: str, word: str) -> str:
    if name in {"default", "outbox", "redis"}:
        return f"mentions.{name} looks like a top-level key: move it above [mentions]"
    # Anything that does not look like a name could be a secret.
    what = f"{word}, a value" if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,19}", word) else "a value"
    return f"mentions.{name} contains {what} that is neither a user ID nor a name in [mentions]. {HOW_TO_FIND_AN_ID}"
