"""A terminal for a command to run at."""

from __future__ import annotations

import os
import pty
import select

from tests.conftest import WAIT_LIMIT


class Terminal:
    """A terminal, of which a command gets the end ``theirs`` as any of its streams."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.shown = ""

    def type(self, text: str) -> None:
        """Type, as a user would."""
        os.write(self.ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read on until this is shown, and forget what was shown up to it."""
        while text not in self.shown:
            assert select.select([self.ours], [], [], WAIT_LIMIT)[0], f"{text!r} is not in {self.shown!r}"
            self.shown += os.read(self.ours, 4096).decode()
        self.shown = self.shown.partition(text)[2]

    def close(self) -> str:
        """Close it once the command has ended; return what was shown since the last wait."""
        os.close(self.theirs)
        drawn = b""
        try:
            while chunk := os.read(self.ours, 65536):
                drawn += chunk
        except OSError:
            pass  # Linux's way of saying that the other end has closed
        os.close(self.ours)
        return self.shown + drawn.decode()
