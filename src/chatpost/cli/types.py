"""The types of option values, which check them as they are read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click

from chatpost.chat.message import THREAD_KEY_LIMIT, Thread
from chatpost.content.terminal import screen_text

if TYPE_CHECKING:
    from click import Context, Parameter

LONGEST = 24 * 3600.0
"""The most seconds that most options take: a day."""

YEAR = 366 * LONGEST
"""The most seconds that an option for long times takes."""


class Seconds(click.ParamType[float]):
    """A number of seconds above 0, up to ``longest``."""

    name = "S"

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self.allowed = f"a number of seconds above 0, up to {longest:.10g}"

    def convert(self, value: object, param: Parameter | None, ctx: Context | None) -> float:
        """Read the number."""
        try:
            seconds = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            seconds = math.nan
        if not 0 < seconds <= self._longest:  # false for NaN too
            self.fail(f"{value!r} is not a number of seconds above 0 and up to {self._longest:.10g}", param, ctx)
        return seconds


class Flag(click.types.BoolParamType):
    """Whether a flag is set, in a variable."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> bool:
        """Read the value, in any of the ways that Click knows."""
        try:
            return bool(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r:.60} is neither 1 nor 0", param, ctx)


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "N"

    @property
    def allowed(self) -> str:
        """The numbers that are allowed, for a person."""
        return f"a whole number from {self.min} to {self.max}"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> int:
        """Read the number."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is not {self.allowed}", param, ctx)


class ThreadKey(click.ParamType[str]):
    """The sender's own name for a thread."""

    name = "KEY"
    allowed = f"a thread key of 1 to {THREAD_KEY_LIMIT} characters"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check the length."""
        if not value.strip():
            self.fail("a thread key cannot be empty", param, ctx)
        if len(value) > THREAD_KEY_LIMIT:
            self.fail(f"a thread key has at most {THREAD_KEY_LIMIT} characters, this one has {len(value)}", param, ctx)
        return _utf8(self, value, param, ctx)


class ThreadName(click.ParamType[Thread]):
    """The name of a thread, or of a message in it."""

    name = "NAME"
    allowed = "the name of a thread (spaces/SPACE/threads/THREAD)"

    def convert(self, value: str | Thread, param: Parameter | None, ctx: Context | None) -> Thread:
        """Read the name."""
        if isinstance(value, Thread):
            return value
        try:
            return Thread.named(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class RequestId(click.ParamType[str]):
    """An id that makes a create idempotent."""

    name = "ID"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Refuse a blank id."""
        if not value.strip():
            self.fail("a request id cannot be empty", param, ctx)
        return _utf8(self, value, param, ctx)


def _utf8(kind: click.ParamType[str], value: str, param: Parameter | None, ctx: Context | None) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        kind.fail("the value has bytes that are not UTF-8", param, ctx)
    return value


class Language(click.ParamType[str]):
    """The name of a programming language."""

    name = "LANG"
    allowed = "the name of a language"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check that it is one name."""
        if not re.fullmatch(r"[A-Za-z0-9+#._-]{1,30}", value):
            self.fail(f"{value!r:.40} is not the name of a language", param, ctx)
        return value


class UserId(click.ParamType[str]):
    """A user to mention: Chat's number, all, or a name in the profile file."""

    name = "USER"
    allowed = "a list of user ids and names, or all"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check the form; ``users/ID`` is taken too."""
        user = value.removeprefix("users/")
        if not re.fullmatch(r"[0-9]{1,30}|[A-Za-z][A-Za-z0-9._-]{0,63}", user):
            what = "a user id, which is a number and no e-mail address, a name in [mentions], or all"
            self.fail(f"{value!r:.60} is not {what}", param, ctx)
        return user


class Words(click.ParamType[str]):
    """A text, cleaned like the text of a message; on one line, unless ``keeps_lines``."""

    name = "TEXT"
    allowed = "a text"

    def __init__(self, *, keeps_lines: bool = False) -> None:
        self._keeps_lines = keeps_lines

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Clean the text; refuse an empty one."""
        text = screen_text(value.encode(errors="surrogateescape").decode(errors="replace")).strip()
        if not text:
            self.fail("the text is empty", param, ctx)
        return text if self._keeps_lines else " ".join(text.split())


class Link(click.ParamType[str]):
    """A URL of the web."""

    name = "URL"
    allowed = "a URL that begins with https:// or http://"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check the form."""
        if not re.fullmatch(r"https?://[^\s<>\"]+", value):
            self.fail("the URL does not begin with https:// or http://, or has a space, quote, < or >", param, ctx)
        return _utf8(self, value, param, ctx)


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with an equals sign between them. In the environment, each line is a pair."""

    def __init__(self, name: str, second: click.ParamType[str]) -> None:
        self.name = name
        self.allowed = f"a list of {name}"
        self._second = second

    def convert(self, value: object, param: Parameter | None, ctx: Context | None) -> tuple[str, str]:
        """Split them at the first equals sign."""
        first, sign, second = str(value).partition("=")
        if not sign:
            self.fail(f"{value!r:.60} is not {self.name}", param, ctx)
        return Words().convert(first, param, ctx), self._second.convert(second, param, ctx)

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split a variable's value into its lines; blank ones do not count."""
        return [line for line in rv.splitlines() if line.strip()]
