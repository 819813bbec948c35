"""What the values of options may be, checked as they are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from chatpost.message import MESSAGE_ID, THREAD_KEY_LIMIT, Thread

if TYPE_CHECKING:
    from click import Context, Parameter

LONGEST = 24 * 3600.0
"""Seconds that an option may ask for at most: a day."""


class Seconds(click.ParamType[float]):
    """A number of seconds above 0 and up to a day."""

    name = "S"

    def convert(self, value: object, param: Parameter | None, ctx: Context | None) -> float:
        """Read the number."""
        try:
            seconds = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            seconds = math.nan
        if not 0 < seconds <= LONGEST:  # false for NaN too
            self.fail(f"{value!r} is not a number of seconds above 0 and up to {LONGEST:g}", param, ctx)
        return seconds


class ThreadKey(click.ParamType[str]):
    """A sender's own name for a thread."""

    name = "KEY"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check the length."""
        if not value.strip():
            self.fail("a thread key cannot be empty", param, ctx)
        if len(value) > THREAD_KEY_LIMIT:
            self.fail(f"a thread key has at most {THREAD_KEY_LIMIT} characters, this one {len(value)}", param, ctx)
        return _utf8(self, value, param, ctx)


class ThreadName(click.ParamType[Thread]):
    """The name of a thread, or of a message in it."""

    name = "NAME"

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
        """Check that there is one."""
        if not value.strip():
            self.fail("a request id cannot be empty", param, ctx)
        return _utf8(self, value, param, ctx)


class MessageId(click.ParamType[str]):
    """A message id that the sender chooses."""

    name = "client-ID"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Check its form."""
        if not MESSAGE_ID.fullmatch(value):
            self.fail(
                f"{value!r} is not client- and lowercase letters, digits and hyphens, 63 characters in all", param, ctx
            )
        return value


def _utf8(kind: click.ParamType[str], value: str, param: Parameter | None, ctx: Context | None) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        kind.fail("it holds bytes that are not UTF-8", param, ctx)
    return value
