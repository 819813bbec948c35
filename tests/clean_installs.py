"""Installs the wheel in fresh environments, and runs the demo and a smoke test there (`make installs`).

For each Python that is found, on PATH or under pyenv: with the oldest versions that pyproject.toml allows, and with the
newest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")

SMOKE_TEST = """
set -e
chatpost --version
chatpost send --help > /dev/null
chatpost send --title Smoke --status ok "a card"
echo "from a pipe" | chatpost send --code
printf 'Subject: A mail\\n\\nhi\\n' | chatpost sendmail root
chatpost send --spool-only "stored"
chatpost send --once-per 1h "once"
test -z "$(chatpost send --once-per 1h "once")"
chatpost outbox flush
chatpost run --no-output -- true
chatpost completion bash > /dev/null
printf '%s' "$CHATPOST_URL" | env -u CHATPOST_URL chatpost profiles add ops
env -u CHATPOST_URL chatpost send "by a profile"
"""


def find_python(version: str) -> str | None:
    """Return the path of a Python, or None if there is none of this version."""
    own = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    return str(own[-1]) if own else shutil.which(f"python{version}")


def check(python: str, resolution: str, wheel: Path, folder: Path) -> bool:
    """Install the wheel, and run the tests; print the outcome, with the output of a failure."""
    uv, environment = str(Path(sys.executable).with_name("uv")), folder / "venv"
    home = folder / "home"
    home.mkdir(parents=True)
    package = f"chatpost-cli[emulator,redis] @ {wheel.as_uri()}"
    variables = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}
    steps = [
        ([uv, "venv", "--quiet", "--python", python, str(environment)], dict(os.environ)),
        (
            [uv, "pip", "install", "--quiet", "--python", str(environment), "--resolution", resolution, package],
            dict(os.environ),
        ),
        (["chatpost", "emulator", "--", "sh", str(TOP / "docs" / "examples" / "demo.sh")], variables),
        (["chatpost", "emulator", "--", "sh", "-c", SMOKE_TEST], variables),
    ]
    for command, its in steps:
        program = shutil.which(command[0], path=its["PATH"]) or command[0]
        done = subprocess.run([program, *command[1:]], env=its, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"failed: {' '.join(command[:4])}\n{done.stdout}{done.stderr}")
            return False
    return True


def main() -> None:
    """Check each Python; exit with 1 if an installation failed, or if no Python was found."""
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", temporary, str(TOP)]
        subprocess.run(build, check=True)
        (wheel,) = folder.glob("*.whl")
        for version in PYTHONS:
            python = find_python(version)
            for resolution in RESOLUTIONS if python else ():
                outcomes.append(check(str(python), resolution, wheel, folder / f"{version}-{resolution}"))
                print(f"Python {version}, {resolution}: {'passed' if outcomes[-1] else 'failed'}", flush=True)
            if python is None:
                print(f"Python {version}: not found")
    sys.exit(not outcomes or not all(outcomes))


if __name__ == "__main__":
    main()
