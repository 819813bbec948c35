"""The text of a message: words from the command line, or what stdin holds."""

from __future__ import annotations

import codecs
import os
import select
import sys
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from chatpost.content.terminal import screen_text
from chatpost.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STDIN_LIMIT = 4 * 1024 * 1024
"""Bytes of stdin that are kept; a hundred messages take fewer."""

Keep = Literal["all", "head", "tail"]
"""What of a long stdin is kept."""

_CHUNK = 64 * 1024  # what a pipe holds: the room for more would be made, and given back, with each


_BYTE_ORDER_MARKS = (
    # A mark of UTF-32 begins with one of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


class Text(NamedTuple):
    """A message's text. ``typed``: it stood on the command line; else it came from stdin.

    ``had_bad_bytes``: bytes that were no text had to be replaced in it by U+FFFD. ``left_out`` is how many bytes of
    stdin were not kept, before it or behind it.
    """

    text: str
    typed: bool = False
    had_bad_bytes: bool = False
    left_out: int = 0

    @property
    def is_blank(self) -> bool:
        """Whether nothing in it can be seen."""
        return not self.text.strip()


def message_text(words: Sequence[str], keep: Keep = "all") -> Text:
    """Join the words by spaces, as `echo` does; with none, or ``-`` alone, read stdin to its end.

    Stdin is left alone in every other case: a CI runner's may be a pipe that never ends. The text is what a
    terminal would have shown; line ends at the end of stdin are not part of it. Of a stdin that is longer than
    `STDIN_LIMIT` the beginning or the end is kept (``keep``), though it is read to its end. Raises `UsageError` where
    stdin is a terminal and was not asked for, `InputError` where it cannot be read, `DataError` where all of it was
    to be kept and it is longer.
    """
    if words and tuple(words) != ("-",):
        return _clean(" ".join(words).encode(errors="surrogateescape"), typed=True)
    if sys.stdin is None:  # the process was started without one
        return Text("")
    if not words and sys.stdin.isatty():
        msg = 'no text: write it behind the command (chatpost send "Hello"), or pipe it in'
        raise UsageError(msg)
    try:
        read, left_out = _read(sys.stdin.fileno(), keep)
    except OSError as failure:
        msg = f"stdin could not be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    return _clean(read, typed=False)._replace(left_out=left_out)


def _read(stdin: int, keep: Keep) -> tuple[bytes, int]:
    """Return what is kept of stdin, and how many bytes are not."""
    kept: deque[bytes] = deque()
    size = total = 0
    for chunk in _chunks(stdin):
        total += len(chunk)
        if keep != "head" or size < STDIN_LIMIT:
            kept.append(chunk)
            size += len(chunk)
        if keep == "all" and size > STDIN_LIMIT:
            msg = (
                f"stdin holds more than {STDIN_LIMIT:,} bytes, far more than messages take (nothing was posted):"
                " --overflow tail or head keeps an end of it"
            )
            raise DataError(msg)
        while keep == "tail" and size - len(kept[0]) >= STDIN_LIMIT:
            size -= len(kept.popleft())
    read, left_out = b"".join(kept), total - size
    if left_out and keep == "tail":
        # What the cut has left of a character of UTF-8 is none; so at the other end, where a line may as well end.
        read = read.lstrip(bytes(range(0x80, 0xC0)))
    elif left_out:
        read = read[: read.rfind(b"\n") + 1] or read
    return read, total - len(read)


def _chunks(stdin: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(stdin, _CHUNK)
        except BlockingIOError:  # who started us may have made it so
            select.select([stdin], [], [])
            continue
        if not chunk:
            return
        yield chunk


def _clean(raw: bytes, *, typed: bool) -> Text:
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if raw.startswith(mark)), "utf-8")
    try:
        text, had_bad_bytes = raw.decode(encoding), False
    except UnicodeDecodeError:
        text, had_bad_bytes = raw.decode(encoding, errors="replace"), True
    clean = screen_text(text)
    return Text(clean if typed else clean.rstrip("\n"), typed, had_bad_bytes)
