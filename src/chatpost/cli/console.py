"""Stdout and stderr: data for programs, sentences for people, and no secret on either."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TextIO

from chatpost.chat.webhook import mask_urls
from chatpost.errors import OutputError, system_reason

# Characters that a terminal obeys; a sentence may have lines.
_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n")}, "\ufffd")


def write_data(line: str) -> None:
    """Write a line to stdout at once.

    A stdout that was closed is no error: nobody wants the data. Raises `OutputError` if it cannot be written.
    """
    try:
        try:
            sys.stdout.write(f"{line}\n")
        except UnicodeEncodeError:  # a path, in a locale that is not UTF-8
            sys.stdout.buffer.write(f"{line}\n".encode(errors="surrogateescape"))
        sys.stdout.flush()
    except (AttributeError, BrokenPipeError):  # AttributeError: the process was started without a stdout
        pass
    except OSError as failure:
        raise OutputError(f"stdout could not be written: {system_reason(failure)}") from None


def write_aside(line: str) -> None:
    """Write a line of data to stderr, for a command whose stdout carries something else."""
    with suppress(AttributeError, OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def say(sentence: str) -> None:
    """Write a sentence for a person to stderr, without secrets. A stderr that cannot be written is no error."""
    line = f"chatpost: {_plain(sentence)}\n"
    with suppress(AttributeError, OSError):
        try:
            sys.stderr.write(line)
            sys.stderr.flush()
        except RuntimeError:  # a signal's handler speaks while another sentence is being written
            os.write(sys.stderr.fileno(), line.encode(errors="replace"))


def _plain(text: str) -> str:
    """Return a text for a terminal, without secrets and control characters, which a path or an answer can have."""
    return mask_urls(text).translate(_CONTROLS)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person may be looking at the stream."""
    return stream is not None and stream.isatty()


def as_json(value: Any, mask: Callable[[str], str] = mask_urls, *, indent: int | None = None) -> str:
    """Return a JSON value on one line or, indented, on several. ``mask`` takes secrets out of its strings."""
    return json.dumps(_masked(value, mask), indent=indent)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _masked(item, mask) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn at a terminal; in a pipe, a line a row, with tabs and without a head."""
    rows = [[_plain(cell).replace("\n", " ") for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        from chatpost.cli.tables import draw_table  # only a person at a terminal waits for rich

        draw_table(columns, rows)
    else:
        for row in rows:
            write_data("\t".join(row))
