"""Converts a program's output to the text that a terminal shows in the end, in linear time.

Within a line, carriage returns, backspaces and `ESC [ K` (erase in line) take effect, so only the last state of a
progress line remains. Other sequences, such as colours, links and cursor movements, are dropped.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Rarely needed, so compiled on use. In UTF-8, U+0080 to U+009F do not begin a sequence: they come from wrong decoding.
_WITHOUT_EFFECT = r"""(?x)
      \x1b\[(?![012]?K)[0-?]*[ -/]*[@-~]?          # CSI, except erase in line: colours, movements
    | \x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?   # OSC and the like: links, titles
    | \x1b(?!\[)[ -/]*[0-~]?                       # any other escape sequence
    | [\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]
    """
_LINE_END = "[\n\x0b\x0c\x85]"
_PART = "\r|\b|\x1b\\[[012]?K|[^\r\b\x1b]+"
_ERASED = "\0"
_JOINER = "\u200d"


def screen_text(text: str) -> str:
    """Return `text` as a terminal shows it in the end, without control characters other than line ends and tabs."""
    if not _CONTROL.search(text):
        return text
    return "\n".join(map(_line, re.split(_LINE_END, re.sub(_WITHOUT_EFFECT, "", text))))


def _line(written: str) -> str:
    written = written.rstrip("\r")
    if not _CONTROL.search(written):
        return written
    cells: list[str] = []
    column = 0  # never beyond the last cell
    blank = 0  # number of erased cells at the beginning: erasing them again and again would take quadratic time
    for part in re.findall(_PART, written):
        if part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        elif part[0] == "\x1b":
            if part[-2] != "1":
                del cells[column:]
                blank = min(blank, column)
            if part[-2] in "12":
                end = min(column + 1, len(cells))
                cells[blank:end] = _ERASED * (end - blank)
                blank = max(blank, end)
        else:
            new = _cells(part)
            cells[column : column + len(new)] = new
            blank = min(blank, column)
            column += len(new)
    return "".join(cells).rstrip(_ERASED).replace(_ERASED, " ")


def _cells(text: str) -> list[str]:
    """Split text into cells: a character with its combining marks each, and an empty one after a wide character."""
    if text.isascii():
        return list(text)
    import unicodedata  # a large module that only non-ASCII lines need

    starts = [
        place
        for place, (before, character) in enumerate(pairwise(f" {text}"))
        if not (place and (_JOINER in {before, character} or unicodedata.category(character) in {"Mn", "Me"}))
    ]
    cells: list[str] = []
    for start, end in pairwise((*starts, len(text))):
        cells.append(sys.intern(text[start:end]))  # saves memory: a line can have millions of cells
        if unicodedata.east_asian_width(text[start]) in {"W", "F"}:
            cells.append("")
    return cells
