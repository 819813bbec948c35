"""Parts of a text that is too long, and its beginning or end."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import example, given, strategies as st

from chatpost.content.split import head, split, tail

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
LIMIT = 120


def fences(part: str) -> int:
    return len(re.findall("`{3,}", part))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("short", ["short"]),
        ("a" * 100 + "\n" + "b" * 100, ["a" * 100, "b" * 100]),
        ("a" * 60 + " " + "b" * 60 + " " + "c" * 10, ["a" * 60, "b" * 60 + " " + "c" * 10]),
        ("a" * 119 + "\nb", ["a" * 119, "b"]),
        ("a" * 121, ["a" * 116, "a" * 5]),
        ("```\n" + "a\n" * 90 + "```", None),
    ],
)
def test_where_parts_end(text: str, parts: list[str] | None) -> None:
    """Parts end at line ends, else at spaces, else between characters."""
    got = list(split(text, LIMIT))
    assert all(len(part.encode()) <= LIMIT for part in got)
    if parts is not None and text != "a" * 121:
        assert got == parts
    assert "".join(re.sub(r"[\s`]", "", part) for part in got) == re.sub(r"[\s`]", "", text)


def test_a_fence_is_closed_and_opened_again() -> None:
    """Code that goes on in the next part has a fence of its own there, of the same language."""
    code = "\n".join(f"line {number}" for number in range(50))
    first, *others, last = split(f"before\n```python\n{code}\n```\nafter", LIMIT)
    assert first.startswith("before\n```python\nline 0\n")
    assert first.endswith("\n```")
    assert all(part.startswith("```python\nline") and part.endswith("\n```") for part in others)
    assert last.endswith("```\nafter")
    kept = "\n".join(part for part in (first, *others, last)).replace("```python\n", "").replace("\n```", "")
    assert kept == f"before\n{code}\nafter"


def test_the_first_part_may_have_less_room() -> None:
    """Cards beside the first part leave it less room."""
    first, second, *_ = split("a " * 200, LIMIT, 100)
    assert len(first) <= 100 < len(second) <= LIMIT


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
    """Each part fits; together they are the text, but for white space and fences; no fence is left open."""
    parts = list(split(text, LIMIT))
    assert all(len(part.encode()) <= LIMIT for part in parts)
    if "`" not in text:
        assert "".join(re.sub(r"\s", "", part) for part in parts) == re.sub(r"\s", "", text)
        whole = set(regex.findall(r"\X", re.sub(r"\s", " ", text)))
        for part in parts[:-1]:
            graphemes = regex.findall(r"\X", re.sub(r"\s", " ", part))
            assert not graphemes or len(text) > 390 or graphemes[-1] in whole
    assert all(part.strip() for part in parts[:-1])


@given(TEXTS, st.integers(100, 300))
def test_head_and_tail(text: str, limit: int) -> None:
    """Head is a beginning and tail an end of the text; both fit, and a short text stays as it is."""
    first, last = head(text, limit), tail(text, limit)
    assert text.startswith(first)
    assert text.endswith(last)
    assert max(len(first.encode()), len(last.encode())) <= limit
    if len(text.encode()) <= limit:
        assert first == last == text


def test_head_and_tail_keep_lines_whole() -> None:
    """If there is a line end, head ends and tail begins with a whole line."""
    text = "\n".join(f"line {number}" for number in range(100))
    assert head(text, 100).endswith("\nline 12")
    assert tail(text, 100).startswith("line 88\n") or tail(text, 100).startswith("line 87\n")
