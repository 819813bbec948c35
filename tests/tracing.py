"""Counts how many chatpost files a command executes, and how often execution moves between files.

`python tests/tracing.py ARGUMENT...` runs chatpost with these arguments and writes both counts to stderr. It counts
calls of functions and properties per thread, but not class bodies or constructors.
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
_IS_FUNCTION = 0x02  # CO_NEWLOCALS: set for functions, but not for module or class bodies

calls: defaultdict[int, list[str]] = defaultdict(list)


def trace(frame: FrameType, event: str, _: Any) -> None:
    """Record a call into the package."""
    code = frame.f_code
    if (
        event == "call"
        and code.co_filename.startswith(SOURCE)
        and code.co_flags & _IS_FUNCTION
        and code.co_name not in {"__init__", "__init_subclass__"}
    ):
        calls[threading.get_ident()].append(code.co_filename)


def report_and_exit(status: int) -> None:
    """Write the counts, then exit. Replaces `os._exit`."""
    sys.setprofile(None)
    files = {name for names in calls.values() for name in names}
    changes = sum(one != other for names in calls.values() for one, other in pairwise(names))
    os.write(2, f"{len(files)} files, {changes} changes\n".encode())
    end(status)


if __name__ == "__main__":
    end, os._exit = os._exit, report_and_exit  # type: ignore[assignment]  # it returns
    threading.setprofile(trace)
    sys.setprofile(trace)
    main()
