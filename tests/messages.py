"""The sentences in the code that a user can read, each of which docs/troubleshooting.md explains."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TOP = Path(__file__).parent.parent
PAGE = TOP / "docs" / "troubleshooting.md"
SOURCE = TOP / "src" / "chatpost"

_WORDS = re.compile("[a-z]{2} [A-Za-z]")
_ENTRY = re.compile(r"^- (`+)([^`](?:(?!\1)[\s\S])*)\1:\s+(\S.*(?:\n  .*)*)", re.MULTILINE)
_HELP = {"help", "epilog", "short_help"}
# Modules without sentences of their own for a user of chatpost: the emulator's server, the lists of commands and of
# CIs, and what stands on help pages.
_SILENT = re.compile("emulator/(?!faults).*|commands/__init__|cli/help|content/ci")
# SQL, examples, what stands on help pages, cards or stdout, and what is told to a library.
_NO_MESSAGES = re.compile(
    "(CREATE|DELETE|INSERT|SELECT|UPDATE|state IN|space =) .*|(t=.*)?chatpost .*|export CHATPOST_URL=.*"
    "|Where to post|When to post|Following (stdin|the output)|Exit status|Line to print for each message."
    "|Open run|<b>.*|what it holds does not matter|Unable to find acceptable character detection"
)


def sentences() -> dict[str, str]:
    """Return each sentence, or part of one, of the code, with its module; an ellipsis stands for what differs."""
    found: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).with_suffix("").as_posix()
        if not _SILENT.fullmatch(module):
            texts = _texts(ast.parse(path.read_text()))
            found |= {text: module for text in texts if text and not _NO_MESSAGES.fullmatch(text)}
    return found


def explained() -> dict[str, str]:
    """Return the explanations in docs/troubleshooting.md by the messages."""
    entries = _ENTRY.finditer(PAGE.read_text())
    return {" ".join(entry[2].split()): " ".join(entry[3].split()) for entry in entries}


def pieces(text: str) -> list[str]:
    """Return a message's words between the ellipses."""
    return [piece for piece in (part.strip(" .,:;()") for part in text.split("…")) if _WORDS.search(piece)]


def is_within(sentence: str, message: str) -> bool:
    """Return whether the pieces of the code's sentence are in the message, in their order."""
    return re.search(".*".join(map(re.escape, pieces(sentence))), message) is not None


def is_of_code(message: str, code: Iterable[str]) -> bool:
    """Return whether the code has all of the message's words, at least two of them next to each other."""
    texts = [_plain(text) for text in code]
    return all(_is_covered(_plain(piece).split(), texts) for piece in pieces(message))


def _is_covered(words: list[str], texts: list[str]) -> bool:
    parts = (count for count in range(len(words), 0, -1) if count > 1 or count == len(words))
    return not words or any(
        any(_line(words[:count]) in text for text in texts) and _is_covered(words[count:], texts) for count in parts
    )


def _plain(text: str) -> str:
    """Return the words with one space before and behind each."""
    return _line(re.sub(r"[\s.,:;()]+", " ", text.replace("…", " … ")).split())


def _line(words: list[str]) -> str:
    return f" {' '.join(words)} "


def _texts(tree: ast.AST) -> Iterator[str]:
    if isinstance(tree, ast.Constant | ast.JoinedStr):
        yield _text(tree).partition("\n")[0].strip(" :")
        return
    for child in ast.iter_child_nodes(tree):
        if not _is_no_sentence(child):
            yield from _texts(child)


def _is_no_sentence(node: ast.AST) -> bool:
    """Return whether it is a docstring, a help text, or a regular expression."""
    match node:
        case ast.Expr(ast.Constant()):
            return True
        case ast.keyword(arg=name):
            return name in _HELP
        case ast.Assign([ast.Name("EPILOG")]):
            return True
        case ast.Call(ast.Attribute(ast.Name("re"))):
            return True
    return False


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value.replace("{}", "…") if isinstance(node.value, str) else ""
    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return re.sub("…+", "…", "".join(map(str, parts)))
