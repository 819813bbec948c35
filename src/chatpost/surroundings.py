"""The process's surroundings, in one value that is passed to the code that needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TextIO


class Surroundings(NamedTuple):
    """The environment and the standard streams of the process; a stream is None if it was closed at the start."""

    environment: Mapping[str, str]
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
