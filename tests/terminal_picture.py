"""Draws docs/terminal.svg from a real session against the emulator (`make docs`)."""

from __future__ import annotations

import io
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from chatpost.emulator import Emulator
from tests.conftest import Shell

PICTURE = Path(__file__).parent.parent / "docs" / "terminal.svg"
COMMANDS = (
    'chatpost send "Hello from $(hostname)"',
    "uptime | chatpost send --code",
    'chatpost thread -k deploy-1.2 "Deploy 1.2: started"',
    'chatpost reply -k deploy-1.2 --status ok --title "Deploy 1.2" "done in 42 s"',
    "chatpost run --name backup -- sh -c 'echo disk is full; exit 3'",
    "echo $?",
    "chatpost reply -k no-such-thread --or-fail hello",
)


def draw() -> str:
    """Run the commands and return the terminal session as SVG."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as home, Emulator(quota=0) as chat:
        shell = Shell(Path(home))
        shell.env["CHATPOST_URL"] = chat.url()
        shown = "hostname() { echo db-1; }; uptime() { echo up 42 days; }; ls() { :; }\n"
        for command in COMMANDS:
            script = "(exit 3)\necho $?" if command == "echo $?" else f"{shown}{command}"
            done = subprocess.run(["bash", "-c", script], env=shell.env, capture_output=True, text=True, check=False)
            console.print(Text.assemble(("$ ", "green bold"), command))
            console.print(Text((done.stdout + done.stderr).rstrip()))
    # The page must not load fonts from another site.
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="chatpost"), flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw())
