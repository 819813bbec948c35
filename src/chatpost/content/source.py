"""Reads text and cards: words from the command line, stdin, a card file."""

from __future__ import annotations

import codecs
import os
import select
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from chatpost.content.terminal import screen_text
from chatpost.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STDIN_LIMIT = 4 * 1024 * 1024
"""Bytes of stdin that are kept; a hundred messages take fewer."""

Keep = Literal["all", "head", "tail"]
"""The part of a long stdin that is kept."""

_CHUNK = 64 * 1024  # the size of a pipe: a larger buffer would be allocated and freed for each read


_BYTE_ORDER_MARKS = (
    # A mark of UTF-32 begins with one of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


class Text(NamedTuple):
    """A message's text. ``typed``: it comes from the command line, not from stdin.

    ``had_bad_bytes``: it held bytes that are not text, now U+FFFD. ``left_out`` is the number of bytes of stdin that
    were not kept, before it or after it.
    """

    text: str
    typed: bool = False
    had_bad_bytes: bool = False
    left_out: int = 0

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to see in it."""
        return not self.text.strip()


def message_text(words: Sequence[str], keep: Keep = "all") -> Text:
    """Join the words by spaces, as `echo` does. Without words, or with ``-`` alone, read stdin to its end.

    In every other case stdin is left alone: a CI runner's can be a pipe that never ends. The text is what a terminal
    would have shown. Line ends at the end of stdin are dropped. ``keep`` says which end is kept of a stdin longer than
    `STDIN_LIMIT`, which is read to its end anyway. Raises `UsageError` if stdin is a terminal and was not asked for,
    `InputError` if it cannot be read, `DataError` if it is too long and all of it was to be kept.
    """
    if words and tuple(words) != ("-",):
        return _clean(" ".join(words).encode(errors="surrogateescape"), typed=True)
    if sys.stdin is None:  # the process was started without one
        return Text("")
    if not words and sys.stdin.isatty():
        msg = 'no text: write it after the command (chatpost send "Hello"), or pipe it in'
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
                f"stdin holds more than {STDIN_LIMIT:,} bytes, far more than messages take, so nothing was posted:"
                " use --overflow tail or head to post one end of it"
            )
            raise DataError(msg)
        while keep == "tail" and size - len(kept[0]) >= STDIN_LIMIT:
            size -= len(kept.popleft())
    read, left_out = b"".join(kept), total - size
    if left_out and keep == "tail":
        # Drop the continuation bytes of a character that the cut split.
        read = read.lstrip(bytes(range(0x80, 0xC0)))
    elif left_out:
        read = read[: read.rfind(b"\n") + 1] or read  # end where a line ends
    return read, total - len(read)


def _chunks(stdin: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(stdin, _CHUNK)
        except BlockingIOError:  # stdin may have been made non-blocking by another process
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


def card_file(path: str) -> bytes:
    """Read a card file, or stdin for ``-``; raises `InputError`, or `DataError` if it is longer than `STDIN_LIMIT`."""
    name = card_file_name(path)
    try:
        if path != "-":
            with Path(path).open("rb") as file:
                read = file.read(STDIN_LIMIT + 1)
        else:
            read = sys.stdin.buffer.read(STDIN_LIMIT + 1) if sys.stdin is not None else b""
    except OSError as failure:
        msg = f"{name} cannot be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    if len(read) > STDIN_LIMIT:
        msg = f"{name} is larger than {STDIN_LIMIT:,} bytes, far more than a message takes"
        raise DataError(msg)
    return read


def card_file_name(path: str) -> str:
    """Return the name of a card file as people read it."""
    return "the card on stdin" if path == "-" else path
