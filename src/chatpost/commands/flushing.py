"""`chatpost outbox flush`: posts the pending messages once, or with `--watch` until a signal ends the process."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from math import inf
from typing import NoReturn

from chatpost.cli.app import bug_line
from chatpost.cli.console import say
from chatpost.cli.options import OutputOptions
from chatpost.cli.reporter import Reporter
from chatpost.commands.posting import TIMING, make_sender
from chatpost.concurrency import run_concurrently, start_without_signals
from chatpost.delivery.retry import RetryPolicy
from chatpost.delivery.sender import Sender
from chatpost.errors import ChatpostError, ConfigurationError, ExitStatus, StorageError, Unavailable
from chatpost.outbox.flusher import Failures, Flusher
from chatpost.outbox.model import OutboxMessage
from chatpost.outbox.options import FlushOptions
from chatpost.outbox.resolver import WebhookResolver
from chatpost.outbox.sqlite import open_outbox
from chatpost.processes import report_on_signal
from chatpost.profiles.sources import RedisConfig
from chatpost.surroundings import Surroundings

_POLL = 1.0  # seconds between two looks at the outbox; a large one takes at most a tenth of the time
_FIRST_COOL_DOWN = 2.0  # seconds after a pass that has posted nothing; they double with each one
_LONGEST_COOL_DOWN = 30.0
_REDIS_RETRY_AFTER = 30.0  # seconds for which a pass does without a Redis that has failed


_INTERRUPTED = "interrupted: what is not posted stays in the outbox"


class FlushCommand:
    """Flushes the outbox as the options say. Raises `ConfigurationError` if it is not configured correctly."""

    def __init__(
        self, options: FlushOptions, policy: RetryPolicy, output: OutputOptions, surroundings: Surroundings
    ) -> None:
        self.output = output
        self._options = options
        self._policy = policy
        self._surroundings = surroundings
        self.open()

    def open(self) -> None:
        """Open the outbox."""
        self._redis = RedisConfig.of_file(self._options.config, self._surroundings.environment)
        self._outbox = open_outbox(self._redis)

    def run(self) -> ExitStatus:
        """Post the pending messages, in all spaces at the same time. Raises `StorageError`."""
        spaces = self.pending_spaces()
        if not spaces:
            return ExitStatus.OK
        reporter = self.reporter(set())
        sender, resolver = self.sender(reporter), self.resolver()

        def interrupted() -> None:
            say(_INTERRUPTED)
            sender.leave_queues()

        left: list[OutboxMessage] = []
        steps = [partial(self.flush_space, space, index, sender, resolver) for space, index in spaces.items()]
        with report_on_signal(interrupted):
            for failures in run_concurrently(steps):
                for sentence in self.sentences(failures):
                    say(sentence)
                left += failures.left
        return self._report(chain(*spaces.values()), left, is_watched=reporter.is_watched)

    def pending_spaces(self) -> dict[str, list[OutboxMessage]]:
        """Return the messages of all spaces that have pending ones."""
        spaces: defaultdict[str, list[OutboxMessage]] = defaultdict(list)
        for message in self._outbox.index():
            spaces[message.webhook.space].append(message)
        return {
            space: index
            for space, index in spaces.items()
            if any(message.status.state == "pending" for message in index)
        }

    def reporter(self, warned: set[str]) -> Reporter:
        """Return a reporter that does not repeat these warnings."""
        return Reporter(self.output, self._surroundings, warned)

    def sender(self, reporter: Reporter, retry_after: float = inf) -> Sender:
        """Return a sender; ``retry_after`` is as for `make_sender`."""
        return make_sender(self._redis, reporter, retry_after)

    def resolver(self) -> WebhookResolver:
        """Return a resolver, which reads each profile once."""
        return WebhookResolver(self._policy.timeout, self._options.config, self._surroundings.environment)

    def flush_space(
        self, space: str, index: list[OutboxMessage], sender: Sender, resolver: WebhookResolver
    ) -> Failures:
        """Post the pending messages of a space, whose messages are those of the index."""
        flusher = Flusher(self._outbox, sender, self._policy, resolver.resolve, self._options.digest)
        return flusher.flush(space, index)

    def sentences(self, failures: Failures) -> list[str]:
        """Return a sentence about each message that is not posted."""
        errors, is_quiet = failures.of_messages, self.output.quiet
        return [f"{number}: {it}" for number, it in errors.items() if not (is_quiet and isinstance(it, Unavailable))]

    def _report(
        self, before: Iterable[OutboxMessage], after: Sequence[OutboxMessage], *, is_watched: bool
    ) -> ExitStatus:
        """Say how many messages were posted; return the exit status."""
        pending = {message.id for message in after if message.is_pending}
        set_aside = {message.id for message in after if message.status.state != "posted"} - pending
        numbers = {message.id for message in before if message.is_pending}
        left, posted = len(numbers & set_aside), len(numbers - set_aside - pending)
        if left or (not self.output.quiet and (pending or self.output.verbose or is_watched)):
            more = f", {left} will not be posted (chatpost outbox list)" if left else ""
            say(f"{posted} posted, {len(pending)} still waiting{more}")
        return ExitStatus.TRY_LATER if pending else ExitStatus.OK


class Watcher:
    """Posts messages as they arrive, each space's in a thread of its own, until a signal ends the process."""

    def __init__(self, command: FlushCommand) -> None:
        self._command = command
        self._senders: dict[str, Sender] = {}  # of the spaces that a thread posts to now
        self._cool_downs: defaultdict[str, float] = defaultdict(float)
        self._said: defaultdict[str, set[str]] = defaultdict(set)
        self._warned: set[str] = set()
        self._failures, self._open_at = 0, 0.0

    def run(self) -> NoReturn:
        """Keep running. An outbox that cannot be used is opened again, at times."""
        if not self._command.output.quiet:
            say("watching the outbox, and posting what comes")
        with report_on_signal(self._interrupted):
            while True:
                began = TIMING.clock()
                try:
                    self._start_threads()
                except StorageError as error:
                    self._say_once("", {str(error)})
                    self._open_again(began)
                TIMING.sleep(max(_POLL, 9 * (TIMING.clock() - began)))

    def _start_threads(self) -> None:
        """Start to post to each space with pending messages, unless a thread does so already."""
        pending = self._command.pending_spaces()
        self._failures = 0
        self._say_once("", set())
        for space, index in pending.items():
            if space not in self._senders:
                reporter = self._command.reporter(self._warned)
                self._senders[space] = self._command.sender(reporter, _REDIS_RETRY_AFTER)
                start_without_signals(threading.Thread(target=self._flush, args=(space, index, reporter), daemon=True))

    def _flush(self, space: str, index: list[OutboxMessage], reporter: Reporter) -> None:
        """Post to a space, then leave it alone for a while if nothing was posted."""
        try:
            failures = self._command.flush_space(space, index, self._senders[space], self._command.resolver())
            sentences = set(self._command.sentences(failures))
        except ChatpostError as error:
            sentences = {str(error)}
        except Exception as bug:  # noqa: BLE001 - the other spaces' messages are posted all the same
            sentences = {bug_line(bug)}
        self._say_once(space, sentences)
        grown = min(max(_FIRST_COOL_DOWN, 2 * self._cool_downs[space]), _LONGEST_COOL_DOWN)
        self._cool_downs[space] = 0.0 if reporter.posted else grown
        TIMING.sleep(self._cool_downs[space])
        del self._senders[space]

    def _open_again(self, now: float) -> None:
        """Open the outbox again, less often with each failure: its URL, or its password, may have changed."""
        if now >= self._open_at:
            self._failures += 1
            self._open_at = now + min(_FIRST_COOL_DOWN * 2.0**self._failures, _LONGEST_COOL_DOWN)
            try:
                self._command.open()
            except ConfigurationError as error:
                self._say_once("", {str(error)})

    def _say_once(self, about: str, sentences: set[str]) -> None:
        """Say what is new about a space, or about the outbox itself."""
        for sentence in sorted(sentences - self._said[about]):
            say(sentence)
        self._said[about] = sentences

    def _interrupted(self) -> None:
        say(_INTERRUPTED)
        for sender in list(self._senders.values()):
            sender.leave_queues()
