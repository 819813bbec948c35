"""Reads the content to post: words of the command line, stdin, a card file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from chatpost.cli.console import is_terminal
from chatpost.cli.options import CARD, LENIENCY, OVERFLOW, STYLE
from chatpost.content.cards import read_cards
from chatpost.content.compose import Content, compose
from chatpost.content.source import Text, card_file, card_file_name, message_text
from chatpost.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.chat.message import Message
    from chatpost.cli.settings import Settings
    from chatpost.cli.values import Card


_NO_CI = "--ci adds nothing: no variable of a CI is set"
_NO_TITLE = "--subtitle and --icon need a title: add --title"

Composer: TypeAlias = "Callable[[Settings], Sequence[Message]]"
"""Makes the messages for a recipient with these settings."""

Read: TypeAlias = "Callable[[Sequence[Settings], Callable[[str], None]], Composer | None]"
"""Reads the content for recipients with these settings, and warns; None if there is none and that is no error."""


def from_words(words: Sequence[str], *, has_stdin: bool = True) -> Read:
    """Return what reads a message's text from these words or from stdin, and its card from a file.

    ``has_stdin``: stdin is not somebody else's, such as a stream's.
    """

    def read(configured: Sequence[Settings], warn: Callable[[str], None]) -> Composer | None:
        reads_pipe = has_stdin and not is_terminal(sys.stdin)
        content = _read_content(words, configured, warn, reads_pipe=reads_pipe)
        if content is None:
            return None
        return lambda settings: compose(content, settings[STYLE], settings[OVERFLOW], settings[CARD].quick)

    return read


def _read_content(
    words: Sequence[str], configured: Sequence[Settings], warn: Callable[[str], None], *, reads_pipe: bool
) -> Content | None:
    """Return the content, for recipients with these settings; None if there is none and that is no error.

    Raises `UsageError` for options that do not go together, `DataError` for an empty text, and what `message_text`,
    `card_file` and `read_cards` raise.
    """
    cards = [settings[CARD] for settings in configured]
    for card in cards:
        _check_card(words, card)
    if any(card.lacks_ci for card in cards):
        warn(_NO_CI)
    # The option --card is for one message, so it is the same for all.
    path = cards[0].file
    file = None if path is None else read_cards(card_file(path), card_file_name(path))._replace(is_piped=path == "-")
    can_do_without_text = all(file is not None or card.quick.is_asked_for for card in cards)
    # A card needs no text, so with one, stdin is read only if it is asked for. Whether there is a CI's card depends on
    # the machine: with nothing else, the text is read as without one.
    is_ci_alone = file is None and any(not card.quick.has_own_parts for card in cards)
    if not words and can_do_without_text and not (is_ci_alone and reads_pipe):
        return Content(Text.whole(""), file)
    ends_only = all(settings[OVERFLOW].overflow in {"head", "tail"} for settings in configured)
    text = message_text(words, ends_only=ends_only)
    if text.is_blank and (is_ci_alone or not can_do_without_text):
        if configured[0][LENIENCY].skip_empty:
            return None
        if not can_do_without_text:
            msg = "the text is empty, so nothing was posted (with --skip-empty this is no error)"
            raise DataError(msg)
    if text.had_bad_bytes:
        warn("the text holds bytes that are not UTF-8; each is posted as U+FFFD")
    return Content(text, file)


def warn_of_cards(cards: Sequence[Card], warn: Callable[[str], None]) -> None:
    """Warn of what is missing on cards: for messages that are posted all the same."""
    if any(card.lacks_ci for card in cards):
        warn(_NO_CI)
    if any(card.lacks_title for card in cards):
        warn(_NO_TITLE)


def _check_card(words: Sequence[str], card: Card) -> None:
    msg = None
    if card.file == "-" and tuple(words) == ("-",):
        msg = "stdin can be the card (--card -) or the text (-), not both"
    elif card.lacks_title:
        msg = _NO_TITLE
    if msg:
        raise UsageError(msg)
