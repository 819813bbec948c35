"""Promises about unusual text: chatpost posts the text that a terminal would show, and piped text mentions no user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import Finished

if TYPE_CHECKING:
    from chatpost.emulator import Emulator
    from tests.conftest import Shell


def posted(shell: Shell, chat: Emulator, *argv: str, stdin: bytes = b"") -> tuple[str, str]:
    """Post, and return the text in the space and the output on stderr."""
    done = shell("send", *argv, stdin=stdin)
    assert done.status == 0, done.err
    return chat.space().messages[-1].text, done.err


@pytest.mark.parametrize(
    ("piped", "text"),
    [
        (b"caf\xe9\n", "caf\N{REPLACEMENT CHARACTER}"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"a\xf0\x9f\x98b", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_bytes_that_are_not_utf_8_in_a_pipe(shell: Shell, chat: Emulator, piped: bytes, text: str) -> None:
    """Bytes that are not UTF-8 are posted as U+FFFD, with a warning that `--quiet` suppresses."""
    assert posted(shell, chat, stdin=piped) == (
        text,
        "chatpost: warning: the text contains bytes that are not UTF-8; each is posted as U+FFFD\n",
    )
    assert posted(shell, chat, "-q", stdin=piped) == (text, "")


@pytest.mark.parametrize(
    ("piped", "text"),
    [
        (b"a\x00b\x07c\x7f", "abc"),
        (b"one\r\ntwo\r\n", "one\ntwo"),
        (b"\x1b[1;31merror:\x1b[0m no \x1b[4mfile\x1b[m", "error: no file"),
        (b"\x1b]8;;https://example.com\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        (b"\x1b]0;title\x07text", "text"),
        (b"  1%\r 50%\r100%\ndone\n", "100%\ndone"),
        (b"Downloading...\r\x1b[KDone.\n", "Done."),
        (b"abc\b\bX", "aXc"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("UTF-16 é".encode("utf-16"), "UTF-16 é"),
        (b"\xfe\xff" + "big end first".encode("utf-16-be"), "big end first"),
        (b"tab\tstays", "tab\tstays"),
        ("Grüße \N{PARTY POPPER} 日本".encode(), "Grüße \N{PARTY POPPER} 日本"),
    ],
)
def test_text_as_a_terminal_would_show_it(shell: Shell, chat: Emulator, piped: bytes, text: str) -> None:
    """Control characters, colours and links are removed, and the text that a screen would show is posted."""
    assert posted(shell, chat, stdin=piped) == (text, "")


def test_arguments_are_cleaned(shell: Shell, chat: Emulator) -> None:
    """Arguments are cleaned like piped text. Bytes that are not UTF-8 become U+FFFD, with a warning."""
    shell.run("sh", "-c", r'chatpost send "$(printf "\033[1mbold\033[0m caf\351")"').expect(0, "not UTF-8")
    assert chat.space().messages[0].text == "bold caf\N{REPLACEMENT CHARACTER}"


def test_nothing_but_control_characters(shell: Shell, chat: Emulator) -> None:
    """A text that is empty after cleaning counts as an empty text."""
    assert shell("send", stdin=b"\x1b[0m\x00\r\n").status == 65
    assert chat.received == []


@pytest.mark.parametrize("source", ["yes", "cat /dev/zero"])
def test_endless_stdin(shell: Shell, chat: Emulator, source: str) -> None:
    """On endless stdin, chatpost exits with 65 in bounded memory, and posts nothing."""
    # Python and its libraries take some 100 MB of address space; the text must fit into the rest.
    done = shell.run("bash", "-c", f"{source} | (ulimit -v 300000; exec chatpost send --overflow fail)")
    assert (done.status, chat.received) == (65, [])
    assert "nothing was posted" in done.err


MENTIONS = "<users/all> and <users/1234>, <USERS/all>"


def test_mentions_in_piped_text(shell: Shell, chat: Emulator) -> None:
    """Mentions in piped text look the same but notify no user, unless `--allow-mentions` is set."""
    text, _ = posted(shell, chat, stdin=MENTIONS.encode())
    assert "<users/" not in text.lower()
    assert text.replace("\N{ZERO WIDTH SPACE}", "") == MENTIONS
    assert posted(shell, chat, "--allow-mentions", stdin=MENTIONS.encode()) == (MENTIONS, "")
    assert posted(shell, chat, "-", stdin=b"<users/all>")[0] != "<users/all>"


def test_mentions_in_typed_text(shell: Shell, chat: Emulator) -> None:
    """Mentions in a text on the command line notify users."""
    assert posted(shell, chat, MENTIONS) == (MENTIONS, "")


def test_mentions_as_each_profile_has_it(shell: Shell, chat: Emulator) -> None:
    """With several profiles, each profile's `allow_mentions` applies to its own message."""
    shell.write_profiles(
        f'[profiles.may]\nurl = "{chat.url("MAY")}"\nallow_mentions = true\n[profiles.not]\nurl = "{chat.url("NOT")}"\n'
    )
    done = shell("send", "-p", "may", "-p", "not", stdin=b"<users/all>")
    assert done == Finished(0, done.out, "")
    assert chat.space("MAY").messages[0].text == "<users/all>"
    assert chat.space("NOT").messages[0].text == "<\N{ZERO WIDTH SPACE}users/all>"


@pytest.mark.parametrize(
    ("piped", "text"),
    [(b"one line\n", "Disk: one line"), (b"two\nlines\n", "Disk:\ntwo\nlines"), (b"", "Disk:"), (b" \n", "Disk:")],
)
def test_words_before_stdin(shell: Shell, chat: Emulator, piped: bytes, text: str) -> None:
    """If the last argument is `-`, the text of stdin follows the others; a dash elsewhere is text."""
    assert posted(shell, chat, "Disk:", "-", stdin=piped) == (text, "")
    assert posted(shell, chat, "a", "-", "b", stdin=piped) == ("a - b", "")


def test_mentions_in_words_before_stdin(shell: Shell, chat: Emulator) -> None:
    """The arguments before `-` mention people; the piped text behind them does not."""
    text = "<users/1> look:\n<\u200busers/all>\nx"
    assert posted(shell, chat, "<users/1> look:", "-", stdin=b"<users/all>\nx") == (text, "")
    assert posted(shell, chat, "--code", "a", "-", stdin=b"b\nc") == ("```\na\nb\nc\n```", "")


@pytest.mark.parametrize("overflow", ["head", "tail"])
def test_words_before_a_long_stdin(shell: Shell, chat: Emulator, overflow: str) -> None:
    """Arguments before a text that is too long count as its beginning."""
    size = 3_000_000
    text, _ = posted(shell, chat, "--overflow", overflow, "Log:", "-", stdin=b"0123456789\n" * (size // 11) + b"end")
    assert text.startswith("Log:\n0123456789" if overflow == "head" else "Log:\n[")
    assert text.endswith("\nend") is (overflow == "tail")
    note = text.split("\n")[-1 if overflow == "head" else 1]
    kept = len(text) - len(note) - 1
    assert note.startswith(f"[{len('Log:') + 1 + (size // 11) * 11 + len('end') - kept:,} bytes omitted")


@pytest.mark.parametrize("argv", [(), ("--overflow", "head"), ("--overflow", "tail")])
def test_a_mention_before_a_long_stdin(shell: Shell, chat: Emulator, argv: tuple[str, ...]) -> None:
    """A mention in the arguments before `-` notifies people, however long the piped text is."""
    assert shell("send", *argv, "Failed <users/1>", "-", stdin=b"0" * 40_000).status == 0
    assert chat.space().messages[0].text.startswith("Failed <users/1>")
