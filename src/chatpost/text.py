"""The text of a message: words from the command line, or what stdin holds."""

from __future__ import annotations

import codecs
import os
import re
import select
import sys
from typing import TYPE_CHECKING, NamedTuple

from chatpost.errors import DataError, InputError, UsageError
from chatpost.terminal import screen_text

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN_LIMIT = 1024 * 1024
"""Bytes of stdin that are read; a message takes far fewer."""


_BYTE_ORDER_MARKS = (
    # A mark of UTF-32 begins with one of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_MENTION = re.compile(r"<(?=users/)", re.IGNORECASE)


class Text(NamedTuple):
    """A message's text. ``typed``: it stood on the command line; else it came from stdin.

    ``had_bad_bytes``: bytes that were no text had to be replaced in it by U+FFFD.
    """

    text: str
    typed: bool = False
    had_bad_bytes: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing in it can be seen."""
        return not self.text.strip()

    def without_mentions(self) -> str:
        """Return the text so that ``<users/...>`` in it reads as it did, but mentions nobody."""
        return _MENTION.sub("<\u200b", self.text)


def message_text(words: Sequence[str]) -> Text:
    """Join the words by spaces, as `echo` does; with none, or ``-`` alone, read stdin to its end.

    Stdin is left alone in every other case: a CI runner's may be a pipe that never ends. The text is what a
    terminal would have shown; line ends at the end of stdin are not part of it. Raises `UsageError` where stdin is
    a terminal and was not asked for, `InputError` where it cannot be read, `DataError` where it is endless or
    nearly so.
    """
    if words and tuple(words) != ("-",):
        return _clean(" ".join(words).encode(errors="surrogateescape"), typed=True)
    if sys.stdin is None:  # the process was started without one
        return Text("")
    if not words and sys.stdin.isatty():
        msg = 'no text: write it behind the command (chatpost send "Hello"), or pipe it in'
        raise UsageError(msg)
    try:
        read = _read(sys.stdin.fileno())
    except OSError as failure:
        msg = f"stdin could not be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    return _clean(read, typed=False)


def _read(stdin: int) -> bytes:
    read = bytearray()
    while len(read) <= STDIN_LIMIT:
        try:
            chunk = os.read(stdin, STDIN_LIMIT)
        except BlockingIOError:  # who started us may have made it so
            select.select([stdin], [], [])
            continue
        if not chunk:
            return bytes(read)
        read += chunk
    msg = f"stdin holds more than {STDIN_LIMIT:,} bytes, far more than a message takes (nothing was posted)"
    raise DataError(msg)


def _clean(raw: bytes, *, typed: bool) -> Text:
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if raw.startswith(mark)), "utf-8")
    try:
        text, had_bad_bytes = raw.decode(encoding), False
    except UnicodeDecodeError:
        text, had_bad_bytes = raw.decode(encoding, errors="replace"), True
    clean = screen_text(text)
    return Text(clean if typed else clean.rstrip("\n"), typed, had_bad_bytes)
