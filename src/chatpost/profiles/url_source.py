"""Sources of a secret URL: the profile file itself, a variable, another file, a command's output."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from chatpost.errors import ConfigurationError
from chatpost.profiles.ownership import reason_for_distrust

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any, TypeAlias

COMMAND_TIMEOUT = 10.0
"""Seconds that a command may take to print the URL, unless its profile sets another ``timeout``."""

SIZE_LIMIT = 64 * 1024
"""Bytes in which the URL must end."""


@dataclass(frozen=True, repr=False)
class Literal:
    """``url = "https://..."``."""

    url: str

    def fetch(self, _within: float) -> str:
        """Return the URL."""
        return self.url

    def __str__(self) -> str:
        return "in the file"


class FromEnvironment(NamedTuple):
    """``url = { env = "VARIABLE" }``."""

    variable: str

    def fetch(self, _within: float) -> str:
        """Return the variable's value; raises `ConfigurationError` if it is not set."""
        url = os.environ.get(self.variable)
        if not url:
            msg = f"the URL's variable {self.variable} is {'not set' if url is None else 'set but empty'}"
            raise ConfigurationError(msg)
        return url

    def __str__(self) -> str:
        return f"env {self.variable}"


class FromFile(NamedTuple):
    """``url = { file = "PATH" }``."""

    path: Path

    def fetch(self, _within: float) -> str:
        """Return the file's first line; raises `ConfigurationError` if it cannot be read, or trusted."""
        if reason := reason_for_distrust(self.path):
            msg = f"the URL's file cannot be trusted: {reason}"
            raise ConfigurationError(msg)
        try:
            # Anything but a regular file, for example a named pipe, could block for ever.
            with open(self.path, "rb", opener=_open_without_waiting) as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return first_line(file.read(SIZE_LIMIT))
        except OSError as failure:
            reason = os.strerror(failure.errno or 0).lower()
            msg = f"the URL's file {self.path} cannot be read: {reason}"
            raise ConfigurationError(msg) from None
        msg = f"the URL's file {self.path} is not a regular file"
        raise ConfigurationError(msg)

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, repr=False)
class FromCommand:
    """``url = { command = ["pass", "show", "chat/ops"], timeout = 10 }``: run without a shell."""

    command: tuple[str, ...]
    timeout: float = COMMAND_TIMEOUT

    def fetch(self, within: float) -> str:
        """Return the first line that the command prints.

        Raises `ConfigurationError` if it fails, or takes longer than its time-out or than the seconds left (`within`).
        The command gets no stdin, which may hold the message, and its stderr, which may hold a secret, is dropped.
        """
        from chatpost.profiles.command import run_for_first_line  # few runs start a process

        try:
            return first_line(run_for_first_line(self.command, min(self.timeout, within), SIZE_LIMIT))
        except ConfigurationError as error:
            msg = f"the URL's command {self._name} {error}"
            raise ConfigurationError(msg) from None

    @property
    def _name(self) -> str:
        return self.command[0]

    def __str__(self) -> str:
        return f"command {self._name}"


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


UrlSource: TypeAlias = "Literal | FromEnvironment | FromFile | FromCommand"


def read_source(value: object, directory: Path) -> UrlSource:
    """Read a profile's ``url``, or ``store``; a relative file is in `directory`.

    Raises `ValueError` with a line for a person.
    """
    # Variables, files and programs are shown, so a URL in their place is refused.
    match value:
        case str():
            return Literal(value)
        case {"env": str(variable), **rest} if _VARIABLE.fullmatch(variable) and not rest:
            return FromEnvironment(variable)
        case {"file": str(path), **rest} if path and "\0" not in path and "://" not in path and not rest:
            return FromFile(directory / os.path.expanduser(_native(path)))  # noqa: PTH111 - pathlib's can raise
        case {"command": [str(program), *_] as command, **rest} if "://" not in program and all(
            isinstance(word, str) for word in command
        ):
            return FromCommand(tuple(map(_native, command)), _read_timeout(rest))
    msg = 'is not a string, { env = "VARIABLE" }, { file = "PATH" } or { command = ["PROGRAM", "ARGUMENT"] }'
    raise ValueError(msg)


def _native(word: str) -> str:
    """Return a path or an argument as Python has it in this locale, which may not be UTF-8."""
    return os.fsdecode(word.encode())


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _read_timeout(rest: Mapping[Any, object]) -> float:
    match rest:
        case {"timeout": int() | float() as seconds, **more} if not more and 0 < seconds <= 24 * 3600:
            return float(seconds)
        case {**more} if not more:
            return COMMAND_TIMEOUT
    msg = "has a command: beside it only timeout, in seconds, is allowed"
    raise ValueError(msg)


def first_line(raw: bytes) -> str:
    """Return the first line of a file or of a command's output, without white space around it."""
    return raw.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0].decode(errors="replace").strip()
