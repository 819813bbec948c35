"""The options of `chatpost sendmail`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any, NamedTuple

from chatpost.cli import types
from chatpost.cli.options import OUTPUT, RETRY, SPOOL, STYLE, OutputOptions
from chatpost.cli.settings import Option, Section
from chatpost.formatting import Seconds


class MailOptions(NamedTuple):
    """The options of sendmail that have an effect.

    ``mode``: ``m`` reads mail, ``p`` lists the outbox. ``queue`` is not None: flush the outbox. ``in_headers``: also
    read recipients from the headers. ``letters`` are those after ``-o``. ``ignores_dots``: a line with only a dot does
    not end the mail.
    """

    in_headers: bool
    ignores_dots: bool
    letters: tuple[str, ...]
    mode: str
    queue: str | None

    @property
    def ends_at_dot(self) -> bool:
        """Whether a line with only a dot ends the mail."""
        return not (self.ignores_dots or "i" in self.letters)


_FLAGS, _VALUED = set("tivGmnU"), set("obqfFrBNRVOLCXApk")


def known_flags(words: Iterable[str]) -> Iterator[str]:
    """Yield the words of a command line without the flags that chatpost does not have: they must not stop the mail.

    An unknown flag ends its cluster: ``-eq`` is an error mode of other sendmails, not ``-q``. ``-h5`` and ``-h 5`` are
    a hop count.
    """
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from (word, *rest)
        elif word == "-h" or not re.match("-[^-]", word):
            following = [*islice(rest, 1)] if word == "-h" else []
            if not (following and following[0].isdigit()):
                yield from (word, *following)
        else:
            known = list(takewhile(_FLAGS.__contains__, word[1:]))
            if word[1 + len(known) : 2 + len(known)] in _VALUED:
                yield word
            elif known:
                yield f"-{''.join(known)}"


def _of_sendmail(*declarations: str, **attributes: Any) -> Option:
    """Return an option that cannot be set in the environment or a profile."""
    return Option(*declarations, envvar=None, in_profile=False, **attributes)


SENDMAIL = Section(
    "Sendmail options",
    MailOptions,
    _of_sendmail("in_headers", "-t", is_flag=True, help="Also read recipients from the To, Cc and Bcc headers."),
    _of_sendmail("ignores_dots", "-i", is_flag=True, help="Do not treat a line with only a dot as the end of input."),
    _of_sendmail(
        "letters", "-o", metavar="LETTER", multiple=True, help="-oi is the same as -i. Other letters are ignored."
    ),
    _of_sendmail("mode", "-b", metavar="MODE", default="m", help="m reads mail from stdin; p lists the outbox."),
    _of_sendmail("queue", "-q", is_flag=False, flag_value="", default=None, metavar="", help="Flush the outbox."),
)

IGNORED = Section(
    SENDMAIL.heading,
    tuple,
    _of_sendmail(
        *("ignored", "-f", "-F", "-r", "-B", "-N", "-R", "-V", "-O", "-L", "-C", "-X", "-A"),
        metavar="VALUE",
        multiple=True,
        help="Ignored.",
    ),
    _of_sendmail("ignored_flags", "-G", "-m", "-n", "-U", is_flag=True, help="Ignored."),
)

MENTION = STYLE.without("code", "language", "markdown", "allow_mentions")
RETRY_MAIL = RETRY.replacing(Option("--deadline", type=types.Duration(), default=Seconds(10), help="Total time limit."))
SPOOL_MAIL = SPOOL.replacing(
    Option("--spool/--no-spool", default=True, help="If posting fails for now, store the message in the outbox.")
)
OUTPUT_OF_MAIL = Section(
    OUTPUT.heading,
    lambda verbose, dry_run: OutputOptions("none", quiet=not verbose, verbose=verbose, dry_run=dry_run),
    *(option for option in OUTPUT.options if option.key in {"verbose", "dry_run"}),
)
