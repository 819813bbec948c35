"""Sources of a secret URL: the profile file itself, an environment variable, another file, a command's output."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from chatpost.directories import reason_for_distrust
from chatpost.errors import ConfigurationError, system_reason
from chatpost.formatting import parse_duration

SIZE_LIMIT = 64 * 1024  # bytes in which the URL must end


class UrlSource(NamedTuple):
    """A source of a URL, "in the file", "env", "file" or "command", with a name. Its string shows no secret.

    ``fetch`` takes a timeout in seconds and the environment, returns the URL, and raises `ConfigurationError`.
    """

    kind: str
    name: str
    fetch: Callable[[float, Mapping[str, str]], str]

    def __repr__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


def read_source(key: str, value: object, directory: Path) -> UrlSource:
    """Read a profile's ``url``, or the file's ``redis``; a relative file is in `directory`.

    Raises `ValueError` with a message that begins with ``key``.
    """
    # Names of variables, files and programs are shown, so a URL in their place is rejected.
    match value:
        case str():
            return UrlSource("in the file", "", lambda *_: value)
        case {"env": str(variable), **rest} if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable) and not rest:
            return UrlSource("env", variable, partial(_from_environment, variable))
        case {"file": str(name), **rest} if name and "\0" not in name and "://" not in name and not rest:
            begins_with_variable = name.startswith("$")  # whose value is probably absolute
            place = name if begins_with_variable else directory / os.path.expanduser(_native(name))  # noqa: PTH111 - pathlib's can raise
            shown = str(place)
            return UrlSource("file", shown, lambda _, environment: _from_file(directory, _native(name), environment))
        case {"command": [str(program), *_] as command, **rest} if "://" not in program and all(
            isinstance(word, str) for word in command
        ):
            timeout = rest.pop("timeout", 10.0)
            with suppress(ValueError):
                timeout = parse_duration(timeout) if isinstance(timeout, str) else timeout
            if rest or not isinstance(timeout, int | float) or not 0 < timeout <= 24 * 3600:
                raise ValueError(
                    f"{key} has a command: the only other key allowed is timeout, a duration above 0s, up to 1d"
                )
            words = [_native(word) for word in command]
            return UrlSource("command", words[0], partial(_from_command, words, float(timeout)))
    raise ValueError(
        f'{key} is not a string, {{ env = "VARIABLE" }}, {{ file = "PATH" }} or {{ command = ["PROGRAM", "ARGUMENT"] }}'
    )


def _from_environment(variable: str, _timeout: float, environment: Mapping[str, str]) -> str:
    url = environment.get(variable)
    if not url:
        raise ConfigurationError(f"the URL's variable {variable} is {'not set' if url is None else 'set but empty'}")
    return url


def _with_values(name: str, environment: Mapping[str, str]) -> str:
    """Return a path with its variables, $NAME or ${NAME}, replaced; raises `ConfigurationError` for a missing one."""

    def value_of(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if not environment.get(variable):
            raise ConfigurationError(f"the path {name} contains the variable {variable}, which is not set")
        return environment[variable].strip()

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value_of, name, flags=re.ASCII)


def _from_file(directory: Path, name: str, environment: Mapping[str, str]) -> str:
    return read_url_file(directory / os.path.expanduser(_with_values(name, environment)))  # noqa: PTH111 - pathlib's can raise


def read_url_file(path: Path) -> str:
    """Return the first line of a file that only this user or root can write; raises `ConfigurationError`."""
    if reason := reason_for_distrust(path):
        raise ConfigurationError(f"the URL's file cannot be trusted: {reason}")
    try:
        with open_without_waiting(path) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # anything else could block forever
                return first_line(file.read(SIZE_LIMIT))
        reason = "is not a regular file"
    except OSError as failure:
        reason = f"cannot be read: {system_reason(failure)}"
    raise ConfigurationError(f"the URL's file {path} {reason}")


def _from_command(command: list[str], longest: float, timeout: float, _environment: Mapping[str, str]) -> str:
    from chatpost.profiles.command import run_for_first_line  # few runs start a process

    try:
        return first_line(run_for_first_line(command, min(longest, timeout), SIZE_LIMIT))
    except ConfigurationError as error:
        raise ConfigurationError(f"the URL's command {command[0]} {error}") from None


def _native(word: str) -> str:
    """Return a path or an argument as Python decodes it in this locale, which may not be UTF-8."""
    return os.fsdecode(word.encode())


def open_without_waiting(path: Path) -> BinaryIO:
    """Open a file for reading; a named pipe without a writer is empty, and does not block."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def first_line(raw: bytes) -> str:
    """Return the first line of a file or of a command's output, stripped."""
    return raw.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0].decode(errors="replace").strip()
