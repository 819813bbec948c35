"""Types of option values, which validate them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from chatpost.chat.message import THREAD_KEY_LIMIT, Thread
from chatpost.content.terminal import screen_text
from chatpost.formatting import parse_duration

if TYPE_CHECKING:
    from click import Context, Parameter

YEAR = 366 * 86_400  # seconds: the maximum of options for long durations


def _require(holds: object, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)


class Parsed(click.types.FuncParamType[Any, Any]):
    """A value parsed by ``parse``, which raises `ValueError`. ``allowed`` describes the values in error messages."""

    def __init__(self, name: str, parse: Callable[[Any], Any], allowed: str = "") -> None:
        super().__init__(parse)
        self.name, self.allowed = name, allowed


class Duration(Parsed):
    """A duration above 0, up to ``longest`` seconds, which is ``shown`` in errors; its value is in seconds."""

    def __init__(self, longest: float = 86_400, shown: str = "1d") -> None:
        def parse(value: str | float) -> float:
            seconds = parse_duration(value) if isinstance(value, str) else float(value)
            # NaN fails this comparison.
            _require(0 < seconds <= longest, f"{value!r} is out of range: use {self.allowed}")
            return seconds

        super().__init__("DURATION", parse, f"a duration above 0s, up to {shown}, such as 90s, 5m or 2h")


class Flag(click.types.BoolParamType):
    """A flag in an environment variable."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> bool:
        """Parse the value as Click does."""
        is_set = self.str_to_bool(value)
        if is_set is None:
            self.fail(f"{value!r:.60} is not a boolean: use 1 or 0", param, ctx)
        return is_set


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "N"

    def __init__(self, least: int, most: int) -> None:
        super().__init__(least, most)
        self.allowed = f"a whole number from {least} to {most}"

    def _describe_range(self) -> str:
        return f"{self.min} to {self.max}"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> int:
        """Parse the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not {self.allowed}", param, ctx)


def _thread_key(value: str) -> str:
    _require(value.strip(), "a thread key cannot be empty")
    limit = THREAD_KEY_LIMIT
    looks_like_a_name = re.match(r"spaces/[^/]+/(?:threads|messages)/|https://chat\.google\.com/", value)
    _require(not looks_like_a_name, "this names a thread, but is not a thread key: use --thread")
    _require(len(value) <= limit, f"a thread key has at most {limit} characters, this one has {len(value)}")
    return _utf8(value)


def _request_id(value: str) -> str:
    _require(value.strip(), "a request ID cannot be empty")
    return _utf8(value)


def _utf8(value: str) -> str:
    _require(not re.search("[\ud800-\udfff]", value), "the value is not valid UTF-8")
    return value


def _language(value: str) -> str:
    _require(re.fullmatch(r"[A-Za-z0-9+#._-]{1,30}", value), f"{value!r:.40} is not the name of a language")
    return value


def _user(value: str) -> str:
    """Parse a user ID (``users/ID`` too), all, or a name in the profile file."""
    user = value.strip("<>").removeprefix("@").removeprefix("users/")
    what = "a user ID (a number, not an email address), a name in [mentions], or all"
    _require(re.fullmatch(r"[0-9]{1,30}|[A-Za-z][A-Za-z0-9._-]{0,63}", user), f"{value!r:.60} is not {what}")
    return user


def text(value: str) -> str:
    """Clean a text as that of a message; raises `ValueError` if it is empty."""
    cleaned = screen_text(value.encode(errors="surrogateescape").decode(errors="replace")).strip()
    _require(cleaned, "the text is empty")
    return cleaned


def _line(value: str) -> str:
    return " ".join(text(value).split())


def link(value: str) -> str:
    """Validate a web page's URL; raises `ValueError`."""
    complaint = "the URL must begin with https:// or http:// and contain no spaces, quotes, < or >"
    _require(re.fullmatch(r"https?://[^\s<>\"]+", value), complaint)
    return _utf8(value)


def _image(value: str) -> str:
    """Validate an image's URL: Chat fetches only https. Raises `ValueError`."""
    _require(value.startswith("https://"), "Chat fetches images only over https: the URL must begin with https://")
    return link(value)


THREAD_KEY = Parsed("KEY", _thread_key, f"a thread key of 1 to {THREAD_KEY_LIMIT} characters")
THREAD_NAME = Parsed("NAME", Thread.named, "a thread name (spaces/SPACE/threads/THREAD)")
REQUEST_ID = Parsed("ID", _request_id)
LANGUAGE = Parsed("LANG", _language, "the name of a language")
USER = Parsed("USER", _user, "a list of user IDs and names, or all")
LINE = Parsed("TEXT", _line, "a text")
LINK = Parsed("URL", link, "a URL that begins with https:// or http://")
IMAGE = Parsed("URL", _image, "a URL that begins with https://")


class Pair(Parsed):
    """Two texts separated by an equals sign. An environment variable has one pair per line."""

    def __init__(self, name: str, parse_second: Callable[[str], str]) -> None:
        def parse(value: str) -> tuple[str, str]:
            first, sign, second = value.partition("=")
            _require(sign, f"{value!r:.60} is not {name}")
            return _line(first), parse_second(second)

        super().__init__(name, parse, f"a list of {name}")

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split a variable's value into lines, without blank ones."""
        return [line for line in rv.splitlines() if line.strip()]


def or_of_group(ctx: Context, option: Parameter, value: Any) -> Any:
    """Return an option's value, or else its value for the command's group."""
    return value or (ctx.parent.params.get(str(option.name)) if ctx.parent else None)
