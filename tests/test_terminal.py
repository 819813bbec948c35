from __future__ import annotations

import re

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
        "2J",
        "9A",
        "3B",
        "999C",
        "1;1H",
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
        ("abc\x1b[1K", "   "),
        ("abc\x1b[2D\x1b[K", "a"),
        ("abc\x1b[2GX", "aXc"),
        ("a\x1b[3Cb", "a   b"),
        ("ab\bc", "ac"),
        ("b\bbo\bol\bld\bd", "bold"),
        ("\b\bx", "x"),
        (f"{BAR}\ndone", "100% ##########\ndone"),
        ("one: 1%\ntwo: 1%\n\x1b[2Aone: 9%\ntwo: 9%\n", "one: 9%\ntwo: 9%\n"),
        ("a\nb\nc\x1b[2F\x1b[JX", "X"),
        ("gone\n\x1b[H\x1b[2Jkept", "kept"),
        ("a\n\x1b[1;1Hb", "b\n"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("\x1b(Bcharset\x1b7\x1b8\x1bM", "charset"),
        ("e\u0301x\rE", "Ex"),
        ("\U0001f469\u200d\U0001f4bbx\ry", "yx"),
        ("a\x0bb\x0cc\x85d", "a\nb\nc\nd"),
        ("cut \x1b[3", "cut "),
        ("cut \x1b", "cut "),
        ("日本\rab", "ab本"),
        ("日本\rあ", "あ本"),
        ("a\x1b[5;10Hb", "a\n         b"),
        ("\x1b7 10%\x1b8 20%\x1b8 30%", " 30%"),
        ("\x1b[s 10%\x1b[u 9%", " 9%%"),
        ("a\nb\x1b[1dc", "ac\nb"),
        ("\x1b[99999999999Cx", f"{' ' * 250}x"),
    ],
)
def test_what_is_left_on_the_screen(output: str, screen: str) -> None:
    """The text is what a terminal would have left on its screen."""
    assert screen_text(output) == screen


@given(st.text() | st.lists(PIECES).map("".join))
def test_nothing_controls_a_terminal_any_more(output: str) -> None:
    """The only control characters left are line ends and tabs, and cleaning again changes nothing."""
    screen = screen_text(output)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", screen)
    assert screen_text(screen) == screen


@pytest.mark.parametrize(
    "mad",
    [
        "a" * 500_000 + "\x1b[1K" * 130_000,
        "a\r" + "\u0301" * 500_000,
        "\x1b[A\x1b[1K" * 100_000,
        "\x1b[9999C\x1b[B " * 60_000,
    ],
)
def test_mad_output_ends(mad: str) -> None:
    """A megabyte of anything is cleaned in a time that grows with its length alone."""
    screen_text(mad)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cc", "Cs"])))
def test_plain_text_stays(text: str) -> None:
    """Text without control characters stays as it is, under colours too."""
    assert screen_text(text) == text
    assert screen_text(f"\x1b[31m{text}\x1b[0m") == text
