"""Splitting a text that is too long, and keeping its beginning or end."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import example, given, settings, strategies as st

from chatpost.content.graphemes import last_boundary, next_boundary
from chatpost.content.split import Syntax, Taken, head, split, tail, take

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
LIMIT = 120


def parts_of(text: str, syntax: Syntax) -> list[str]:
    """Take parts until the end of the text."""
    parts, taken = [], Taken("", text)
    while taken.rest:
        taken = take(taken.rest, LIMIT, taken.fence, syntax=syntax)
        parts.append(taken.part)
    return parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("short", ["short"]),
        ("a" * 100 + "\n" + "b" * 100, ["a" * 100, "b" * 100]),
        ("a" * 60 + " " + "b" * 60 + " " + "c" * 10, ["a" * 60, "b" * 60 + " " + "c" * 10]),
        ("a" * 119 + "\nb", ["a" * 119, "b"]),
        ("a" * 121, ["a" * 120, "a"]),
        ("e\u0301" * 41, ["e\u0301" * 40, "e\u0301"]),
    ],
)
def test_where_parts_end(text: str, parts: list[str]) -> None:
    """A part ends at a newline if possible, or else at a space, or else between characters."""
    assert list(split(text, LIMIT)) == parts


def test_a_fence_is_closed_and_opened_again() -> None:
    """A code block that continues in the next part has a fence there, with the same language."""
    code = "\n".join(f"line {number}" for number in range(50))
    first, *others, last = parts_of(f"before\n```python\n{code}\n```\nafter", "markdown")
    assert first.startswith("before\n```python\nline 0\n")
    assert first.endswith("\n```")
    assert all(part.startswith("```python\nline") and part.endswith("\n```") for part in others)
    assert last.endswith("```\nafter")
    kept = "\n".join(part for part in (first, *others, last)).replace("```python\n", "").replace("\n```", "")
    assert kept == f"before\n{code}\nafter"


def test_lines_are_kept_whole() -> None:
    """A part ends at a newline if one is near, even if the limit falls on a space."""
    text = "aaaa\n" + "word word\n" * 40
    assert all(line in {"aaaa", "word word", ""} for part in split(text, LIMIT) for line in part.split("\n"))
    assert head(text, LIMIT).endswith("\nword word")


@pytest.mark.parametrize(
    ("syntax", "text", "opened"),
    [
        ("markdown", "~~~\n{}\n~~~", "~~~\n"),
        ("markdown", "~~~ python\n{}\n~~~", "~~~python\n"),
        ("markdown", "````sh\n```\n{}\n````", "````sh\n"),
        ("markdown", "x = '```'\n{}", ""),
        ("markdown", "```sh\necho '```'\n{}\n```", "```sh\n"),
        ("markdown", f"{'`' * 25}sh\n{{}}\n{'`' * 25}", f"{'`' * 25}sh\n"),
        ("chat", "```sh\n{}\n```", "```\n"),
        ("chat", "before ```{}``` after", "```\n"),
        ("chat", "~~~\n{}\n~~~", ""),
        ("plain", "```\n{}\n```", ""),
    ],
)
def test_fences_of_each_syntax(syntax: Syntax, text: str, opened: str) -> None:
    """A fence of the text's syntax is closed at the end of a part and reopened in the next. Others count as text."""
    code = "\n".join(f"line {number}" for number in range(50))
    parts = parts_of(text.format(code), syntax)
    closing = re.sub("[a-z\n]", "", opened)
    assert all(len(part.encode()) <= LIMIT for part in parts)
    for part in parts[1:-1]:
        assert re.fullmatch(rf"{opened}(line \d+\n?)+{closing}", part)
    assert head(text.format(code), LIMIT, syntax=syntax).endswith(f"\n{closing}" if closing else "")
    assert tail(text.format(code), LIMIT, syntax=syntax).startswith(f"{opened}line")


def test_flags_are_not_torn() -> None:
    """A long run of flags is cut between two flags, at any limit."""
    flag = "\U0001f1e9\U0001f1ea"
    for limit in range(100, 120):
        assert all(part == flag * (len(part) // 2) for part in split(flag * 1000, limit))
        assert tail(flag * 1000, limit) == flag * (limit // 8)


CLUSTERS = {
    "emoji": ["\U0001f600", "\U0001f44d\U0001f3fd", FAMILY, "\u2764\ufe0f", "1\ufe0f\u20e3"],
    "flags": ["\U0001f1e9\U0001f1ea", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"],
    "Devanagari": ["\u0915\u094d\u0937\u093f", "\u0915\u094d\u200d\u0937", "\u0928\u092e", "\u0930\u093c\u094d\u0917"],
    "Tamil and Thai": ["\u0b95\u0bbf", "\u0ba8\u0bcb", "\u0e19\u0e49\u0e33"],
    "Hangul": ["\ud55c", "\u1112\u1161\u11ab", "\uac00\u11a8"],
    "Latin and Arabic": ["e\u0301", "n\u0303\u0323", "\u0600\u0661", "\u0628\u0651\u064e"],
}


@pytest.mark.parametrize("clusters", CLUSTERS.values(), ids=CLUSTERS)
@given(st.lists(st.integers(0, 59), min_size=100, max_size=200))
@settings(max_examples=40)
def test_a_word_that_fills_a_message(clusters: list[str], choices: list[int]) -> None:
    """A long word is cut between two characters as a reader sees them, close to the limit."""
    word = "".join(clusters[choice % len(clusters)] for choice in choices)
    parts = list(split(word, LIMIT))
    assert "".join(parts) == word
    assert [cluster for part in parts for cluster in regex.findall(r"\X", part)] == regex.findall(r"\X", word)
    assert all(LIMIT - 50 < len(part.encode()) <= LIMIT for part in parts[:-1])
    assert tail(word, LIMIT) in {word[bound:] for bound in bounds(word)}


def bounds(text: str) -> set[int]:
    """Return the boundaries between grapheme clusters, as found by another implementation."""
    return {0, *(match.end() for match in regex.finditer(r"\X", text))}


ODD = "".join(cluster for clusters in CLUSTERS.values() for cluster in clusters) + "\r\n\u1100\u0d4e\u1cf5\u200b"


@given(
    st.text(
        st.sampled_from(ODD)
        | st.characters(categories=["Mn", "Mc", "Me", "Cf"])
        | st.characters(exclude_categories=["Cs"]),
        max_size=50,
    ),
    st.integers(1, 52),
)
def test_a_cut_is_a_boundary(text: str, place: int) -> None:
    """Any text is cut only at a grapheme boundary."""
    text = f"ab{text}ab"
    place = min(place, len(text) - 1)
    assert {last_boundary(text, place), next_boundary(text, place)} <= bounds(text)
    assert last_boundary(text, place) <= place <= next_boundary(text, place)


def test_a_text_without_a_boundary() -> None:
    """A text without boundaries, such as a run of combining marks, is cut at the limit."""
    marks = "\u0301" * 5000
    assert "".join(split(marks, LIMIT)) == marks
    assert (last_boundary(marks, 2000), next_boundary(marks, 2000)) == (2000, 2000)


def test_taking_a_part() -> None:
    """`take` removes a part from the beginning, and the rest can be taken with another limit."""
    part, rest, fence = take("```\none\ntwo\nthree\n```", 15)
    assert (part, rest) == ("```\none\ntwo\n```", "three\n```")
    assert take(rest, 100, fence).part == "```\nthree\n```"


TEXTS = st.lists(
    st.sampled_from(
        ["a", "é", "日", FAMILY, "e\u0301", " ", "\n", "```", "````", "word ", "```sh\n", "\U0001f1e9\U0001f1ea"]
    )
    | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30),
    max_size=400,
).map("".join)


@given(TEXTS)
@example("`" * 500)
@example(" " * 500)
@example("\u0301" * 500)
def test_parts_are_the_text(text: str) -> None:
    """Each part fits and closes its fences. Together, the parts give the text, except for white space and fences."""
    parts = parts_of(text, "chat")
    assert all(len(part.encode()) <= LIMIT for part in parts)
    assert all(part.count("```") % 2 == 0 for part in parts[:-1])
    if "`" not in text:
        assert "".join(re.sub(r"\s", "", part) for part in parts) == re.sub(r"\s", "", text)
        whole = set(regex.findall(r"\X", re.sub(r"\s", " ", text)))
        for part in parts[:-1]:
            graphemes = regex.findall(r"\X", re.sub(r"\s", " ", part))
            assert not graphemes or len(text) > 390 or graphemes[-1] in whole


@given(TEXTS, st.integers(100, 300))
def test_head_and_tail(text: str, limit: int) -> None:
    """`head` is a prefix of the text, and `tail` a suffix. Both fit, and a short text stays unchanged."""
    first, last = head(text, limit, syntax="plain"), tail(text, limit, syntax="plain")
    assert text.startswith(first)
    assert text.endswith(last)
    fenced = head(text, limit), tail(text, limit)
    assert max(len(end.encode()) for end in fenced) <= limit
    assert max(len(first.encode()), len(last.encode())) <= limit
    if len(text.encode()) <= limit:
        assert first == last == text


def test_head_and_tail_keep_lines_whole() -> None:
    """If the text has newlines, `head` ends and `tail` begins with a complete line."""
    text = "\n".join(f"line {number}" for number in range(100))
    assert head(text, 100).endswith("\nline 12")
    assert tail(text, 100).startswith("line 88\n") or tail(text, 100).startswith("line 87\n")
