"""Starts and ends the process."""

from __future__ import annotations

import gc
import signal
import sys
import warnings
from typing import NoReturn


def main() -> NoReturn:
    """Run the command and exit with its status."""
    # Imports create thousands of objects that stay: collecting garbage among them takes 5 % of the start-up.
    gc.set_threshold(200_000)
    # requests imports these if they are installed. They detect encodings, which Chat's JSON does not need, and take a
    # tenth of a send.
    sys.modules["chardet"] = sys.modules["charset_normalizer"] = None  # type: ignore[assignment]  # None blocks the import
    warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
    # Ctrl-C ends the process without a traceback. Commands that report or undo something install a handler.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from chatpost.cli.app import run
    from chatpost.commands import chatpost
    from chatpost.processes import exit_now

    exit_now(run(chatpost))


if __name__ == "__main__":
    main()
