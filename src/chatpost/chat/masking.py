"""Masks the secrets of webhooks in text that is posted, in the forms in which programs write URLs.

The text is decoded first: percent-encoding, also twice, JSON, HTML, shells, quoted-printable; invisible characters and
folded lines. A secret in the decoded text is masked at its place in the original.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MASK = "***"
_INVISIBLE = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
)
_ESCAPE = (
    rf"[{_INVISIBLE}]+|%[0-9A-Fa-f]{{2}}|\\u[0-9A-Fa-f]{{4}}|\\x[0-9A-Fa-f]{{2}}"
    r"|&(?:#x?[0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});|=\r?\n|=3D|\\\r?\n|\\(?![nrt])"
)
_FOLD = r"|\\[nrt]|=\s+|\s+"  # the second as quoted-printable's, whose line end became a space
_MOST_PASSES = 5  # an escape can be escaped again
_PATH = r"(?i)v1/spaces/[\w-]+/messages"
_VALUE = r"(?i)\b(?:key|token)[\"']?\s*[=:]\s*[\"']?(?P<secret>[^\s\"'&<>,;)}\]]{24,})"
_NEAR = 600  # characters after the path of a webhook's URL in which its parameters are


class _Decoded(NamedTuple):
    """A decoded text. ``places`` are pairs of a place in it and the place in the text before, in order."""

    text: str
    places: Sequence[tuple[int, int]]

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the text before that became the part from ``start`` to ``end``."""
        first = self.places[bisect_right(self.places, start, key=lambda place: place[0]) - 1]
        number = bisect_left(self.places, end, key=lambda place: place[0])
        if number < len(self.places) and self.places[number][0] == end:
            return first[1] + start - first[0], self.places[number][1]
        last = self.places[number - 1]
        return first[1] + start - first[0], last[1] + end - last[0]


def mask_everywhere(text: str, secrets: Iterable[str]) -> str:
    """Return the text with these secrets masked, in any form."""
    spans: list[tuple[int, int]] = []
    secrets = set(secrets)
    for secret in secrets:  # the decoder could alter a secret that looks like an escape
        spans += _occurrences(text, secret)
    needles = {_passes(secret, _ESCAPE + _FOLD)[-1].text.rstrip("=") for secret in secrets} | secrets
    passes = _passes(text, _ESCAPE + _FOLD)
    for number, decoded in enumerate(passes, 1):
        for needle in needles:
            spans += (_through(passes[:number], *span) for span in _occurrences(decoded.text, needle))
    return _replace(text, spans)


def mask_urls_near_paths(text: str) -> str:
    """Return the text with the key and the token of each webhook URL masked, as well as a pattern can."""
    spans: list[tuple[int, int]] = []
    passes = _passes(text, _ESCAPE)
    for number, decoded in enumerate(passes, 1):
        paths = [path.end() for path in re.finditer(_PATH, decoded.text)]
        for value in re.finditer(_VALUE, decoded.text) if paths else ():
            path = bisect_right(paths, value.start())
            if path and value.start() - paths[path - 1] <= _NEAR:
                spans.append(_through(passes[:number], *value.span("secret")))
    return _replace(text, spans)


def _passes(text: str, escapes: str) -> list[_Decoded]:
    """Decode a text until nothing is encoded any more; return each pass, at least one."""
    passes = [_decode(text, escapes)]
    while len(passes) < _MOST_PASSES and len(passes[-1].places) > 1:
        passes.append(_decode(passes[-1].text, escapes))
    return passes


def _decode(text: str, escapes: str) -> _Decoded:
    pieces: list[str] = []
    places = [(0, 0)]
    at = size = 0
    for escape in re.finditer(escapes, text):
        decoded = _character(escape[0])
        pieces += (text[at : escape.start()], decoded)
        size += escape.start() - at
        places.append((size, escape.start()))
        size, at = size + len(decoded), escape.end()
        places.append((size, at))
    return _Decoded("".join((*pieces, text[at:])), places)


def _character(escape: str) -> str:
    """Return the character that an escape stands for; none for a fold."""
    if escape[0] == "%" or escape[:2] in {"\\u", "\\x"}:
        return chr(int(escape.lstrip("%\\ux"), 16))
    if escape[0] == "&":
        from html import unescape  # it has large tables

        return unescape(escape)
    return "=" if escape == "=3D" else ""


def _occurrences(text: str, needle: str) -> Iterable[tuple[int, int]]:
    at = text.find(needle) if needle else -1
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + len(needle))


def _through(passes: Sequence[_Decoded], start: int, end: int) -> tuple[int, int]:
    for each in reversed(passes):
        start, end = each.source(start, end)
    return start, end


def _replace(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return the text with these parts masked, which may overlap."""
    kept: list[str] = []
    at = 0
    for start, end in sorted(set(spans)):
        if end <= at:
            continue
        if start >= at:
            kept += (text[at:start], MASK)
        at = end
    return "".join((*kept, text[at:]))
