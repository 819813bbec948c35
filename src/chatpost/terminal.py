"""What a terminal would have left on the screen: output of programs becomes the text that a person would have read.

Colours, links, titles and other sequences go; carriage returns, backspaces and cursor movements overwrite, as
progress lines want it. The screen is as wide and as high as the text needs, and does not scroll.
"""

from __future__ import annotations

import re
import unicodedata

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Compiled when it is needed, which for most messages it is not.
_PART = r"""(?sx)
      (?P<text>[^\x00-\x08\x0a-\x1f\x7f-\x9f]+)
    | (?P<line>\r*\n|[\x0b\x0c\x85])                                    # an end of line
    | (?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])?      # CSI: movements, erasures, colours
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?  # OSC and the like: links, titles
    | \x1b[ -/]*[0-~]?                                                  # any other escape sequence
    | (?P<control>.)
    """

_JOINER = "\u200d"

# No sequence moves farther to the right than this, or than the line's end: a mad one costs no memory.
_WIDTH = 250


def screen_text(text: str) -> str:
    """Return what would be on the screen after `text`; nothing in it controls a terminal any more.

    Of the control characters only line ends and tabs are left.
    """
    if not _CONTROL.search(text):
        return text
    screen = _Screen()
    for token in re.finditer(_PART, text):
        if token["text"] is not None:
            screen.write(token["text"])
        elif token["line"] is not None:
            screen.end_line()
        elif token["final"] is not None:
            screen.do(token["final"], token["parameters"])
        elif token["control"] == "\r":
            screen.column = 0
        elif token["control"] == "\b":
            screen.move_to(screen.column - 1)
    return screen.text()


class _Screen:
    """Lines of cells; a cell is a character and what combines with it."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = [[]]
        self.row = 0
        self.column = 0

    def text(self) -> str:
        return "\n".join("".join(line) for line in self.lines)

    def write(self, text: str) -> None:
        line = self.lines[self.row]
        cells = list(text) if text.isascii() else _cells(text)
        if self.column > len(line):
            line.extend(" " * (self.column - len(line)))
        line[self.column : self.column + len(cells)] = cells
        self.column += len(cells)

    def end_line(self) -> None:
        self.row += 1
        self.column = 0
        if self.row == len(self.lines):
            self.lines.append([])

    def move_to(self, column: int) -> None:
        self.column = max(0, min(column, max(_WIDTH, len(self.lines[self.row]))))

    def do(self, final: str, parameters: str) -> None:
        """Do what a control sequence says, where it moves or erases."""
        given = re.match(r"\d{1,4}", parameters)
        number = int(given[0]) if given else 0
        steps = number or 1
        match final:
            case "A" | "F":
                self.row = max(0, self.row - steps)
            case "B" | "E":
                self.row = min(len(self.lines) - 1, self.row + steps)
            case "C":
                self.move_to(self.column + steps)
            case "D":
                self.move_to(self.column - steps)
            case "G":
                self.move_to(steps - 1)
            case "H" | "f":
                self.row = min(len(self.lines) - 1, steps - 1)
            case "J" | "K":
                self._erase(number, whole_screen=final == "J")
        if final in "EFHf":
            self.column = 0

    def _erase(self, what: int, *, whole_screen: bool) -> None:
        """Erase from the cursor to the end (0), from the beginning to the cursor (1), or all (2 and more)."""
        line = self.lines[self.row]
        if what == 0:
            del line[self.column :]
            if whole_screen:
                del self.lines[self.row + 1 :]
        elif what == 1:
            line[: self.column + 1] = " " * min(len(line), self.column + 1)
        elif whole_screen:
            self.lines = [[]]
            self.row = 0
        else:
            line.clear()


def _cells(text: str) -> list[str]:
    """Split text into cells: what combines with a character stays with it."""
    cells: list[str] = []
    for character in text:
        combines = unicodedata.category(character) in {"Mn", "Me"} or character == _JOINER
        if cells and (combines or cells[-1][-1] == _JOINER):
            cells[-1] += character
        else:
            cells.append(character)
    return cells
