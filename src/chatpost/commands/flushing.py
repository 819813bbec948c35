"""`chatpost outbox flush`: posts the pending messages, in all spaces at the same time, and says what is left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from chatpost.cli.console import is_terminal, say
from chatpost.cli.reporter import Reporter
from chatpost.commands.posting import make_sender
from chatpost.concurrency import run_concurrently
from chatpost.errors import ExitStatus, Unavailable
from chatpost.outbox import open_outbox
from chatpost.outbox.flusher import Flusher
from chatpost.outbox.resolver import WebhookResolver
from chatpost.processes import report_on_signal
from chatpost.profiles.redis_config import RedisConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.cli.delivery_options import OutputOptions
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.delivery.sender import Sender
    from chatpost.outbox.model import Outbox, OutboxMessage
    from chatpost.outbox.options import FlushOptions
    from chatpost.surroundings import Surroundings


def flush_outbox(
    options: FlushOptions, policy: RetryPolicy, output: OutputOptions, surroundings: Surroundings
) -> ExitStatus:
    """Post the pending messages; return the exit status. Raises `StorageError` if the outbox cannot be used."""
    redis = RedisConfig.of_file(options.config, surroundings.environment)
    outbox = open_outbox(redis)
    before = [message for message in outbox.index() if message.is_pending]
    if not before:
        return ExitStatus.OK
    reporter = Reporter(output, surroundings)
    flusher = make_flusher(outbox, make_sender(redis, reporter), options, policy, surroundings)

    def interrupted() -> None:
        say("interrupted: what is not posted stays in the outbox")
        flusher.cancel()

    spaces = dict.fromkeys(message.webhook.space for message in before)
    with report_on_signal(interrupted):
        for failures in run_concurrently([partial(flusher.flush, space) for space in spaces]):
            for number, error in failures.of_messages.items():
                if not (output.quiet and isinstance(error, Unavailable)):
                    say(f"{number}: {error}")
    return _report(before, outbox.index(), output, is_watched=is_terminal(surroundings.stderr))


def make_flusher(
    outbox: Outbox, sender: Sender, options: FlushOptions, policy: RetryPolicy, surroundings: Surroundings
) -> Flusher:
    """Return what flushes the outbox as the options say. It reads each profile once."""
    resolver = WebhookResolver(policy.timeout, options.config, surroundings.environment)
    wants_digest = (lambda _: True) if options.digest else resolver.wants_digest
    return Flusher(outbox, sender, policy, resolver.resolve, wants_digest)


def _report(
    before: Sequence[OutboxMessage], after: Sequence[OutboxMessage], output: OutputOptions, *, is_watched: bool
) -> ExitStatus:
    """Say how many messages were posted; return the exit status."""
    waiting = {message.id for message in after if message.is_pending}
    set_aside = {message.id for message in after if message.status.state != "posted"} - waiting
    numbers = {message.id for message in before}
    left = len(numbers & set_aside)
    posted = len(numbers - set_aside - waiting)
    if left or (not output.quiet and (waiting or output.verbose or is_watched)):
        more = f", {left} will not be posted (chatpost outbox list)" if left else ""
        say(f"{posted} posted, {len(waiting)} still waiting{more}")
    return ExitStatus.TRY_LATER if waiting else ExitStatus.OK
