"""Finds boundaries of grapheme clusters, which a reader sees as one character, to cut a text.

Source: Unicode Standard Annex #29. The rules here are simpler and stricter: each place that they allow is a boundary,
but they do not find all boundaries.
"""

from __future__ import annotations

import unicodedata

_FARTHEST = 200  # characters to search for a boundary; no script has longer clusters
_MARKS = {"Mn", "Me", "Mc", "Cf"}  # also variation selectors, joiners, and the tags of Scotland's flag
_VIRAMA = 9  # the combining class of the signs that join two consonants of an Indic script
_ATTACHED_TO_PREVIOUS = {
    *map(chr, (*range(0x1160, 0x1200), *range(0xD7B0, 0xD800))),  # vowels and finals of Hangul
    *"\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff",  # skin tones
    *"\u0e33\u0eb3\uff9e\uff9f\U00016d63\U00016d67\U00016d68\U00016d69\U00016d6a",  # letters like marks
}
_LETTERS_LIKE_PREFIXES = {
    *"\u0d4e\u1cf5\u1cf6\U000111c2\U000111c3\U000113d1\U0001193f\U00011941\U00011a3a\U00011a84\U00011a85\U00011a86",
    *"\U00011a87\U00011a88\U00011a89\U00011d46\U00011f02",
}
_ATTACHED_TO_NEXT = {
    *("\r", *_LETTERS_LIKE_PREFIXES),
    *map(chr, (*range(0x1100, 0x1160), *range(0xA960, 0xA980))),  # initials of Hangul
}
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)  # a flag is two of these
_TAGS = range(0xE0020, 0xE0080)
_FIRST_EMOJI = "\U0001f000"


def last_boundary(text: str, place: int) -> int:
    """Return the last boundary from 1 to `place`, or `place` if none is near it."""
    nearby = range(place, max(0, place - _FARTHEST), -1)
    return next((near for near in nearby if _is_boundary(text, near)), place)


def next_boundary(text: str, place: int) -> int:
    """Return the first boundary from `place` on, or `place` if none is near it."""
    nearby = range(place, min(len(text), place + _FARTHEST))
    return next((near for near in nearby if _is_boundary(text, near)), place)


def _is_boundary(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return True
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return before != "\r"
    is_joiner = unicodedata.category(before) == "Cf" and ord(before) not in _TAGS
    if is_joiner or before in _ATTACHED_TO_NEXT or _is_unknown(before) or _is_attached_to_previous(after):
        return False
    if ord(before) in _FLAG_LETTERS and ord(after) in _FLAG_LETTERS:
        start = place
        while start and ord(text[start - 1]) in _FLAG_LETTERS:
            start -= 1
        return (place - start) % 2 == 0
    while place and _is_attached_to_previous(text[place - 1]):
        place -= 1
        if unicodedata.combining(text[place]) == _VIRAMA or _is_unknown(text[place]):
            return False
    return not (place and text[place - 1] in _LETTERS_LIKE_PREFIXES)


def _is_attached_to_previous(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _MARKS or character in _ATTACHED_TO_PREVIOUS or _is_unknown(character)


def _is_unknown(character: str) -> bool:
    """Return whether a character is newer than Python's Unicode data: it may be a mark or a virama."""
    return unicodedata.category(character) == "Cn" and character < _FIRST_EMOJI
