"""A space's incoming webhook: the only type that holds a secret.

Anyone with the URL can post, so a `Webhook` prints masked, and only `request_url` returns its key and token. Its parts
are validated once, here. Requests go to a URL built from the validated parts, never to the original string.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from chatpost.chat.masking import MASK, mask_everywhere, mask_urls_near_paths
from chatpost.errors import ConfigurationError

_PATH = re.compile(r"/v1/spaces/[A-Za-z0-9_-]+/messages")
_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
_SECRET = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}|[!$'()*+,:;=@/])+")
# An ampersand can be escaped for HTML or JSON, and a whole URL can be percent-encoded.
# These are rarely needed, so they are compiled on use.
_URL_PARAMETER = r"((?:[?&]|&amp;|\\u0026|%3[Ff]|%26)(?:key|token)(?:=|%3[Dd]|\\u003[Dd]))(?:(?!%26)[^&\\\s'\"<>])+"
_INVISIBLE = (
    r"[\xad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u180b-\u180f\u3164"
    r"\ufe00-\ufe0f\ufff9-\ufffb\ufeff]"
)
_ENCODED = rf"{_INVISIBLE}|%[0-9A-Fa-f]{{2}}|\\|&(?:#|\w+;)|=3D|=\r?\n"
_SHORTEST_SECRET = 16  # characters; a webhook's are longer, and a shorter one could be a word
_AROUND_URL = " \t\r\n\v\f\xa0\ufeff\u200b\"'<>\u201c\u201d\u2018\u2019"  # left by env files and chats
_PIECE = 8  # characters of a secret that count as a leak
_COPY_AGAIN = "copy the webhook's link from Chat again"
_PARAMETERS_WITH_AN_OPTION = {
    "threadKey": "--thread-key",
    "messageReplyOption": "--fallback-new-thread or --or-fail",
    "requestId": "--request-id",
}


def mask_urls(text: str) -> str:
    """Return `text` with the key and token of any webhook URL in it masked."""
    if "key" not in text and "token" not in text:  # a long table has many cells
        return text
    return re.sub(_URL_PARAMETER, rf"\1{MASK}", text)


def mask_webhooks(value: Any) -> Any:
    """Return a JSON value with the key and token of all webhook URLs masked: all members of the space can read it."""
    return in_strings(value, _mask_any_webhook)


def in_strings(value: Any, mask: Callable[[str], str]) -> Any:
    """Return a JSON value with ``mask`` applied to its strings."""
    if isinstance(value, dict):
        return {mask(name): in_strings(item, mask) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [in_strings(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def _mask_any_webhook(text: str) -> str:
    if "messages" not in text.lower() and (text.isascii() or not re.search(_INVISIBLE, text)):
        return text
    return mask_urls_near_paths(text)


class Webhook:
    """A webhook. ``space`` is ``spaces/S``; ``origin`` is scheme, host and port; ``key`` and ``token`` are encoded."""

    def __init__(self, origin: str, space: str, key: str, token: str, *, is_loopback: bool) -> None:
        self.origin = origin
        self.space = space
        self.is_loopback = is_loopback
        self._key = key
        self._token = token

    @classmethod
    def parse(cls, url: str) -> Webhook:
        """Parse the URL that Chat shows under "Copy link"; raises `ConfigurationError`, which does not quote it.

        The URL can be in quotes, as env files and YAML keep them, and escaped for HTML, JSON or a shell.
        """
        url = re.sub(r"\\u0026|&(?:amp|#38|#x26);", "&", url.strip(_AROUND_URL), flags=re.IGNORECASE)
        url = re.sub(r"^\w+=(?=https?://)|\\(?=[?&=/])", "", url).strip(_AROUND_URL)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ConfigurationError("the webhook URL has an invalid host or port") from None
        is_loopback = _is_loopback(host)
        query = [part.partition("=") for part in parts.query.split("&") if part]
        problem = _problem_of_place(url, parts, host, is_loopback=is_loopback) or _problem_of_query(query)
        if problem:
            raise ConfigurationError(problem)
        name = f"[{host}]" if ":" in host else host
        origin = f"{parts.scheme}://{name}" if port is None else f"{parts.scheme}://{name}:{port}"
        secrets = {name: value for name, _, value in query}
        space = parts.path.removeprefix("/v1/").removesuffix("/messages")
        return cls(origin, space, secrets["key"], secrets["token"], is_loopback=is_loopback)

    @property
    def host(self) -> str:
        """Host and port."""
        return self.origin.partition("://")[2]

    @property
    def fingerprint(self) -> str:
        """A hash of the URL. It does not reveal the secrets, which are long and random."""
        return hashlib.sha256(self.request_url({}).encode()).hexdigest()

    def request_url(self, parameters: Mapping[str, str]) -> str:
        """Return the URL with its secrets, for the HTTP client only."""
        return self._url(self._key, self._token, parameters)

    def masked_url(self, parameters: Mapping[str, str]) -> str:
        """Return the URL with its secrets masked."""
        return self._url(MASK, MASK, parameters)

    def _url(self, key: str, token: str, parameters: Mapping[str, str]) -> str:
        more = f"&{urlencode(parameters)}" if parameters else ""
        return f"{self.origin}/v1/{self.space}/messages?key={key}&token={token}{more}"

    def __repr__(self) -> str:
        return f"<Webhook {self.masked_url({})}>"

    @cached_property
    def _pieces(self) -> frozenset[str]:
        plain = [unquote(secret) for secret in (self._key, self._token)]
        forms = [self._key, self._token, *plain, *(quote(secret, safe="") for secret in plain)]
        return frozenset(form[i : i + _PIECE] for form in forms for i in range(len(form) - _PIECE + 1))

    def mask_posted(self, value: Any) -> Any:
        """Return a JSON value to post with this key and token masked, in any form: the space's members can read it."""
        return in_strings(value, self._mask_own)

    def _mask_own(self, text: str) -> str:
        forms = {
            form for raw in (self._key, self._token) for form in (raw, unquote(raw)) if len(form) >= _SHORTEST_SECRET
        }
        plain = "".join(text.split())
        has_escapes = not text.isascii() or any(sign in text for sign in "%\\&=")
        if not (has_escapes and re.search(_ENCODED, text)) and not any(form in plain for form in forms):
            return text
        return mask_everywhere(text, forms)

    def mask(self, text: str) -> str:
        """Return `text` with all webhook URLs, and all pieces of 8 characters of this key and token, masked."""
        secret_until = 0
        kept: list[str] = []
        for i, character in enumerate(text):
            if text[i : i + _PIECE] in self._pieces:
                if i >= secret_until:
                    kept.append(MASK)
                secret_until = i + _PIECE
            if i >= secret_until:
                kept.append(character)
        return mask_urls("".join(kept))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _problem_of_place(url: str, parts: SplitResult, host: str, *, is_loopback: bool) -> str | None:
    """Return the error in a URL before its query, or None."""
    if not url.strip():
        return "the webhook URL is empty"
    if parts.scheme not in {"https", "http"}:
        return "the webhook URL does not begin with https://"
    if "@" in parts.netloc:
        return "the webhook URL has a user name or password before its host: remove it"
    if not is_loopback and not (_HOST.fullmatch(host) and host.endswith(".googleapis.com")):
        return f"the webhook URL's host is not chat.googleapis.com or another host under googleapis.com: {_COPY_AGAIN}"
    if not is_loopback and parts.scheme != "https":
        return "the webhook URL begins with http://, which would expose its token to the network: use https://"
    if parts.fragment:
        return f"the webhook URL has a fragment (#...): {_COPY_AGAIN}"
    if not _PATH.fullmatch(parts.path):
        return f"the webhook URL's path is not /v1/spaces/SPACE/messages: {_COPY_AGAIN}"
    return None


def _problem_of_query(query: list[tuple[str, str, str]]) -> str | None:
    """Return the error in a query, or None. It must consist of a key and a token."""
    seen: set[str] = set()
    for name, _, value in query:
        if option := _PARAMETERS_WITH_AN_OPTION.get(name):
            return f"the webhook URL has the parameter {name}: remove it and use {option}"
        if name not in {"key", "token"}:
            return "the webhook URL has a parameter other than key and token: copy its link from Chat again"
        if name in seen:
            return f"the webhook URL has two {name} parameters"
        if not _SECRET.fullmatch(value):
            return f"the webhook URL's {name} is empty or contains invalid characters"
        seen.add(name)
    for name in ("key", "token"):
        if name not in seen:
            fix = "copy the whole link, and quote it in a shell, because & ends a command"
            return f"the webhook URL has no {name}: {fix}"
    return None
