"""`make zipapp`: build chatpost.pyz from an installed folder: one file that runs with any Python 3.11 or newer.

The build is reproducible: names are sorted, and the file contains no timestamps and no local paths.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

_MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("chatpost needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])

from chatpost.__main__ import main

main()
"""
_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can store


def build(folder: Path, target: Path) -> None:
    """Pack the contents of a folder, laid out as a Python path, into the file."""
    files = {"__main__.py": _MAIN.encode()}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        is_wanted = path.is_file() and path.name not in _LEFT_OUT and path.suffix not in {".pyc", ".so"}
        if is_wanted and not name.startswith(("bin/", "share/")):
            files[name] = path.read_bytes()
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(files.items()):
                entry = zipfile.ZipInfo(name, _FIRST_DAY)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
    target.chmod(0o755)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
