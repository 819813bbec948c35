"""`chatpost outbox flush`: post the pending messages once, or with `--watch` until a signal ends the process."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import NoReturn

from chatpost.cli.app import bug_line
from chatpost.cli.console import say
from chatpost.cli.messages import see_also
from chatpost.cli.options import OutputOptions
from chatpost.cli.reporter import Reporter
from chatpost.commands.posting import TIMING, make_sender
from chatpost.concurrency import run_concurrently, start_without_signals
from chatpost.delivery.retry import RetryPolicy
from chatpost.delivery.sender import Sender
from chatpost.errors import ChatpostError, ConfigurationError, ExitStatus, StorageError, Unavailable
from chatpost.outbox.flusher import Flusher, FlushResult
from chatpost.outbox.model import OutboxMessage
from chatpost.outbox.options import FlushOptions
from chatpost.outbox.resolver import WebhookResolver
from chatpost.outbox.sqlite import open_outbox
from chatpost.processes import Surroundings, report_on_signal
from chatpost.profiles.sources import RedisConfig

_MARK_EVERY = 60.0  # seconds between records of a successful flush
_POLL = 1.0  # seconds between two reads of the outbox; reading a large one takes at most a tenth of the time
_FIRST_COOL_DOWN = 2.0  # seconds after a flush that posted nothing; doubled after each further one
_LONGEST_COOL_DOWN = 30.0
_REDIS_RETRY_AFTER = 30.0  # seconds for which a flush does without a Redis that has failed


class FlushCommand:
    """Flushes the outbox. Raises `ConfigurationError` if the outbox is not configured correctly."""

    def __init__(
        self, options: FlushOptions, policy: RetryPolicy, output: OutputOptions, surroundings: Surroundings
    ) -> None:
        self._options = options
        self._policy = policy
        self._output = output
        self._surroundings = surroundings
        self._open()

    def _open(self) -> None:
        self._redis = RedisConfig.of_file(self._options.config, self._surroundings.environment)
        self._outbox = open_outbox(self._redis)

    def run(self) -> ExitStatus:
        """Post the pending messages, in all spaces concurrently. Raises `StorageError`."""
        spaces = self._pending_spaces()
        if not spaces:
            self._mark_flushed()
            return ExitStatus.OK
        reporter = Reporter(self._output, self._surroundings)
        sender = make_sender(self._redis, reporter)
        flusher = self._flusher(sender, reporter)
        left: list[OutboxMessage] = []
        posted = 0
        steps = [partial(flusher.flush, *each) for each in spaces.items()]
        if reporter.is_watched:
            reporter.show_bars()
        with report_on_signal(partial(_interrupted, [sender], reporter.close)):
            results = list(run_concurrently(steps))
        if reporter.is_watched:
            reporter.close()
        for result in results:
            for sentence in self._sentences(result):
                say(sentence, "error")
            left += result.left
            posted += result.posted
        pending = {message.id for message in left if message.status.state == "pending"}
        given_up = {message.id for message in left if message.status.state != "posted"} - pending
        before = {message.id for message in chain(*spaces.values()) if message.status.state == "pending"}
        lost = len(before & given_up)
        if lost or (not self._output.quiet and (pending or self._output.verbose or reporter.is_watched)):
            more = f", {lost} rejected or expired (see `chatpost outbox list`)" if lost else ""
            say(f"{posted} posted, {len(pending)} pending{more}")
        if posted or not pending:
            self._mark_flushed()
        return ExitStatus.TRY_LATER if pending else ExitStatus.OK

    def _mark_flushed(self) -> None:
        with suppress(StorageError):  # only a note about spooled messages depends on it
            self._outbox.mark_flushed()

    def _pending_spaces(self) -> dict[str, list[OutboxMessage]]:
        """Return all messages of each space that has pending ones, without their contents."""
        spaces: defaultdict[str, list[OutboxMessage]] = defaultdict(list)
        for message in self._outbox.index():
            spaces[message.webhook.space].append(message)
        return {
            space: index
            for space, index in spaces.items()
            if any(message.status.state == "pending" for message in index)
        }

    def _flusher(self, sender: Sender, reporter: Reporter) -> Flusher:
        """Return a flusher that reads each profile once."""
        resolver = WebhookResolver(self._policy.timeout, self._options.config, self._surroundings.environment)
        on_posted = reporter.show if reporter.is_watched else None
        return Flusher(self._outbox, sender, self._policy, resolver.resolve, self._options.digest, on_posted=on_posted)

    def _sentences(self, result: FlushResult) -> list[str]:
        """Return a sentence for each message that was not posted."""
        errors, is_quiet = result.of_messages, self._output.quiet
        shown = {number: it for number, it in errors.items() if not (is_quiet and isinstance(it, Unavailable))}
        return [f"message {number}: {error}{see_also(error)}" for number, error in shown.items()]


class Watcher(FlushCommand):
    """Posts messages as they arrive, in one thread per space, until a signal ends the process."""

    def run(self) -> NoReturn:
        """Watch the outbox. If it cannot be read, it is opened again after a cool-down."""
        self._senders: dict[str, Sender] = {}  # of the spaces that a thread is flushing
        self._cool_downs: defaultdict[str, float] = defaultdict(float)
        self._said: defaultdict[str, set[str]] = defaultdict(set)
        self._warned: set[str] = set()
        self._failures, self._open_at, self._mark_at = 0, 0.0, 0.0
        if not self._output.quiet:
            say("watching the outbox; posting messages as they arrive")
        with report_on_signal(lambda: _interrupted(list(self._senders.values()), lambda: None)):
            while True:
                began = TIMING.clock()
                try:
                    self._start_threads()
                except StorageError as error:
                    self._say_once("", {str(error)})
                    self._open_again(began)
                TIMING.sleep(max(_POLL, 9 * (TIMING.clock() - began)))

    def _start_threads(self) -> None:
        """Start a thread for each space with pending messages that has none."""
        pending = self._pending_spaces()
        self._failures = 0
        self._say_once("", set())
        if not pending and TIMING.clock() >= self._mark_at:
            self._mark_flushed()
            self._mark_at = TIMING.clock() + _MARK_EVERY
        for space, index in pending.items():
            if space not in self._senders:
                reporter = Reporter(self._output, self._surroundings, self._warned)
                reporter.is_shared = True  # by the flushes of other spaces
                self._senders[space] = make_sender(self._redis, reporter, _REDIS_RETRY_AFTER)
                start_without_signals(threading.Thread(target=self._flush, args=(space, index, reporter), daemon=True))

    def _flush(self, space: str, index: list[OutboxMessage], reporter: Reporter) -> None:
        """Flush a space, then sleep for a cool-down if nothing was posted."""
        try:
            sentences = set(self._sentences(self._flusher(self._senders[space], reporter).flush(space, index)))
        except ChatpostError as error:
            sentences = {f"{error}{see_also(error)}"}
        except Exception as bug:  # noqa: BLE001 - the flush of other spaces goes on
            sentences = {bug_line(bug)}
        self._say_once(space, sentences)
        if reporter.posted:
            self._mark_flushed()
        grown = min(max(_FIRST_COOL_DOWN, 2 * self._cool_downs[space]), _LONGEST_COOL_DOWN)
        self._cool_downs[space] = 0.0 if reporter.posted else grown
        TIMING.sleep(self._cool_downs[space])
        del self._senders[space]

    def _open_again(self, now: float) -> None:
        """Open the outbox again, after a longer cool-down each time: its URL or password may have changed."""
        if now >= self._open_at:
            self._failures += 1
            self._open_at = now + min(_FIRST_COOL_DOWN * 2.0**self._failures, _LONGEST_COOL_DOWN)
            try:
                self._open()
            except ConfigurationError as error:
                self._say_once("", {str(error)})

    def _say_once(self, space: str, sentences: set[str]) -> None:
        """Print the sentences that the previous flush of the space did not print; ``space`` is "" for the outbox."""
        for sentence in sorted(sentences - self._said[space]):
            say(sentence, "error")
        self._said[space] = sentences


def _interrupted(senders: Sequence[Sender], close: Callable[[], None]) -> None:
    close()
    say("interrupted: unposted messages stay in the outbox")
    for sender in senders:
        sender.leave_queues()
