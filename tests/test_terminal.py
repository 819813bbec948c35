from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, strategies as st

from chatpost.content.terminal import screen_text

BAR = "".join(f"\r\x1b[K{percent:3}% \x1b[32m{'#' * (percent // 10)}\x1b[0m" for percent in range(0, 101, 10))
PIECES = st.sampled_from(
    [
        "a",
        "é",
        "e\u0301",
        "\n",
        "\r",
        "\b",
        "\t",
        "\x1b[",
        "\x1b]",
        "\x07",
        "\x1b\\",
        "K",
        "1K",
        "2K",
        "2J",
        "9A",
        "日",
    ]
)


@pytest.mark.parametrize(
    ("output", "screen"),
    [
        ("plain *text*\twith <x|y>\n", "plain *text*\twith <x|y>\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\r\r\nb", "a\nb"),
        ("\x1b[1;31mred\x1b[0m and \x1b[38;2;1;2;3mmore\x1b[m", "red and more"),
        ("say \u00e2\u0080\u009dquoted", "say \u00e2quoted"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\!", "link!"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]0;never ends\ntext", "\ntext"),
        ("\x1bPdevice\x1b\\text\x1b_app\x07\x1b^pm\x9c", "text"),
        ("a\x00b\x01c\x7fd\x80e\x07", "abcde"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("loading...\rdone\n", "doneing...\n"),
        ("loading...\r\x1b[Kdone\n", "done\n"),
        ("loading...\x1b[2K\rdone\n", "done\n"),
        ("abc\x1b[1Kd", "   d"),
        ("abc\b\b\x1b[1Kd", " dc"),
        ("abc\x1b[2Kd\x1b[1K", ""),
        ("abc\b\b\x1b[K", "a"),
        ("abc\b\b\x1b[0K", "a"),
        ("ab\bc", "ac"),
        ("b\bbo\bol\bld\bd", "bold"),
        ("\b\bx", "x"),
        (f"{BAR}\ndone", "100% ##########\ndone"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("\x1b(Bcharset\x1bM", "charset"),
        ("e\u0301x\rE", "Ex"),
        ("\U0001f469\u200d\U0001f4bbx\ry", "yx"),
        ("a\x0bb\x0cc\x85d", "a\nb\nc\nd"),
        ("cut \x1b[3", "cut "),
        ("cut \x1b", "cut "),
        ("日本\rab", "ab本"),
        ("日本\rあ", "あ本"),
    ],
)
def test_what_is_left_on_the_screen(output: str, screen: str) -> None:
    """`screen_text` returns the text that a terminal would show on its screen."""
    assert screen_text(output) == screen


@given(st.text() | st.lists(PIECES).map("".join))
def test_nothing_controls_a_terminal_any_more(output: str) -> None:
    """The only control characters left are newlines and tabs, and a second cleaning changes nothing."""
    screen = screen_text(output)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", screen)
    assert screen_text(screen) == screen


@pytest.mark.parametrize(
    "sequence",
    [
        *(f"\x1b[2{final}" for final in "ABCDEFGJPXd`"),
        *(f"\x1b[1;1{final}" for final in "Hf"),
        "\x1b7",
        "\x1b8",
        "\x1b[s",
        "\x1b[u",
        "\x1b[J",
        "\x1b[3K",
    ],
)
def test_movements_are_dropped(sequence: str) -> None:
    """Cursor movements have no effect, because a job writes to a pipe. All of its text stays, in order."""
    assert screen_text(f"one\ntwo{sequence}three\n") == "one\ntwothree\n"


SEQUENCES = ["\x1b7\x1b8", "\x1b[s\x1b[u", "a\r", "ab\b", "a\x1b[K", "\x1b[1K", "\x1b[2K", "\x1b[31m", "\x1b[5;5Hx"]
SEQUENCES += ["\x1b]0;t\x07", "\x1b[", "\x1b]", "\u65e5\r", "e\u0301", "\x1b[1A", "\x85", "\x1b[99999C"]


@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        ("a", "\x1b[1K"),
        ("a", "\x1b[2K"),
        ("a", "\x1b[K"),
        ("a", "\bx\x1b[1K"),
        ("a", "\x1b[2Kx"),
        ("a", "\b"),
        ("a", "\rb"),
        ("a", "\r\x1b[1K"),
        ("", "\r\n"),
        ("", "\x1b7\x1b8"),
        ("", "\x1b[9999C\x1b[B "),
        ("", "\x1b[A\x1b[1K"),
        ("", "\x1b[31m"),
        ("", "\x1b]0;"),
        ("", "\x1b["),
        ("\x1b[", "0"),
        ("\x1b[1;", "2 "),
        ("\x1b]", "\r"),
        ("", "日\r"),
        ("\ra", "\u0301"),
        ("\r日", "\u200d"),
        *(("", piece) for piece in SEQUENCES),
    ],
)
def test_time_grows_with_length_alone(before: str, repeated: str) -> None:
    """Eight times the length of any sequence takes about eight times the CPU, not 64 times."""

    def seconds(times: int) -> float:
        output = "x" * 1000 + before * times + repeated * times

        def measured() -> float:
            began = time.process_time()
            screen_text(output)
            return time.process_time() - began

        return min(measured() for _ in range(3))

    assert seconds(24_000) < 24 * max(seconds(3_000), 0.001)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cs"])))
def test_plain_text_stays(text: str) -> None:
    """Text without control characters stays unchanged, even inside colours."""
    assert screen_text(text) == text
    assert screen_text(f"\x1b[31m{text}\x1b[0m") == text
