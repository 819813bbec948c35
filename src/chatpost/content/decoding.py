"""Bytes of a pipe or a file as text: UTF-8, or UTF-16 and UTF-32 with a byte order mark."""

from __future__ import annotations

import codecs

_MARKS = (
    # A mark of UTF-32 begins with one of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


def find_encoding(beginning: bytes) -> tuple[str, int]:
    """Return the encoding that a text's first bytes tell, and the length of its byte order mark."""
    return next(((encoding, len(mark)) for mark, encoding in _MARKS if beginning.startswith(mark)), ("utf-8", 0))


class Decoder:
    """Decodes a text that comes in chunks. ``had_bad_bytes``: some bytes were not text, and became U+FFFD."""

    def __init__(self) -> None:
        self.had_bad_bytes = False
        self._beginning = b""
        self._decoder: codecs.IncrementalDecoder | None = None

    def decode(self, chunk: bytes, *, final: bool = False) -> str:
        """Return the text of a chunk, without the beginning of a character that the next chunk ends."""
        if self._decoder is None:
            self._beginning += chunk
            is_unclear = any(mark.startswith(self._beginning) and mark != self._beginning for mark, _ in _MARKS)
            if is_unclear and not final:
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
        finally:
            self._decoder.errors = "strict"


def decode(raw: bytes | bytearray, encoding: str) -> tuple[str, bool]:
    """Return bytes as text, and whether some of them were not text and became U+FFFD."""
    try:
        return raw.decode(encoding), False
    except UnicodeDecodeError:
        return raw.decode(encoding, errors="replace"), True
