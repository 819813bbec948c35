"""`chatpost outbox flush --watch`: stays, and posts what comes into the outbox."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

from chatpost.cli.app import bug_line
from chatpost.cli.console import say
from chatpost.cli.reporter import Reporter
from chatpost.commands.flushing import Flush
from chatpost.commands.posting import TIMING, make_sender
from chatpost.concurrency import start_without_signals
from chatpost.delivery.sender import AttemptMade
from chatpost.errors import ChatpostError, ConfigurationError, StorageError, Unavailable
from chatpost.outbox.resolver import WebhookResolver
from chatpost.outbox.spooler import find_outbox
from chatpost.processes import report_on_signal
from chatpost.profiles.redis_config import RedisConfig

if TYPE_CHECKING:
    from chatpost.cli.command_options import FlushOptions
    from chatpost.cli.options import OutputOptions
    from chatpost.delivery.model import Delivery
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Event
    from chatpost.surroundings import Surroundings

_POLL = 1.0  # seconds between two looks at the outbox
_FIRST_REST = 2.0  # seconds for which a space is left alone after a failure; they double
_LONGEST_REST = 30.0
_LEFT_ALONE = 30.0  # seconds for which a pass does without a store that has failed


def watch_outbox(
    flushing: FlushOptions, policy: RetryPolicy, telling: OutputOptions, surroundings: Surroundings
) -> NoReturn:
    """Post what waits, and what comes, until a signal ends the process.

    Raises `ConfigurationError`. An outbox that cannot be used is waited for.
    """
    _Watch(flushing, policy, telling, surroundings).run()


class _Watch:
    def __init__(
        self, flushing: FlushOptions, policy: RetryPolicy, telling: OutputOptions, surroundings: Surroundings
    ) -> None:
        self._surroundings = surroundings
        self._flushing = flushing
        self._policy = policy
        self._telling = telling
        self._store = RedisConfig.of_file(flushing.config, surroundings.environment)
        self._box = find_outbox(self._store)
        self._spaces: dict[str, _Space] = {}
        self._said: dict[str, set[str]] = {}
        self._warned: set[str] = set()
        self._finding, self._finds_at = _FIRST_REST, 0.0

    def run(self) -> NoReturn:
        if not self._telling.quiet:
            say("watching the outbox, and posting what comes")
        with report_on_signal(self._interrupted):
            while True:
                self._look()
                TIMING.sleep(_POLL)

    def _look(self) -> None:
        """Start a pass for each space for which messages wait, unless there is one, or the space rests."""
        try:
            waiting = self._box.waiting()
        except StorageError as error:
            self._say_once("", {str(error)})
            self._start_again()
            return
        self._say_once("", set())
        self._finding = _FIRST_REST
        for name in waiting:
            space = self._spaces.setdefault(name, _Space())
            if space.flush is None and TIMING.clock() >= space.rests_until:
                reporter = _PassReporter(self._telling, self._surroundings, self._warned)
                sender = make_sender(self._store, reporter, _LEFT_ALONE)
                space.flush = Flush(self._box, self._flushing, self._policy, sender)
                thread = threading.Thread(target=self._post, args=(name, space, space.flush, reporter), daemon=True)
                start_without_signals(thread)

    def _start_again(self) -> None:
        """Find the outbox again, at times: the store's URL may be another one now, with another password."""
        if TIMING.clock() < self._finds_at:
            return
        self._finding = min(2 * self._finding, _LONGEST_REST)
        self._finds_at = TIMING.clock() + self._finding
        try:
            self._store = RedisConfig.of_file(self._flushing.config, self._surroundings.environment)
            self._box = find_outbox(self._store)
        except ConfigurationError as error:
            self._say_once("", {str(error)})

    def _post(self, name: str, space: _Space, flush: Flush, reporter: _PassReporter) -> None:
        """Post what waits for a space, and let the space rest if that fails."""
        try:
            errors = flush.post(name, WebhookResolver(self._policy.timeout, self._flushing.config))
            said = {f"{number}: {error}" for number, error in errors.items() if self._is_told(error)}
        except ChatpostError as error:
            said = {str(error)}
        except Exception as bug:  # noqa: BLE001 - the other spaces' messages are posted all the same
            said = {bug_line(bug)}
        self._say_once(name, said)
        space.rest(TIMING.clock(), has_posted=reporter.has_posted)
        space.flush = None

    def _is_told(self, error: ChatpostError) -> bool:
        return not (self._telling.quiet and isinstance(error, Unavailable))

    def _say_once(self, about: str, sentences: set[str]) -> None:
        """Say what is new about a space, or about the outbox itself."""
        for sentence in sorted(sentences - self._said.get(about, set())):
            say(sentence)
        self._said[about] = sentences

    def _interrupted(self) -> None:
        say("interrupted: what is not posted stays in the outbox")
        for space in list(self._spaces.values()):
            if space.flush is not None:
                space.flush.cancel()


class _Space:
    """A space that messages wait for; ``flush`` posts them now. It is left alone until ``rests_until``."""

    def __init__(self) -> None:
        self.flush: Flush | None = None
        self.rests_until = 0.0
        self._seconds = 0.0

    def rest(self, now: float, *, has_posted: bool) -> None:
        """Leave the space alone after a pass that has posted nothing: the longer, the more there were."""
        self._seconds = 0.0 if has_posted else min(max(_FIRST_REST, 2 * self._seconds), _LONGEST_REST)
        self.rests_until = now + self._seconds


class _PassReporter(Reporter):
    """Reports a pass: remembers whether it has posted anything. ``warned`` are warnings that were given before."""

    def __init__(self, telling: OutputOptions, surroundings: Surroundings, warned: set[str]) -> None:
        super().__init__(telling, surroundings)
        self.has_posted = False
        self._warned = warned

    def show(self, delivery: Delivery, fact: Event) -> None:
        """Show a fact."""
        self.has_posted |= isinstance(fact, AttemptMade) and fact.error is None
        super().show(delivery, fact)
