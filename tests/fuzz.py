"""Runs tests/test_fuzz.py again and again, with many examples and new seeds, for an hour (`make fuzz`).

`python -m tests.fuzz SECONDS` runs it for this long, and stops at the first failure.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

EXAMPLES = "2000"


def main() -> None:
    """Exit with the status of the first run that failed, or with 0."""
    until = time.monotonic() + float(sys.argv[1] if sys.argv[1:] else 3600)
    while time.monotonic() < until:
        seed = random.randrange(2**32)
        print(f"seed {seed}", flush=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            f"--hypothesis-seed={seed}",
            "tests/test_fuzz.py",
        ]
        status = subprocess.run(command, env=os.environ | {"CHATPOST_FUZZ": EXAMPLES}, check=False).returncode
        if status:
            sys.exit(status)


if __name__ == "__main__":
    main()
