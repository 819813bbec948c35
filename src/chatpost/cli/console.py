"""Stdout for data, stderr for messages to the user; neither gets secrets."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, TextIO, TypeAlias

from chatpost.chat.webhook import mask_urls
from chatpost.errors import OutputError, system_reason

Kind: TypeAlias = Literal["note", "retry", "warning", "error"]  # of a message to the user

_COLOURS = {"retry": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[1;31m"}
# Control characters, except line ends, and characters that change the direction of text.
_DIRECTIONS = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0), *_DIRECTIONS} - {ord("\n")}, "\ufffd")


def write_data(line: str) -> None:
    """Write a line to stdout and flush it. Ignores a closed stdout; raises `OutputError` for other failures."""
    try:
        try:
            sys.stdout.write(f"{line}\n")
        except UnicodeEncodeError:  # a path, in a locale that is not UTF-8
            sys.stdout.buffer.write(f"{line}\n".encode(errors="surrogateescape"))
        sys.stdout.flush()
    except (AttributeError, BrokenPipeError):  # AttributeError: the process was started without a stdout
        pass
    except OSError as failure:
        raise OutputError(f"cannot write to stdout: {system_reason(failure)}") from None


def write_aside(line: str) -> None:
    """Write a line of data to stderr, for a command that uses stdout for something else."""
    with suppress(AttributeError, OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def say(sentence: str, kind: Kind = "note") -> None:
    """Write a message to stderr, without secrets; at a terminal, coloured by kind. Ignores failures."""
    prefix = "chatpost:" if kind in {"note", "retry"} else f"chatpost: {kind}:"
    line = f"{prefix} {_plain(sentence)}"
    has_colour = os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
    if kind in _COLOURS and has_colour and is_terminal(sys.stderr):
        coloured = line if kind == "retry" else prefix
        line = f"{_COLOURS[kind]}{coloured}\x1b[0m{line.removeprefix(coloured)}"
    with suppress(AttributeError, OSError):
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except RuntimeError:  # a signal handler calls this during another write
            os.write(sys.stderr.fileno(), f"{line}\n".encode(errors="replace"))


def _plain(text: str) -> str:
    """Remove secrets and control characters: a path, or an answer of Chat, can have them."""
    return mask_urls(text).translate(_CONTROLS)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether the stream is a terminal; False if it is None."""
    return stream is not None and stream.isatty()


def as_json(value: Any, mask: Callable[[str], str] = mask_urls, *, indent: int | None = None) -> str:
    """Return a value as JSON, on one line unless ``indent`` is given. ``mask`` removes secrets from its strings."""
    return json.dumps(_masked(value, mask), indent=indent)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _masked(item, mask) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn at a terminal, else one line per row, with tabs and without a header."""
    rows = [[_plain(cell).replace("\n", " ") for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        from chatpost.cli.tables import draw_table  # loads rich

        draw_table(columns, rows)
    else:
        for row in rows:
            write_data("\t".join(row))
