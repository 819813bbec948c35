"""Sources of a secret URL: the profile file itself, a variable, another file, a command's output."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from chatpost.errors import ConfigurationError, system_reason
from chatpost.profiles.ownership import reason_for_distrust

SIZE_LIMIT = 64 * 1024  # bytes in which the URL must end


class Literal(NamedTuple):
    """``url = "https://..."``. As for the other sources, ``str()`` and ``repr()`` show no secret."""

    url: str

    def fetch(self, _within: float, _environment: Mapping[str, str]) -> str:
        """Return the URL."""
        return self.url

    def __repr__(self) -> str:
        return "in the file"


class FromEnvironment(NamedTuple):
    """``url = { env = "VARIABLE" }``."""

    variable: str

    def fetch(self, _within: float, environment: Mapping[str, str]) -> str:
        """Return the variable's value; raises `ConfigurationError` if it is not set."""
        url = environment.get(self.variable)
        if not url:
            raise ConfigurationError(
                f"the URL's variable {self.variable} is {'not set' if url is None else 'set but empty'}"
            )
        return url

    def __repr__(self) -> str:
        return f"env {self.variable}"


class FromFile(NamedTuple):
    """``url = { file = "PATH" }``."""

    path: Path

    def fetch(self, _within: float, _environment: Mapping[str, str]) -> str:
        """Return the file's first line; raises `ConfigurationError` if it cannot be read, or trusted."""
        if reason := reason_for_distrust(self.path):
            raise ConfigurationError(f"the URL's file cannot be trusted: {reason}")
        try:
            with open_without_waiting(self.path) as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # anything else could block for ever
                    return first_line(file.read(SIZE_LIMIT))
            reason = "is not a regular file"
        except OSError as failure:
            reason = f"cannot be read: {system_reason(failure)}"
        raise ConfigurationError(f"the URL's file {self.path} {reason}")

    def __repr__(self) -> str:
        return f"file {self.path}"


class FromCommand(NamedTuple):
    """``url = { command = ["pass", "show", "chat/ops"], timeout = 10 }``: run without a shell."""

    command: tuple[str, ...]
    timeout: float

    def fetch(self, within: float, _environment: Mapping[str, str]) -> str:
        """Return the first line that the command prints.

        Raises `ConfigurationError` if it fails, or takes longer than its time-out or than the seconds left (`within`).
        The command gets no stdin, which may hold the message, and its stderr, which may hold a secret, is dropped.
        """
        from chatpost.profiles.command import run_for_first_line  # few runs start a process

        try:
            return first_line(run_for_first_line(self.command, min(self.timeout, within), SIZE_LIMIT))
        except ConfigurationError as error:
            raise ConfigurationError(f"the URL's command {self.command[0]} {error}") from None

    def __repr__(self) -> str:
        return f"command {self.command[0]}"


UrlSource: TypeAlias = "Literal | FromEnvironment | FromFile | FromCommand"


def read_source(key: str, value: object, directory: Path) -> UrlSource:
    """Read a profile's ``url``, or ``store``; a relative file is in `directory`.

    Raises `ValueError` with a line for a person that begins with ``key``.
    """
    # Variables, files and programs are shown, so a URL in their place is refused.
    match value:
        case str():
            return Literal(value)
        case {"env": str(variable), **rest} if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable) and not rest:
            return FromEnvironment(variable)
        case {"file": str(path), **rest} if path and "\0" not in path and "://" not in path and not rest:
            return FromFile(directory / os.path.expanduser(_native(path)))  # noqa: PTH111 - pathlib's can raise
        case {"command": [str(program), *_] as command, **rest} if "://" not in program and all(
            isinstance(word, str) for word in command
        ):
            timeout = rest.pop("timeout", 10.0)
            if rest or not isinstance(timeout, int | float) or not 0 < timeout <= 24 * 3600:
                raise ValueError(f"{key} has a command: beside it only timeout, in seconds, is allowed")
            return FromCommand(tuple(map(_native, command)), float(timeout))
    raise ValueError(
        f'{key} is not a string, {{ env = "VARIABLE" }}, {{ file = "PATH" }} or {{ command = ["PROGRAM", "ARGUMENT"] }}'
    )


def _native(word: str) -> str:
    """Return a path or an argument as Python has it in this locale, which may not be UTF-8."""
    return os.fsdecode(word.encode())


def open_without_waiting(path: Path) -> BinaryIO:
    """Open a file for reading; a named pipe that nobody writes to is empty, and not waited for."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def first_line(raw: bytes) -> str:
    """Return the first line of a file or of a command's output, without white space around it."""
    return raw.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0].decode(errors="replace").strip()
