"""Reads mail from stdin, as sendmail does."""

from __future__ import annotations

import re
from typing import NamedTuple

from chatpost.content.source import read_chunks

SIZE_LIMIT = 4 * 1024 * 1024
"""Maximum number of bytes to keep. Only the text is posted, and it usually comes first."""

_DOT = re.compile(rb"(?<![^\n])\.\r?\n")  # a whole line
_LAST_DOT = re.compile(rb"(?<![^\n])\.\r?\Z")


class RawMail(NamedTuple):
    """A mail message as bytes, at most `SIZE_LIMIT`. ``is_cut``: it was longer."""

    content: bytes
    is_cut: bool = False


def read_mail(descriptor: int, *, ends_at_dot: bool) -> RawMail:
    """Read a file descriptor to its end, or with ``ends_at_dot`` to a line with only a dot; raises `InputError`.

    Input beyond `SIZE_LIMIT` is read and discarded, so that the writer does not fail.
    """
    read, size = bytearray(), 0
    for chunk in read_chunks(descriptor, "stdin"):
        before = len(read)
        read += chunk
        size += len(chunk)
        # The line with the dot can begin in an earlier chunk.
        if ends_at_dot and (dot := _DOT.search(read, max(0, before - 2))):
            del read[dot.start() :]
            break
        if len(read) > SIZE_LIMIT + 1024 * 1024:
            del read[SIZE_LIMIT:-3]
    else:
        if ends_at_dot and (dot := _LAST_DOT.search(read, max(0, len(read) - 3))):
            del read[dot.start() :]
    return RawMail(bytes(read[:SIZE_LIMIT]), size > SIZE_LIMIT and len(read) >= SIZE_LIMIT)
