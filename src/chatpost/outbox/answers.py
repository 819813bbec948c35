"""Reads the answers of a Redis to which others can write: nothing in it is trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from chatpost.errors import StorageError
from chatpost.outbox.model import OutboxMessage

_P = ParamSpec("_P")
_T = TypeVar("_T")
_O = TypeVar("_O", bound="HasRedis")


class HasRedis(Protocol):
    """An outbox in a Redis."""

    def unexpected_answer(self) -> StorageError:
        """Return the error for an answer of an unexpected form."""


def checked(method: Callable[Concatenate[_O, _P], _T]) -> Callable[Concatenate[_O, _P], _T]:
    """Make a method of an outbox raise `StorageError` for an answer of an unexpected form."""

    @wraps(method)
    def call(outbox: _O, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(outbox, *args, **kwargs)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            raise outbox.unexpected_answer() from None

    return call


def without_path(message: OutboxMessage) -> OutboxMessage:
    """Return the message without the path of its profile file: others can write to the Redis."""
    return message._replace(webhook=message.webhook._replace(config=None))


def whole(value: bytes | int | None) -> int:
    """Parse an untrusted whole number; return 0 unless Lua would print it this way."""
    text = str(value or 0) if isinstance(value, int) else (value or b"0").decode(errors="replace")
    return int(text) if re.fullmatch("[1-9][0-9]{0,14}", text, re.ASCII) else 0


def is_text(row: bytes) -> bool:
    """Return whether a row is UTF-8."""
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True
