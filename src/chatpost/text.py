"""The text of a message: words from the command line, or what stdin holds."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from chatpost.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN_LIMIT = 1024 * 1024
"""Bytes of stdin that are read; a message takes far fewer."""


@dataclass(frozen=True)
class Text:
    """A message's text, and whether bytes that are not UTF-8 had to be replaced in it by U+FFFD."""

    text: str
    had_bad_bytes: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing in it can be seen."""
        return not self.text.strip()


def message_text(words: Sequence[str]) -> Text:
    """Join the words by spaces, as `echo` does; with none, or ``-`` alone, read stdin to its end.

    Stdin is left alone in every other case: a CI runner's may be a pipe that never ends. Line ends at the end of
    stdin are not part of the text. Raises `UsageError` where stdin is a terminal and was not asked for,
    `InputError` where it cannot be read, `DataError` where it is endless or nearly so.
    """
    if words and tuple(words) != ("-",):
        return _decode(" ".join(words).encode(errors="surrogateescape"))
    if sys.stdin is None:  # the process was started without one
        return Text("")
    if not words and sys.stdin.isatty():
        msg = 'no text: write it behind the command (chatpost send "Hello"), or pipe it in'
        raise UsageError(msg)
    return _decode(_read(sys.stdin.buffer).rstrip(b"\r\n"))


def _read(stdin: BinaryIO) -> bytes:
    try:
        read = stdin.read(STDIN_LIMIT + 1)
    except OSError as failure:
        msg = f"stdin could not be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    if len(read) > STDIN_LIMIT:
        msg = f"stdin holds more than {STDIN_LIMIT:,} bytes, far more than a message takes (nothing was posted)"
        raise DataError(msg)
    return read


def _decode(raw: bytes) -> Text:
    try:
        return Text(raw.decode())
    except UnicodeDecodeError:
        return Text(raw.decode(errors="replace"), had_bad_bytes=True)
