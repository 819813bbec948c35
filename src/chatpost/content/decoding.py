"""Decodes UTF-8, and UTF-16 and UTF-32 with a byte order mark."""

from __future__ import annotations

import codecs

_MARKS = (
    # UTF-32's come first: they begin with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


def find_encoding(beginning: bytes) -> tuple[str, int]:
    """Return the encoding of a text, by its first bytes, and the length of its byte order mark."""
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if beginning.startswith(mark)), ("utf-8", 0))


class Decoder:
    """Decodes a text in chunks. ``had_bad_bytes``: some bytes were invalid, and became U+FFFD.

    Without ``encoding``, the first bytes determine it.
    """

    def __init__(self, encoding: str | None = None) -> None:
        self.had_bad_bytes = False
        self._beginning = b""
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding else None

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        """Return the text of a chunk, and keep an incomplete character at its end for the next chunk."""
        if self._decoder is None:
            self._beginning += chunk
            if not final and any(mark.startswith(self._beginning) and mark != self._beginning for mark, _ in _MARKS):
                return ""
            encoding, mark = find_encoding(self._beginning)
            self._decoder = codecs.getincrementaldecoder(encoding)()
            chunk = self._beginning[mark:]
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            self.had_bad_bytes = True
            self._decoder.setstate(state)
            self._decoder.errors = "replace"
            return self._decoder.decode(chunk, final)
