"""The messages of `chatpost run`: a job's outcome, or with `--follow` its output and then its outcome."""

from __future__ import annotations

import re
import shlex
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import click

from chatpost.chat.message import Message, MessageReplyOption, Thread
from chatpost.chat.webhook import mask_webhooks
from chatpost.cli.app import bug_line
from chatpost.cli.command_options import NOTIFY, REPORT
from chatpost.cli.console import say, write_data
from chatpost.cli.options import OUTPUT, STYLE
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.commands import posting
from chatpost.commands.following import Follower
from chatpost.commands.posting import Recipient, ReplyTo, quick_card_for
from chatpost.concurrency import join
from chatpost.content.ci import CiRun
from chatpost.content.compose import one_message
from chatpost.content.markup import Style, fenced, mentioning
from chatpost.content.secrets import SecretMask
from chatpost.content.source import NO_TITLE, find_ci_run
from chatpost.content.terminal import screen_text
from chatpost.delivery.model import Delivery
from chatpost.directories import state_file
from chatpost.errors import ChatpostError, StorageError
from chatpost.follow.replies import lines_are
from chatpost.follow.stream import BUFFER_LIMIT, LineMaker, Lines
from chatpost.jobs.history import HistoryFile
from chatpost.jobs.output import Output
from chatpost.jobs.process import ExitResult
from chatpost.jobs.report import Tail, outcome_line, report
from chatpost.jobs.transitions import JobHistory, NotifyRule, Transition
from chatpost.processes import report_on_signal, reraise_signal

_LONGEST_COMMAND = 1000  # characters of the command line in a message
_LONGEST_NAME = 200


class JobReporter:
    """Posts a job's outcome. An error is only printed: it does not change the job's exit status."""

    def __init__(self, ctx: click.Context, command: Sequence[str]) -> None:
        self._settings = settings = Settings(ctx)
        self._reporter = Reporter(settings[OUTPUT], ctx.obj)
        self._reporter.can_repeat = False
        self._ctx = ctx
        self._mask = SecretMask(ctx.obj.environment)
        self._command = command
        name = settings[REPORT].name
        program = next((word for word in command if not re.match(r"\w+=", word)), "")
        self._name = self._mask(name or _readable(Path(program).name) or "''")
        self._key = f"name {name}" if name else f"command {shlex.join(command)}"
        self._transition: Transition | None = None
        self._is_recorded = False
        self._deliveries: Sequence[Delivery] = ()

    def report(self, result: ExitResult, output: Output | None, die: Callable[[int], NoReturn]) -> None:
        """Record the run, and post the outcome if the rule says so. ``die`` ends the process after a signal."""

        def mark_and_die(number: int) -> NoReturn:
            self._mark_reported()
            die(number)

        def post() -> None:
            configured = posting.configure(self._ctx, self._reporter)
            self._settings = configured[0].settings
            self._record(result, self._settings[NOTIFY])
            if self._transition is not None:
                recipients = posting.resolve_recipients(configured, self._thread)
                self._shorten_name(recipients)
                run = self._find_ci_run(recipients)
                tail = Tail.read(output.tail, output.lines_before, self._mask) if output is not None else Tail("")
                messages = [(self._outcome_message(result, tail, run, each),) for each in recipients]
                self._deliveries = posting.prepare(recipients, messages, self._reporter.warn)
                posting.deliver(recipients, self._deliveries, self._reporter, mark_and_die)

        self._report_safely(post, mark_and_die)
        if not self._is_recorded:  # an error came first
            self._record(result, self._settings[NOTIFY])
        self._mark_reported()
        self._say_posted()

    def _shorten_name(self, recipients: Sequence[Recipient]) -> None:
        """Shorten a long name, after masking the webhooks' secrets in it: a part of one would not be found."""
        for recipient in recipients:
            self._name = recipient.webhook.mask_posted(self._name)
        self._name = self._name[:_LONGEST_NAME]

    def _say_posted(self) -> None:
        """At a terminal, say where the outcome was posted."""
        created = (its for its in self._deliveries if its.progress.created and its.progress.error is None)
        places = [its.to.label or its.to.webhook.space for its in created]
        if places and self._reporter.is_watched and not self._reporter.options.quiet:
            say(f"posted to {', '.join(places)}")

    def _report_safely(self, post: Callable[[], None], die: Callable[[int], NoReturn]) -> None:
        """Post, and print any error."""
        try:
            with self._reporter, report_on_signal(self._reporter.interrupted, die=die):
                post()
        except ChatpostError as error:
            say(str(error), "error")
        except Exception as bug:  # noqa: BLE001 - the exit status is the job's
            say(bug_line(bug), "error")

    def _record(self, result: ExitResult, rule: NotifyRule) -> None:
        """Add the run to the job's history, and set the transition to report."""
        now, failed = time.time(), bool(result.status)
        self._is_recorded = True
        try:
            self._transition = _history().add_run(self._key, now, rule, failed=failed, seconds=result.seconds)
        except StorageError as error:
            if rule.on != "always":
                self._reporter.warn(f"the job's history is unavailable: {error}")
            history, is_too_short = JobHistory(), rule.is_too_short(result.seconds, failed=failed)
            self._transition = None if is_too_short else history.after_run(now, failed=failed).transition(now, rule)

    def _mark_reported(self) -> None:
        """Record that the transition is reported, if a message is in a space or in the outbox."""
        is_reported = any(its.progress.created or its.progress.outbox_id is not None for its in self._deliveries)
        if self._transition is not None and is_reported:
            with suppress(StorageError):  # printed when the run was recorded
                _history().mark_reported(self._key, self._transition, time.time())

    def _thread(self, settings: Settings) -> ReplyTo:
        target = posting.find_thread(settings)
        if target.thread is None and self._transition is not None and self._transition.thread_key:
            return ReplyTo(Thread(key=self._transition.thread_key), MessageReplyOption.FALLBACK_TO_NEW_THREAD)
        return target

    def _find_ci_run(self, recipients: Sequence[Recipient]) -> CiRun | None:
        cards = [each.options.card for each in recipients if any(each.options.card)]
        if any(card.lacks_title for card in cards):
            self._reporter.warn(NO_TITLE)
        return find_ci_run(cards, self._reporter.environment, self._reporter.warn)

    def _outcome_message(self, result: ExitResult, tail: Tail, run: CiRun | None, recipient: Recipient) -> Message:
        tail = tail._replace(text=recipient.webhook.mask_posted(tail.text))
        style, words = self._outcome(result, recipient.options.style)
        words += self._shown_command(recipient, is_markdown=style.is_markdown)
        quick = quick_card_for(recipient, run, self._mask)
        if quick is not None:
            quick = quick.with_parts(status="fail" if result.status else "ok")
        return report(words, tail, recipient.settings[REPORT].tail, style, quick)

    def _shown_command(self, recipient: Recipient, *, is_markdown: bool) -> str:
        """Return the command line as text to append, empty without ``--show-command``."""
        if not recipient.settings[REPORT].show_command:
            return ""
        line = mask_webhooks(shlex.join(self._mask(_readable(word)) for word in self._command))
        line = recipient.webhook.mask_posted(line)  # before it is cut
        return f"\n{fenced(line[:_LONGEST_COMMAND], is_markdown=is_markdown)}"

    def _outcome(self, result: ExitResult, style: Style) -> tuple[Style, str]:
        """Return the message's style and the outcome's line.

        People are mentioned at the first failure, and with ``--on change`` also at the recovery.
        """
        transition = self._transition
        mentions_people = transition is not None and (
            transition.kind == "failure" or (transition.kind == "recovery" and transition.thread_key is not None)
        )
        if not mentions_people:
            style = style._replace(mention=())
        return style, outcome_line(self._name, result, self._transition, is_markdown=style.is_markdown)


class JobFollower(JobReporter):
    """Posts a job's output into a thread, from ``start`` until the job ends, and then its outcome."""

    def __init__(self, ctx: click.Context, command: Sequence[str]) -> None:
        super().__init__(ctx, command)
        self._lines = Lines(posting.TIMING.clock)
        # The profile, which may ask for Markdown, is not loaded yet: without Markdown, lines fit into either fence.
        self._maker = LineMaker(self._lines, is_markdown=False, mask=self._mask.line)
        # Cleaning a long line takes time, in which the job's output must not wait.
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._cleaner = threading.Thread(target=self._clean, daemon=True)
        self._backlog, self._lock = 0, threading.Lock()
        self._dropped = 0
        self._printed: list[str] = []
        self._reporter.write = self._printed.append
        self._reporter.is_shared = True
        self._follower = Follower(self._lines, self._last, is_shared=True, is_bounded=True)
        self._results: SimpleQueue[ExitResult] = SimpleQueue()
        self._poster = threading.Thread(target=self._report_safely, args=(self._post, reraise_signal), daemon=True)

    def start(self) -> None:
        """Start to clean and to post the output."""
        self._cleaner.start()
        self._poster.start()

    def listen(self, chunk: bytes) -> None:
        """Add whole lines of output. Above the buffer limit, drop them: the job does not wait for Chat."""
        if self._lines.size + self._backlog > BUFFER_LIMIT:
            self._dropped += chunk.count(b"\n") or not self._dropped
            return
        self._add_note_of_dropped()
        self._put(chunk)

    def _put(self, chunk: bytes) -> None:
        with self._lock:
            self._backlog += len(chunk)
        self._chunks.put(chunk)

    def _clean(self) -> None:
        """Clean the output, until None is in the queue. Runs in its own thread."""
        for chunk in iter(self._chunks.get, None):
            self._maker.add(chunk)
            with self._lock:
                self._backlog -= len(chunk)

    def report(self, result: ExitResult, output: Output | None, die: Callable[[int], NoReturn]) -> None:
        """Post the rest and the outcome. If the thread could not be opened, post only the outcome."""
        if self._poster.is_alive():
            self._add_note_of_dropped()
            self._chunks.put(None)
            join(self._cleaner)
            self._maker.end()
            self._lines.end()
            self._results.put(result)
            with report_on_signal(lambda: say("interrupted: some output may not have been posted"), die=die):
                join(self._poster)
        for line in self._printed:  # not between the job's own lines
            write_data(line)
        if self._follower.is_open:
            self._mark_reported()
            self._say_posted()
        else:
            self._reporter.write = write_data
            super().report(result, output, die)

    def _add_note_of_dropped(self) -> None:
        if self._dropped:
            self._put(
                f"[{lines_are(self._dropped)} omitted: the job printed faster than Chat accepts messages]\n".encode()
            )
            self._dropped = 0

    def _post(self) -> None:
        """Open the thread and post the output. Runs in its own thread: the main thread waits for the job."""
        configured = posting.configure(self._ctx, self._reporter, is_followed=True)
        (recipient,) = recipients = posting.resolve_recipients(configured, posting.find_thread)
        self._shorten_name(recipients)
        self._settings = recipient.settings
        quick = quick_card_for(recipient, self._find_ci_run(recipients), self._mask)
        style = recipient.options.style
        style = style._replace(mention=(), code=False, language=None, markdown=style.is_markdown)
        name = f"**{self._name}**" if style.markdown else f"*{self._name}*"
        words = f"▶️ {name} started on {socket.gethostname()}"
        words += self._shown_command(recipient, is_markdown=style.markdown)
        self._deliveries = posting.prepare(recipients, [(one_message(words, style, quick),)], self._reporter.warn)
        self._follower.post(self._deliveries[0], recipient, self._reporter)

    def _last(self) -> str:
        """Wait for the end of the job, record the run, and return the thread's last message."""
        result = self._results.get()
        self._record(result, self._settings[NOTIFY]._replace(on="always", longer_than=None))
        style = self._settings[STYLE]._replace(language=None)  # that is for the output alone
        style, line = self._outcome(result, style)
        return mentioning(style.mention, line, is_markdown=style.is_markdown)


def _history() -> HistoryFile:
    return HistoryFile(state_file("jobs.sqlite3"))


def _readable(text: str) -> str:
    """Return a word of a command line as text without control characters."""
    return screen_text(text.encode(errors="surrogateescape").decode(errors="replace"))
