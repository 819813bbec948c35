"""The URL of a fleet's Redis: checked parts, and a text for people without the password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from chatpost.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = re.compile(r"(redis|rediss|unix)|rediss?\+(sentinel|cluster)")
_HOST = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]*))(:(?P<port>[0-9]{1,5}))?")
_PORTS = {"sentinel": 26379}
_PORT = 6379
_MOST_PORTS = 65535
_ESCAPES = "in a password, write %2F %3F %23 %40 for / ? # @"
_FORMS = "redis://, rediss:// or unix://, or redis+sentinel:// or redis+cluster://"


@dataclass(frozen=True, repr=False)
class StoreUrl:
    """A Redis or Valkey to connect to. ``str()`` has neither its user nor its password.

    ``kind`` is ``server``, ``sentinel`` (then ``service`` is the name that it watches) or ``cluster``. ``hosts`` are
    names and ports; a Unix socket has a ``path`` instead. ``options`` are those of redis-py's URLs.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    is_tls: bool = False
    path: str = ""
    user: str = ""
    password: str = ""
    database: int = 0
    service: str = ""
    options: Mapping[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Check a URL; raises `ConfigurationError`, without a part of it."""
        try:
            return cls._parse(text.strip())
        except ValueError as error:
            msg = f"the store's URL {error}"
            raise ConfigurationError(msg) from None

    @classmethod
    def _parse(cls, text: str) -> StoreUrl:
        parts = _split(text)
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        is_tls, kind = parts.scheme.startswith("rediss"), parts.scheme.partition("+")[2] or "server"
        who, _, where = parts.netloc.rpartition("@")
        user, _, password = map(unquote, who.partition(":"))
        if user and not password:
            msg = "names a user and no password"
            raise ValueError(msg)
        names = [unquote(name) for name in parts.path.split("/") if name]
        if parts.scheme == "unix":
            if where or not names:
                msg = "names no socket: write unix:///run/redis.sock, or unix://:PASSWORD@/run/redis.sock"
                raise ValueError(msg)
            path, database = unquote(parts.path), _database(options.pop("db", "0"))
            return cls(kind, (), path=path, user=user, password=password, database=database, options=options)
        hosts = tuple(_host(host, _PORTS.get(kind, _PORT)) for host in where.split(","))
        if len(hosts) > 1 and kind == "server":
            msg = "names several hosts: begin it with redis+sentinel:// or redis+cluster://"
            raise ValueError(msg)
        service = names.pop(0) if kind == "sentinel" and names else ""
        if kind == "sentinel" and not service:
            msg = "names no service: write redis+sentinel://HOST:26379/SERVICE"
            raise ValueError(msg)
        if len(names) > 1 or (kind == "cluster" and (names or "db" in options)):
            msg = f"has more behind the host than the number of a database, of which a cluster has one; {_ESCAPES}"
            raise ValueError(msg)
        database = _database(options.pop("db", names[0] if names else "0"))
        return cls(kind, hosts, is_tls, "", user, password, database, service, options)

    def __str__(self) -> str:
        scheme = "rediss" if self.is_tls else "redis"
        hosts = ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.hosts)
        if self.path:
            return f"unix://{self.path}"
        way = "" if self.kind == "server" else f"+{self.kind}"
        return "/".join(filter(None, (f"{scheme}{way}://{hosts}", self.service, str(self.database or ""))))


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:  # it quotes what is wrong
        msg = "is no URL; in a password, write %5B for ["
        raise ValueError(msg) from None
    if any(not character.isprintable() or character == " " for character in text):
        msg = "has a character that no URL can have"
    elif parts.fragment or "@" in parts.path + parts.query:
        msg = f"has a # or an @ in the wrong place; {_ESCAPES}"
    elif not _SCHEME.fullmatch(parts.scheme):
        msg = f"does not begin with {_FORMS}"
    else:
        return parts
    raise ValueError(msg)


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > _MOST_PORTS:
        msg = f"has a host that is no name, or a port that is no number; {_ESCAPES}"
        raise ValueError(msg)
    return (found["six"] or found["name"] or "localhost").lower(), int(found["port"] or port)


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        msg = f"names a database that is no number; {_ESCAPES}"
        raise ValueError(msg)
    return int(text)
