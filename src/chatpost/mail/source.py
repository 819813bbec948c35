"""Reads a mail from stdin, as sendmail does."""

from __future__ import annotations

import re

from chatpost.content.source import read_chunks

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes of a mail to keep: only the text is posted, and that of most mails is at the beginning."""

_DOT = rb"(?:\A|\n)\.\r?\n"
_LAST_DOT = rb"(?:\A|\n)\.\r?\Z"


def read_mail(descriptor: int, *, ends_at_dot: bool) -> bytes:
    """Read a file descriptor to its end, or with ``ends_at_dot`` to a line that is a dot; raises `InputError`.

    What follows the first `SIZE_LIMIT` bytes is read, too, so that the writer does not fail, but it is dropped.
    """
    read = bytearray()
    for chunk in read_chunks(descriptor, "stdin"):
        before = len(read)
        read += chunk
        # The dot's line can begin in an earlier chunk.
        if ends_at_dot and (dot := re.search(_DOT, read[max(0, before - 3) :])):
            del read[max(0, before - 3) + dot.start() :]
            return bytes(read[:SIZE_LIMIT])
        if len(read) > SIZE_LIMIT + len(chunk):
            del read[SIZE_LIMIT:-3]
    if ends_at_dot:
        read = bytearray(re.sub(_LAST_DOT, b"", bytes(read)))
    return bytes(read[:SIZE_LIMIT])
