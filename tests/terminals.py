"""A pseudo-terminal for running commands."""

from __future__ import annotations

import os
import pty
import select

from tests.conftest import WAIT_LIMIT


class Terminal:
    """A pseudo-terminal. A command uses its end ``theirs`` for any of its streams."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.shown = ""

    def type(self, text: str) -> None:
        """Type the text, like a user."""
        os.write(self.ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until the terminal shows the text, then discard everything up to it."""
        while text not in self.shown:
            assert select.select([self.ours], [], [], WAIT_LIMIT)[0], f"{text!r} is not in {self.shown!r}"
            self.shown += os.read(self.ours, 4096).decode()
        self.shown = self.shown.partition(text)[2]

    def close(self) -> str:
        """Close the terminal after the command has exited. Return the output since the last wait."""
        os.close(self.theirs)
        drawn = b""
        try:
            while chunk := os.read(self.ours, 65536):
                drawn += chunk
        except OSError:
            pass  # Linux raises this when the other end is closed
        os.close(self.ours)
        return self.shown + drawn.decode()
