"""The messages that chatpost can say, taken out of its code for docs/troubleshooting.md (`make docs`)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
PAGE = TOP / "docs" / "troubleshooting.md"
SOURCE = TOP / "src" / "chatpost"
_VARIABLES = {"msg", "reason", "complaint", "NO_WEBHOOK", "NO_CI", "_NO_PROFILES"}
_SAID_BY = {"say", "warn", "fail", "Unavailable", "Refused", "NotAllowed", "ProtocolError", "UnusableRoute"}
_TABLES = {"_LASTING", "_PASSING"}  # of reasons, by Redis's own words
_SHORTEST = 14
_SENTENCE = re.compile("[a-z]{2} [a-z]+ ")
_MARK = re.compile(r"(<!-- messages of (.*?) -->\n)(?:\n?- .*\n)*")


def messages_of(module: str) -> list[str]:
    """Return the messages in a module (``chat/webhook``), each once; an ellipsis stands for what differs."""
    found = [text for node in ast.walk(ast.parse((SOURCE / f"{module}.py").read_text())) for text in _texts(node)]
    lines = (text.partition("\n")[0].strip(" :") for text in found)
    return list(dict.fromkeys(line for line in lines if len(line) > _SHORTEST and _SENTENCE.search(line)))


def modules() -> list[str]:
    """Return the modules that can say anything, but for those of the emulator itself."""
    names = [path.relative_to(SOURCE).with_suffix("").as_posix() for path in sorted(SOURCE.rglob("*.py"))]
    return [name for name in names if not name.startswith("emulator/") and messages_of(name)]


def troubleshooting() -> str:
    """Return the page as it should be: below each mark, the messages of its modules."""

    def filled(mark: re.Match[str]) -> str:
        lines = dict.fromkeys(message for module in mark[2].split() for message in messages_of(module))
        return mark[1] + "\n" + "".join(f"- {_shown(line)}\n" for line in lines)

    return _MARK.sub(filled, PAGE.read_text())


def listed() -> list[str]:
    """Return the modules that the page names."""
    return [module for mark in _MARK.finditer(PAGE.read_text()) for module in mark[2].split()]


def _shown(line: str) -> str:
    fence = "``" if "`" in line else "`"
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        if node.targets[0].id in _VARIABLES:
            yield from _text(node.value)
        elif node.targets[0].id in _TABLES and isinstance(node.value, ast.Dict):
            for value in node.value.values:
                yield from _text(value)
    elif isinstance(node, ast.Return | ast.Yield) and node.value is not None:
        for value in node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]:
            yield from _text(value)
    elif isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in _SAID_BY or name.endswith("Error"):
            for argument in node.args[:2]:
                yield from _text(argument)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _text(node.body)
        yield from _text(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.replace("{}", "…")
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield re.sub("…+", "…", "".join(map(str, parts)))


def main() -> None:
    """Write the page."""
    PAGE.write_text(troubleshooting())


if __name__ == "__main__":
    main()
