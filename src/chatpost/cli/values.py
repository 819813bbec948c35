"""The small values that sections of options make, if the core has none for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.chat.message import MessageReplyOption, Thread
    from chatpost.content.cards import QuickCard

FORMATS = ("name", "thread", "json", "none")
"""The formats of a message's line on stdout."""


class Where(NamedTuple):
    """The profiles to post to, by name, and the file to read them from."""

    profile: tuple[str, ...]
    config: Path | None


class Address(NamedTuple):
    """The thread of a message, if any, and Chat's action if the thread does not exist."""

    thread: Thread | None = None
    reply_option: MessageReplyOption | None = None


class Card(NamedTuple):
    """A card from a file (``-`` for stdin), or a quick card made of options.

    ``lacks_ci``: it was to have parts of a CI's run, and there is none.
    """

    file: str | None
    quick: QuickCard
    lacks_ci: bool

    @property
    def lacks_title(self) -> bool:
        """Whether something is to stand below a title that is not there."""
        quick = self.quick
        return bool(quick.subtitle or quick.icon) and not (quick.title or quick.run)


class Envelope(NamedTuple):
    """Ids of a message, and whether it notifies anybody."""

    request_id: str | None
    message_id: str | None
    silent: bool


class OutputOptions(NamedTuple):
    """The user's choice of output: ``output`` (one of `FORMATS`) on stdout, and how much on stderr.

    ``dry_run``: print the request and send nothing.
    """

    output: str
    quiet: bool
    verbose: bool
    dry_run: bool


class ExitOptions(NamedTuple):
    """Whether an empty text, and a failure, exit with 0."""

    skip_empty: bool
    soft_fail: bool


class FollowOptions(NamedTuple):
    """Options for turning stdin into replies."""

    follow: bool
    tee: bool
    last: str | None
    every: float
