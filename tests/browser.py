"""A Chromium for the tests of the emulator's page. Run as a program, it installs one if there is none (`make test`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find_browser() -> str | None:
    """Return the program of a Chrome or Chromium: the machine's own, else Playwright's."""
    own = next(filter(None, map(shutil.which, _NAMES)), None)
    if own is not None:
        return own
    with sync_playwright() as playwright:
        installed = playwright.chromium.executable_path
    return installed if Path(installed).exists() else None


def _commands() -> list[list[str]]:
    """Return the commands that may install one, the best first."""
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get"):
        apt = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"]
        if os.getuid() == 0:
            return [["apt-get", "update", "-q"], apt, *commands]
        if shutil.which("sudo"):
            return [["sudo", "-n", "apt-get", "update", "-q"], ["sudo", "-n", *apt], *commands]
    return commands


def main() -> None:
    """Install a browser, unless there is one. Without one, the tests of the page are skipped."""
    for command in _commands():
        if find_browser() is not None:
            return
        print(f"no Chrome or Chromium yet: {' '.join(command)}", file=sys.stderr)  # noqa: T201 - it is a program
        subprocess.run(command, check=False, stdout=sys.stderr)


if __name__ == "__main__":
    main()
