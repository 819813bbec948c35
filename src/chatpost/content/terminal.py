"""Turns a program's output into the text that a terminal would show at the end.

Colours, links, titles and other sequences are dropped. Carriage returns, backspaces and cursor movements overwrite, so
a progress line is left as it was last. The screen is as wide and as high as the text needs, and does not scroll.
"""

from __future__ import annotations

import re
import unicodedata

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Compiled only when it is needed, which is rare. In UTF-8, U+0080 to U+009F do not begin a sequence: they are left over
# from a wrong decoding.
_PART = r"""(?sx)
      (?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f]+)
    | (?P<line>[\n\x0b\x0c\x85])                                           # an end of line
    | (?P<returns>\r+)
    | \x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])?                   # CSI: movements, erasures, colours
    | \x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?                          # OSC and the like: links, titles
    | \x1b(?P<cursor>[78])                                                 # save the cursor's place, or go back to it
    | \x1b[ -/]*[0-~]?                                                     # any other escape sequence
    | (?P<control>.)
    """

_JOINER = "\u200d"
_WIDE = "WF"

# A sequence moves no farther to the right than _WIDTH or the line's end, and all movements together add at most
# _PADDING spaces, so that absurd movements cost no memory.
_WIDTH = 250
_PADDING = 100_000

_LONGEST_CELL = 32
"""Characters in a cell, with the marks that combine with the first one. No language needs more."""


def screen_text(text: str) -> str:
    """Return the screen's text after `text`. Its only control characters are line ends and tabs."""
    if not _CONTROL.search(text):
        return text
    screen = _Screen()
    for part in re.finditer(_PART, text):
        if part["text"] is not None:
            screen.write(part["text"])
        elif part["line"] is not None:
            screen.end_line()
        elif part["final"] is not None:
            screen.do(part["final"], part["parameters"])
        elif part["cursor"] is not None:
            screen.do("s" if part["cursor"] == "7" else "u", "")
        elif part["returns"] is not None:
            screen.column = 0
        elif part["control"] == "\b":
            screen.move_to(screen.column - 1)
    return screen.text()


class _Line:
    """A line of cells: each a character and the marks that combine with it, or empty after a wide character."""

    def __init__(self, cells: list[str]) -> None:
        self.cells = cells
        # So many cells at the beginning are known to be blank, and need not be blanked again.
        self.blank = 0

    def write(self, column: int, cells: list[str]) -> None:
        self.cells[column : column + len(cells)] = cells
        self.blank = min(self.blank, column)

    def blank_to(self, column: int) -> None:
        end = min(column, len(self.cells))
        if end > self.blank:
            self.cells[self.blank : end] = " " * (end - self.blank)
            self.blank = end

    def cut_at(self, column: int) -> None:
        del self.cells[column:]
        self.blank = min(self.blank, column)


class _Screen:
    """The lines that were written, as text."""

    def __init__(self) -> None:
        self.lines = [""]
        self._line: _Line | None = None
        self.row = 0
        self.column = 0
        self.kept_place = (0, 0)
        self.padding = 0

    @property
    def line(self) -> _Line:
        """The line with the cursor, which is taken apart when it is written to."""
        if self._line is None:
            self._line = _Line(_cells(self.lines[self.row]))
        return self._line

    def text(self) -> str:
        self._finish_line()
        return "\n".join(self.lines)

    def go_to(self, row: int) -> None:
        """Put the cursor into a row, at most one below all others."""
        self._finish_line()
        if row == len(self.lines):
            self.lines.append("")
        self.row = row

    def _finish_line(self) -> None:
        if self._line is not None:
            self.lines[self.row] = "".join(self._line.cells)
        self._line = None

    def write(self, text: str) -> None:
        cells = _cells(text)
        line = self.line
        padding = min(self.column - len(line.cells), _PADDING - self.padding)
        if padding > 0:
            line.cells.extend(" " * padding)
            self.padding += padding
        self.column = min(self.column, len(line.cells))
        line.write(self.column, cells)
        self.column += len(cells)

    def end_line(self) -> None:
        self.move_down(1)
        self.column = 0

    def move_down(self, rows: int) -> None:
        """Move down or up, at most to one new line below all others: a message has no use for empty lines."""
        self.go_to(max(0, min(self.row + rows, len(self.lines))))

    def move_to(self, column: int) -> None:
        self.column = max(0, min(column, max(_WIDTH, len(self.line.cells))))

    def do(self, final: str, parameters: str) -> None:
        """Carry out a control sequence that moves or erases."""
        numbers = [int(number[:4]) if number.isdecimal() else 0 for number in parameters.split(";")]
        match final:
            case "J" | "K":
                self._erase(numbers[0], whole_screen=final == "J")
            case "s":
                self.kept_place = (self.row, self.column)
            case "u":
                self.go_to(min(self.kept_place[0], len(self.lines) - 1))
                self.column = self.kept_place[1]
            case _:
                self._move(final, numbers[0] or 1, numbers[1] if len(numbers) > 1 else 1)

    def _move(self, final: str, steps: int, column: int) -> None:
        match final:
            case "A" | "F":
                self.move_down(-steps)
            case "B" | "E":
                self.move_down(steps)
            case "C":
                self.move_to(self.column + steps)
            case "D":
                self.move_to(self.column - steps)
            case "G" | "`":
                self.move_to(steps - 1)
            case "H" | "f":
                self.move_down(steps - 1 - self.row)
                self.move_to(column - 1)
            case "d":
                self.move_down(steps - 1 - self.row)
        if final in "EF":
            self.column = 0

    def _erase(self, what: int, *, whole_screen: bool) -> None:
        """Erase from the cursor to the end (0), from the beginning to the cursor (1), or everything (2 and more)."""
        line = self.line
        if what == 0:
            line.cut_at(self.column)
            if whole_screen:
                del self.lines[self.row + 1 :]
        elif what == 1:
            line.blank_to(self.column + 1)
        elif whole_screen:
            self.lines, self._line, self.row = [""], None, 0
        else:
            line.cut_at(0)


def _cells(text: str) -> list[str]:
    """Split text into cells; marks stay with the character that they combine with."""
    if text.isascii():
        return list(text)
    cells: list[str] = []
    last = -1  # the place of the last character
    known: dict[str, str] = {}
    for found in text:
        character = known.setdefault(found, found)  # one object for all of a kind, since text can have millions
        combines = unicodedata.category(character) in {"Mn", "Me"} or character == _JOINER
        if cells and (combines or cells[last][-1] == _JOINER):
            if len(cells[last]) < _LONGEST_CELL:
                cells[last] += character
            continue
        last = len(cells)
        cells.append(character)
        if unicodedata.east_asian_width(character) in _WIDE:
            cells.append("")
    return cells
