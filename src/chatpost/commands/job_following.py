"""`chatpost run --follow`: a job's output becomes replies in a thread, and its outcome closes it."""

from __future__ import annotations

import os
import socket
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from chatpost.cli.console import say, write_data
from chatpost.cli.job_options import CARD_OF_JOB, CHANGE, REPORT
from chatpost.cli.options import STYLE
from chatpost.cli.signals import report_on_signal
from chatpost.commands.following import Stream
from chatpost.commands.posting import Plan, thread_of
from chatpost.commands.reading import warn_of_cards
from chatpost.commands.running import JobReporter
from chatpost.commands.sending import TIMING
from chatpost.content.compose import Content, one_message
from chatpost.content.markup import mentioning
from chatpost.content.secrets import masked, secrets_of
from chatpost.content.source import Text
from chatpost.follow.replies import lines_are
from chatpost.follow.stream import BUFFER_LIMIT, LineMaker, Lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    import click

    from chatpost.chat.message import Message
    from chatpost.cli.settings import Settings
    from chatpost.commands.reading import Composer
    from chatpost.jobs.output import Output
    from chatpost.jobs.process import Ending


class JobFollower(JobReporter):
    """Posts a job's output into a thread while it runs, and its outcome at the end.

    ``listen`` takes the output, in whole lines.
    """

    def __init__(self, ctx: click.Context, command: Sequence[str], settings: Settings) -> None:
        super().__init__(ctx, command, settings)
        self._lines = Lines(TIMING.clock)
        secrets = secrets_of(os.environ)
        # It is not known yet whether a profile asks for Markdown: without it, lines fit into either fence.
        self._maker = LineMaker(self._lines, is_markdown=False, mask=lambda line: masked(line, secrets))
        self._dropped = 0
        self._printed: list[str] = []
        self._stream = Stream(self._lines, self._last, is_shared=True, is_bounded=True)
        self._settings = settings
        self._endings: SimpleQueue[Ending] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def listen(self, chunk: bytes) -> None:
        """Take whole lines. If too many wait, they are dropped: the job does not wait for Chat."""
        if self._lines.waiting.size > BUFFER_LIMIT:
            self._dropped += chunk.count(b"\n")
            return
        self._say_what_is_dropped()
        self._maker.add(chunk)

    def report(self, ending: Ending, output: Output | None, die: Callable[[int], NoReturn]) -> None:
        """Post the rest and the outcome. If the thread could not be opened, post the outcome by itself."""
        if self._thread.is_alive():
            self._say_what_is_dropped()
            self._maker.end()
            self._lines.end()
            self._endings.put(ending)
            with report_on_signal(lambda: say("interrupted: not all may be posted"), die=die):
                self._thread.join()
        for line in self._printed:  # not between the job's own lines
            write_data(line)
        if self._stream.is_open:
            self._settle()
        else:
            super().report(ending, output, die)

    def _say_what_is_dropped(self) -> None:
        if self._dropped:
            self._maker.add(f"[{lines_are(self._dropped)} left out: they came faster than Chat takes them]\n".encode())
            self._dropped = 0

    def _run(self) -> None:
        plan = Plan(thread_of, self._open, stream=self._stream, write=self._printed.append, can_repeat=False)
        self._post(plan._replace(note=self._note))

    def _open(self, configured: Sequence[Settings], warn: Callable[[str], None]) -> Composer:
        self._settings = configured[0]
        warn_of_cards([self._settings[CARD_OF_JOB]], warn)

        def message(settings: Settings) -> tuple[Message]:
            style = settings[STYLE]._replace(
                mention=(), code=False, language=None, markdown=settings[STYLE].is_markdown
            )
            name = f"**{self._name}**" if style.markdown else f"*{self._name}*"
            words = f"▶️ {name} started on {socket.gethostname()}"
            if settings[REPORT].show_command:
                words += f"\n{self._shown_command(is_markdown=style.markdown)}"
            return (one_message(Content(Text.whole(words, typed=True)), style, settings[CARD_OF_JOB].quick),)

        return message

    def _last(self) -> str:
        ending = self._endings.get()
        rule = self._settings[CHANGE]._replace(on="always")
        self._news = self._remember(ending, rule)
        style = self._style(self._settings)
        line = self._outcome(ending).line(is_markdown=style.markdown)
        return mentioning(style.mention, line, is_markdown=style.markdown)
