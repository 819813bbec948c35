"""The beginning and the end of the process."""

from __future__ import annotations

import gc
import signal
import sys
import warnings
from typing import NoReturn


def main() -> NoReturn:
    """Run the command and exit with its status."""
    # Imports make thousands of objects that stay: looking through them for garbage costs 5 % of a start.
    gc.set_threshold(200_000)
    # requests imports these if they are there. They guess a text's encoding, which Chat's JSON never needs, and cost a
    # tenth of a send.
    sys.modules["chardet"] = sys.modules["charset_normalizer"] = None  # type: ignore[assignment]
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    # Ctrl-C ends the process as it would any other, without a traceback. A command that wants to say or undo something
    # has a handler of its own.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from chatpost.cli.app import run
    from chatpost.commands import chatpost
    from chatpost.processes import exit_now

    exit_now(run(chatpost))


if __name__ == "__main__":
    main()
