"""Counts the files of chatpost that one command executes, and how often it goes from one file to another.

Run as `python tests/tracing.py ARGUMENT...`: runs the command with these arguments, then writes both numbers to stderr.
Counted are calls of functions and properties, in each thread by itself, but not what makes a class or an object.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chatpost
from chatpost.__main__ import main

if TYPE_CHECKING:
    from types import FrameType

SOURCE = str(Path(chatpost.__file__).parent)
_IS_FUNCTION = 0x02  # CO_NEWLOCALS: not a module or a class body

calls: defaultdict[int, list[str]] = defaultdict(list)


def trace(frame: FrameType, event: str, _: Any) -> None:
    """Note a call into the package."""
    code = frame.f_code
    if (
        event == "call"
        and code.co_filename.startswith(SOURCE)
        and code.co_flags & _IS_FUNCTION
        and code.co_name not in {"__init__", "__init_subclass__"}
    ):
        calls[threading.get_ident()].append(code.co_filename)


def report_and_exit(status: int) -> None:
    """Stand in for `os._exit`: write the numbers first."""
    sys.setprofile(None)
    files = {name for names in calls.values() for name in names}
    changes = sum(one != other for names in calls.values() for one, other in pairwise(names))
    os.write(2, f"{len(files)} files, {changes} changes\n".encode())
    end(status)


if __name__ == "__main__":
    end, os._exit = os._exit, report_and_exit  # type: ignore[assignment]
    threading.setprofile(trace)
    sys.setprofile(trace)
    main()
