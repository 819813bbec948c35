"""`chatpost run`: what is posted of a job, and whether it is."""

from __future__ import annotations

import os
import shlex
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.app import bug_line
from chatpost.cli.console import say
from chatpost.cli.job_options import CARD_OF_JOB, CHANGE, JOB, REPORT, TELLING_JOB
from chatpost.cli.options import STYLE
from chatpost.cli.settings import Settings
from chatpost.cli.values import Address
from chatpost.commands.posting import Plan, post, thread_of
from chatpost.commands.reading import warn_of_cards
from chatpost.content.markup import fenced
from chatpost.content.secrets import masked, secrets_of
from chatpost.content.terminal import screen_text
from chatpost.directories import state_file
from chatpost.errors import ChatpostError, StorageError
from chatpost.jobs.history import History
from chatpost.jobs.report import Outcome, Tail, report
from chatpost.jobs.transitions import Past, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    import click

    from chatpost.chat.message import Message
    from chatpost.commands.reading import Composer
    from chatpost.content.compose import Style
    from chatpost.delivery.model import Delivery
    from chatpost.jobs.output import Output
    from chatpost.jobs.process import Ending
    from chatpost.jobs.transitions import News

_LONGEST_COMMAND = 1000  # characters of a command line that are posted
_LONGEST_NAME = 200


class JobReporter:
    """Posts how a job went. Nothing that goes wrong here is more than a line on stderr."""

    def __init__(self, ctx: click.Context, command: Sequence[str], settings: Settings) -> None:
        self._ctx = ctx
        self._command = command
        self._time_limit = settings[JOB].time_limit
        name = settings[REPORT].name
        self._name = (name or _readable(Path(command[0]).name) or "''")[:_LONGEST_NAME]
        self._key = f"name {name}" if name else f"command {shlex.join(command)}"
        self._news: News | None = None
        self._is_remembered = False
        self._is_told = False
        self._quiet = settings[TELLING_JOB].quiet

    def report(self, ending: Ending, output: Output | None, die: Callable[[int], NoReturn]) -> None:
        """Post the outcome if it is wanted; ``die`` ends the process if a signal comes meanwhile."""

        def is_wanted(settings: Settings) -> bool:
            self._news = self._remember(ending, settings[CHANGE])
            return self._news is not None

        def read(configured: Sequence[Settings], warn: Callable[[str], None]) -> Composer:
            tail = _read_tail(output)
            warn_of_cards([settings[CARD_OF_JOB] for settings in configured], warn)
            return lambda settings: (self._message(ending, tail, settings),)

        def die_told(number: int) -> NoReturn:
            self._settle()
            die(number)

        self._post(Plan(self._address, read, is_wanted, die=die_told, note=self._note, can_repeat=False))
        if not self._is_remembered:  # it was not even known where to post
            self._remember(ending, Settings(self._ctx)[CHANGE])
        self._settle()

    def _post(self, plan: Plan) -> None:
        try:
            post(self._ctx, plan)
        except ChatpostError as error:
            say(str(error))
        except Exception as bug:  # noqa: BLE001 - it must not harm the job
            say(bug_line(bug))

    def _note(self, delivery: Delivery) -> None:
        """Note that the news is told, if at least one space has it or will have it."""
        self._is_told |= delivery.progress.created is not None or delivery.progress.kept is not None

    def _remember(self, ending: Ending, rule: Rule) -> News | None:
        """Add the run to the job's past; return what is worth telling."""
        now, failed = time.time(), bool(ending.status)
        self._is_remembered = True
        try:
            return self._history().add(self._key, now, rule, failed=failed)
        except StorageError as error:
            if rule.on != "always" and not self._quiet:
                say(f"warning: how the job went before is not known: {error}")
            return Past().then(now, failed=failed).news(now, rule)

    def _settle(self) -> None:
        """Put it into the job's past that the news is told."""
        if self._news is not None and self._is_told:
            with suppress(StorageError):  # then `_remember` has said so
                self._history().told(self._key, self._news, time.time())

    def _history(self) -> History:
        return History(state_file("jobs.sqlite3"))

    def _address(self, settings: Settings) -> Address:
        address = thread_of(settings)
        if address.thread is None and self._news is not None and self._news.thread_key:
            return Address(Thread(key=self._news.thread_key), MessageReplyOption.FALLBACK_TO_NEW_THREAD)
        return address

    def _message(self, ending: Ending, tail: Tail, settings: Settings) -> Message:
        style, quick, shown = self._style(settings), settings[CARD_OF_JOB].quick, settings[REPORT]
        outcome = self._outcome(ending)
        words = outcome.line(is_markdown=style.is_markdown)
        if shown.show_command:
            words += f"\n{self._shown_command(is_markdown=style.is_markdown)}"
        if quick.is_asked_for:
            quick = quick._replace(status="ok" if outcome.is_success else "fail")
        return report(words, tail, shown.tail, style, quick)

    def _shown_command(self, *, is_markdown: bool) -> str:
        secrets = secrets_of(os.environ)
        line = shlex.join(masked(_readable(word), secrets) for word in self._command)
        return fenced(line[:_LONGEST_COMMAND], is_markdown=is_markdown)

    def _outcome(self, ending: Ending) -> Outcome:
        return Outcome(self._name, socket.gethostname(), ending, self._time_limit, self._news)

    def _style(self, settings: Settings) -> Style:
        """Return the style; only the first failure in a row mentions anybody."""
        is_first = self._news is not None and self._news.kind == "failure"
        return settings[STYLE] if is_first else settings[STYLE]._replace(mention=())


def _readable(text: str) -> str:
    """Return a word of a command line as text, without what is none."""
    return screen_text(text.encode(errors="surrogateescape").decode(errors="replace"))


def _read_tail(output: Output | None) -> Tail:
    if output is None:
        return Tail("")
    return Tail.read(output.tail, output.lines_before, secrets_of(os.environ))
