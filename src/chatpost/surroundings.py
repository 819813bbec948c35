"""The process's environment and standard streams, as one value that is passed around."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TextIO


class Surroundings(NamedTuple):
    """The process's environment and standard streams; a stream is None if it was closed at start-up."""

    environment: Mapping[str, str]
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
