"""Reads mail from stdin, as sendmail does."""

from __future__ import annotations

import re

from chatpost.content.source import read_chunks

SIZE_LIMIT = 16 * 1024 * 1024
"""Maximum number of bytes to keep. Only the text is posted, and it usually comes first."""

_DOT = rb"(?:\A|\n)\.\r?\n"
_LAST_DOT = rb"(?:\A|\n)\.\r?\Z"


def read_mail(descriptor: int, *, ends_at_dot: bool) -> bytes:
    """Read a file descriptor to its end, or with ``ends_at_dot`` to a line with only a dot; raises `InputError`.

    Input beyond `SIZE_LIMIT` is read and discarded, so that the writer does not fail.
    """
    read = bytearray()
    for chunk in read_chunks(descriptor, "stdin"):
        before = len(read)
        read += chunk
        # The line with the dot can begin in an earlier chunk.
        if ends_at_dot and (dot := re.search(_DOT, read[max(0, before - 3) :])):
            del read[max(0, before - 3) + dot.start() :]
            return bytes(read[:SIZE_LIMIT])
        if len(read) > SIZE_LIMIT + len(chunk):
            del read[SIZE_LIMIT:-3]
    if ends_at_dot:
        read = bytearray(re.sub(_LAST_DOT, b"", bytes(read)))
    return bytes(read[:SIZE_LIMIT])
