"""Reads text and cards: words from the command line, stdin, a card file."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, NamedTuple

from chatpost.content.decoding import decode, find_encoding
from chatpost.content.terminal import screen_text
from chatpost.errors import DataError, InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

INPUT_LIMIT = 4 * 1024 * 1024
"""Bytes of stdin, or of a card file, that are kept whole; a hundred messages take fewer."""

SHORT_LIMIT = 1024 * 1024
"""Bytes of stdin that are kept whole if its ends are enough."""

END_LIMIT = 256 * 1024
"""Bytes that are kept of each end of a longer stdin. Escape sequences in them may take most."""

_CHUNK = 64 * 1024  # the size of a pipe: a larger buffer would be allocated and freed for each read


class Text(NamedTuple):
    """A message's text, from its ``beginning`` and up to its ``end``: the same, unless stdin was too long to keep.

    ``after`` bytes follow the beginning, and ``before`` bytes precede the end. ``typed``: it comes from the command
    line, not from stdin. ``had_bad_bytes``: it held bytes that are not text, now U+FFFD.
    """

    beginning: str
    end: str
    after: int = 0
    before: int = 0
    typed: bool = False
    had_bad_bytes: bool = False

    @classmethod
    def whole(cls, text: str, *, typed: bool = False, had_bad_bytes: bool = False) -> Text:
        """Return a text that was kept whole."""
        return cls(text, text, typed=typed, had_bad_bytes=had_bad_bytes)

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to see in it."""
        return not self.beginning.strip() and not self.end.strip()


def message_text(words: Sequence[str], *, ends_only: bool = False) -> Text:
    """Join the words by spaces, as `echo` does. Without words, or with ``-`` alone, read stdin to its end.

    In every other case stdin is left alone: a CI runner's can be a pipe that never ends. The text is what a terminal
    would have shown. Line ends at the end of stdin are dropped. With ``ends_only``, the ends of a stdin longer than
    `SHORT_LIMIT` are enough. Raises `UsageError` if stdin is a terminal and was not asked for, `InputError` if it
    cannot be read, `DataError` if it is too long.
    """
    if words and tuple(words) != ("-",):
        text, had_bad_bytes = decode(" ".join(words).encode(errors="surrogateescape"), "utf-8")
        return Text.whole(screen_text(text), typed=True, had_bad_bytes=had_bad_bytes)
    if sys.stdin is None:  # the process was started without one
        return Text.whole("")
    if not words and sys.stdin.isatty():
        msg = 'no text: write it after the command (chatpost send "Hello"), or pipe it in'
        raise UsageError(msg)
    return _read_stdin(ends_only=ends_only)


def _read_stdin(*, ends_only: bool) -> Text:
    """Read stdin to its end; never keep more of it than the limit and an end."""
    limit = SHORT_LIMIT if ends_only else INPUT_LIMIT
    beginning, ending, size = bytearray(), bytearray(), 0
    for chunk in read_chunks(sys.stdin.fileno(), "stdin"):
        size += len(chunk)
        if size <= limit:
            beginning += chunk
        elif not ends_only:
            msg = (
                f"stdin holds more than {INPUT_LIMIT:,} bytes, far more than messages take, so nothing was posted:"
                " use --overflow tail or head to post one end of it"
            )
            raise DataError(msg)
        ending += chunk
        if len(ending) > 2 * END_LIMIT:
            del ending[:-END_LIMIT]
    encoding, mark = find_encoding(bytes(beginning[:4]))
    if size <= limit:
        text, had_bad_bytes = decode(beginning[mark:], encoding)
        return Text.whole(screen_text(text).rstrip("\n"), had_bad_bytes=had_bad_bytes)
    return _ends(bytes(beginning[mark:END_LIMIT]), bytes(ending), size, encoding)


def _ends(beginning: bytes, ending: bytes, size: int, encoding: str) -> Text:
    """Return a text of which only the ends are kept, each of whole characters and of whole lines if possible."""
    width = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}.get(encoding, 1)
    skipped = -(size - len(ending)) % width
    ending = ending[skipped:]
    if encoding == "utf-8":
        ending = ending.lstrip(bytes(range(0x80, 0xC0)))  # the rest of a character that the cut split
    # At its other end, a cut can have split a character into one that looks bad.
    first = beginning.decode(encoding, errors="replace").rstrip("\ufffd")
    first = first[: first.rfind("\n") + 1] or first
    last, had_bad_bytes = decode(ending, encoding)
    after = size - len(first.encode(encoding, errors="replace"))
    return Text(
        screen_text(first), screen_text(last).rstrip("\n"), after, size - len(ending), had_bad_bytes=had_bad_bytes
    )


def read_chunks(source: int, name: str) -> Iterator[bytes]:
    """Yield what a file descriptor holds, up to its end, blocking or not; raises `InputError` that names it."""
    while True:
        try:
            chunk = os.read(source, _CHUNK)
        except BlockingIOError:  # another process may have made it non-blocking
            select.select([source], [], [])
            continue
        except OSError as failure:
            msg = f"{name} cannot be read: {os.strerror(failure.errno or 0).lower()}"
            raise InputError(msg) from None
        if not chunk:
            return
        yield chunk


def card_file(path: str) -> bytes:
    """Read a card file, or stdin for ``-``; raises `InputError`, or `DataError` if it is longer than `INPUT_LIMIT`."""
    name = card_file_name(path)
    if path == "-":
        chunks = read_chunks(sys.stdin.fileno(), name) if sys.stdin is not None else iter(())
        return _limited(chunks, name)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as failure:
        msg = f"{name} cannot be read: {os.strerror(failure.errno or 0).lower()}"
        raise InputError(msg) from None
    try:
        return _limited(read_chunks(descriptor, name), name)
    finally:
        os.close(descriptor)


def _limited(chunks: Iterator[bytes], name: str) -> bytes:
    read = bytearray()
    for chunk in chunks:
        read += chunk
        if len(read) > INPUT_LIMIT:
            msg = f"{name} is larger than {INPUT_LIMIT:,} bytes, far more than a message takes"
            raise DataError(msg)
    return bytes(read)


def card_file_name(path: str) -> str:
    """Return the name of a card file as people read it."""
    return "the card on stdin" if path == "-" else path
