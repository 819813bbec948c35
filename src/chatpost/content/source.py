"""Reads the content of a message: words from the command line, stdin, a card file."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TextIO

from chatpost.concurrency import wait_until_readable
from chatpost.content.cards import CardMessage, CardOptions
from chatpost.content.decoding import Decoder, find_encoding
from chatpost.content.terminal import screen_text
from chatpost.errors import DataError, InputError, UsageError, system_reason
from chatpost.processes import Surroundings

if TYPE_CHECKING:
    from chatpost.content.ci import CiRun

_INPUT_LIMIT = 4 * 1024 * 1024  # bytes of stdin or of a card file; a hundred messages have fewer
_SHORT_LIMIT = 1024 * 1024  # bytes of stdin to keep if its ends are enough
_END_LIMIT = 256 * 1024  # bytes to keep of each end of a longer stdin, with escape sequences


class Text(NamedTuple):
    """The text of a message: its ``beginning`` and its ``end``, which are both the whole text if stdin was not cut.

    ``after`` bytes follow the beginning, and ``before`` bytes precede the end. ``typed``: it comes from the command
    line, not from stdin. ``had_bad_bytes``: it had invalid bytes, which became U+FFFD. ``is_blank``: only white space.
    ``prefix``: its beginning that comes from the command line, if the rest comes from stdin.
    """

    beginning: str
    end: str
    after: int = 0
    before: int = 0
    typed: bool = False
    had_bad_bytes: bool = False
    is_blank: bool = False
    prefix: str = ""

    @classmethod
    def whole(cls, text: str, *, typed: bool = False, had_bad_bytes: bool = False) -> Text:
        """Return a text that was not cut."""
        return cls(text, text, typed=typed, had_bad_bytes=had_bad_bytes, is_blank=not text.strip())

    def after_words(self, words: Text) -> Text:
        """Return the text after words from the command line: on the same line if this text is a single line."""
        if self.is_blank or words.is_blank:
            return words if self.is_blank else self
        prefix = words.beginning + ("\n" if "\n" in self.beginning or self.after else " ")
        is_whole = not self.after
        return self._replace(
            beginning=prefix + self.beginning,
            end=prefix + self.end if is_whole else self.end,
            before=self.before if is_whole else self.before + len(prefix.encode()),
            had_bad_bytes=self.had_bad_bytes or words.had_bad_bytes,
            prefix=prefix,
        )


class Content(NamedTuple):
    """The content of a message: a text, blank for a card alone, the message in the card file, and the CI run.

    ``mask`` removes the secrets of a CI.
    """

    text: Text
    card: CardMessage | None = None
    run: CiRun | None = None
    mask: Callable[[str], str] | None = None

    def masked(self, mask: Callable[[str], str]) -> Content:
        """Return the content with ``mask`` applied to its text: in a part of it, a secret would no longer be found."""
        text = self.text
        beginning, end, prefix = mask(text.beginning), mask(text.end), mask(text.prefix)
        return self._replace(text=text._replace(beginning=beginning, end=end, prefix=prefix))


class ReadOptions(NamedTuple):
    """Whether to accept an empty text, whether the ends of a long stdin are enough, and whether to read stdin.

    ``command``: the command that an error shows as an example.
    """

    skip_empty: bool = False
    ends_only: bool = False
    has_stdin: bool = True
    command: str = "chatpost send"


def read_content(
    words: Sequence[str],
    cards: Sequence[CardOptions],
    surroundings: Surroundings,
    options: ReadOptions,
    warn: Callable[[str], None],
) -> Content | None:
    """Read the content, given each recipient's card options; return None if it is empty and ``skip_empty`` is set.

    Raises `UsageError` for incompatible options, `DataError` for empty, too long or invalid content, and `InputError`
    if it cannot be read.
    """
    stdin = surroundings.stdin
    has_cards = any(map(any, cards))
    if has_cards:
        _check_cards(words, cards, warn)
    run = find_ci_run(cards, surroundings.environment, warn)
    path = cards[0].card  # --card is not an option of profiles: all recipients have the same
    file = None if path is None else _read_card_file(path, stdin)
    has_card = has_cards and (file is not None or all(card.quick_card(run) is not None for card in cards))
    # A card needs no text, so with a card, stdin is read only for `-`. Whether --ci makes a card depends on the
    # machine, so with --ci alone, stdin is read as without a card.
    is_ci_alone = has_card and file is None and not all(card.has_own_parts for card in cards)
    reads_pipe = options.has_stdin and not (stdin is not None and stdin.isatty())
    if not words and has_card and not (is_ci_alone and reads_pipe):
        if options.has_stdin and path != "-" and stdin is not None and _has_data(stdin):
            warn("stdin has data that was not posted: add - to post it as the text")
        return Content(Text.whole(""), file, run, _mask_of_ci(surroundings) if run is not None else None)
    if not words and stdin is not None and stdin.isatty():
        key = " -k KEY" if options.command.endswith("reply") else ""
        raise UsageError(f'no text: pass it as arguments ({options.command}{key} "Hello"), or pipe it in')
    text = _read_text(words, stdin, ends_only=options.ends_only)
    if text.is_blank and (is_ci_alone or not has_card):
        if options.skip_empty:
            return None
        if not has_card:
            raise DataError("the text is empty, so nothing was posted (use --skip-empty to exit with 0)")
    if text.had_bad_bytes:
        warn("the text contains bytes that are not UTF-8; each is posted as U+FFFD")
    mask = _mask_of_ci(surroundings) if run is not None else None
    return Content(text, file, run, mask).masked(mask or str)


def _mask_of_ci(surroundings: Surroundings) -> Callable[[str], str]:
    from chatpost.content.secrets import SecretMask  # CI systems pass secrets as variables

    return SecretMask(surroundings.environment)


def _check_cards(words: Sequence[str], cards: Sequence[CardOptions], warn: Callable[[str], None]) -> None:
    """Raise `UsageError` for options that cannot be used together; warn of mentions without an effect."""
    for card in cards:
        if card.card == "-" and tuple(words[-1:]) == ("-",):
            raise UsageError("stdin can be the card (--card -) or the text (-), not both")
        if card.lacks_title:
            raise UsageError(NO_TITLE)
        texts = (card.title or "", card.subtitle or "", *(value for _, value in card.field))
        if any("<users/" in text for text in texts):
            warn("<users/...> in --title, --subtitle or --field notifies no one: use --mention")


def find_ci_run(
    cards: Sequence[CardOptions], environment: Mapping[str, str], warn: Callable[[str], None]
) -> CiRun | None:
    """Return the CI run in the environment if a card option asks for it; warn if there is no run."""
    if not any(card.ci for card in cards):
        return None
    from chatpost.content.ci import find_run

    run = find_run(environment)
    if run is None:
        warn("--ci has no effect: no CI variables are set")
    return run


NO_TITLE = "--subtitle and --icon need a title: add --title"
"""The usage error for a message, and the warning for a job's outcome."""


def _has_data(stdin: TextIO) -> bool:
    """Return whether a pipe or a file has data now. A terminal, a socket or a device may never have any."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode
        if stat.S_ISREG(mode):
            return os.lseek(stdin.fileno(), 0, os.SEEK_CUR) < os.fstat(stdin.fileno()).st_size
        readable = select.poll()
        readable.register(stdin, select.POLLIN)
        return stat.S_ISFIFO(mode) and any(event & select.POLLIN for _, event in readable.poll(0))
    except OSError:
        return False


def _read_card_file(path: str, stdin: TextIO | None) -> CardMessage:
    from chatpost.content.card_file import read_cards  # few messages have one

    if path == "-":
        return read_cards(_read_all(stdin, "stdin"), "stdin")._replace(is_piped=True)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - Path("") is the current directory
            return read_cards(_read_all(file, path), path)
    except OSError as failure:
        raise _unreadable(path, failure) from None


def _read_all(source: IO[Any] | None, name: str) -> bytes:
    read = bytearray()
    for chunk in read_chunks(source.fileno(), name) if source is not None else ():
        read += chunk
        if len(read) > _INPUT_LIMIT:
            raise DataError(f"{name} is larger than {_INPUT_LIMIT:,} bytes, the limit")
    return bytes(read)


def _read_text(words: Sequence[str], stdin: TextIO | None, *, ends_only: bool) -> Text:
    """Join the words by spaces, as `echo` does; without words, or if the last is ``-``, read stdin to its end.

    In no other case is stdin read: a CI runner's can be a pipe that never ends.
    """
    if words[1:] and words[-1] == "-":
        before = _read_text(words[:-1], stdin, ends_only=False)
        return _read_text(["-"], stdin, ends_only=ends_only).after_words(before)
    if words and tuple(words) != ("-",):
        given = " ".join(words)
        text = given.encode(errors="surrogateescape").decode(errors="replace")
        had_bad_bytes = text.count("\ufffd") != given.count("\ufffd")
        return Text.whole(screen_text(text), typed=True, had_bad_bytes=had_bad_bytes)
    if stdin is None:  # the process was started without one
        return Text.whole("")
    return _read_stdin(stdin, ends_only=ends_only)


def _read_stdin(stdin: TextIO, *, ends_only: bool) -> Text:
    """Read stdin to its end, as a terminal would show it; keep at most the limit and one end in memory."""
    limit = _SHORT_LIMIT if ends_only else _INPUT_LIMIT
    beginning, ending, size = bytearray(), bytearray(), 0
    for chunk in read_chunks(stdin.fileno(), "stdin"):
        size += len(chunk)
        if size <= limit:
            beginning += chunk
        elif not ends_only:
            raise DataError(
                f"stdin is larger than {_INPUT_LIMIT:,} bytes, so nothing was posted:"
                " use --overflow tail or head to post one end of it"
            )
        ending += chunk
        if len(ending) > 2 * _END_LIMIT:
            del ending[:-_END_LIMIT]
    if size > limit:
        return _ends(bytes(beginning[:_END_LIMIT]), bytes(ending), size)
    decoder = Decoder()
    text = screen_text(decoder.decode(bytes(beginning), final=True)).rstrip("\n")
    return Text.whole(text, had_bad_bytes=decoder.had_bad_bytes)


def _ends(beginning: bytes, ending: bytes, size: int) -> Text:
    """Decode both ends of a text of ``size`` bytes: whole characters, and whole lines if possible."""
    encoding, mark = find_encoding(beginning)
    ending = ending[-(size - len(ending)) % len("\0".encode(encoding)) :]
    if encoding == "utf-8":
        ending = ending.lstrip(bytes(range(0x80, 0xC0)))  # the rest of a character that was cut
    # A character that was cut decodes to U+FFFD.
    first = beginning[mark:].decode(encoding, errors="replace").rstrip("\ufffd")
    first = first[: first.rfind("\n") + 1] or first
    decoder = Decoder(encoding)
    last = screen_text(decoder.decode(ending, final=True)).rstrip("\n")
    after = size - len(first.encode(encoding, errors="replace"))
    first = screen_text(first)
    is_blank = not (first.strip() or last.strip())
    return Text(first, last, after, size - len(ending), had_bad_bytes=decoder.had_bad_bytes, is_blank=is_blank)


def read_chunks(source: int, name: str) -> Iterator[bytes]:
    """Read a file descriptor, blocking or not, to its end; raises `InputError`, which quotes ``name``."""
    while True:
        try:
            wait_until_readable(source)
            chunk = os.read(source, 64 * 1024)  # the size of a pipe
        except BlockingIOError:  # another process, with the same non-blocking pipe, was faster
            continue
        except OSError as failure:
            raise _unreadable(name, failure) from None
        if not chunk:
            return
        yield chunk


def _unreadable(name: str, failure: OSError) -> InputError:
    return InputError(f"{name} cannot be read: {system_reason(failure)}")
