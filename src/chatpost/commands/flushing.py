"""`chatpost outbox flush`: posts the pending messages, in all spaces at the same time, and says what is left."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from chatpost.cli.console import is_terminal, say
from chatpost.cli.reporter import Reporter
from chatpost.cli.signals import report_on_signal
from chatpost.cli.store import Store
from chatpost.commands.sending import TIMING, make_client, make_pacer
from chatpost.concurrency import run_concurrently
from chatpost.delivery.sender import Sender
from chatpost.errors import ExitStatus, Unavailable
from chatpost.outbox.flusher import Flusher
from chatpost.outbox.resolver import WebhookResolver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatpost.cli.values import OutputOptions
    from chatpost.delivery.retry import RetryPolicy
    from chatpost.outbox.model import Outbox, OutboxMessage
    from chatpost.outbox.options import FlushOptions


def flush_outbox(options: FlushOptions, policy: RetryPolicy, telling: OutputOptions) -> ExitStatus:
    """Post the pending messages; return the exit status. Raises `StorageError` if the outbox cannot be used."""
    store = Store.of_file(options.config)
    outbox = store.outbox()
    before = [message for message in outbox.index() if message.is_pending]
    if not before:
        return ExitStatus.OK
    reporter = Reporter(telling)
    sender = Sender(make_client(), make_pacer(reporter.warn, store), TIMING, reporter.tell)
    flusher = make_flusher(outbox, sender, options, policy)

    def interrupted() -> None:
        say("interrupted: what is not posted stays in the outbox")
        flusher.cancel()

    spaces = dict.fromkeys(message.webhook.space for message in before)
    with report_on_signal(interrupted):
        for failures in run_concurrently([partial(flusher.flush, space) for space in spaces]):
            for number, error in failures.of_messages.items():
                if not (telling.quiet and isinstance(error, Unavailable)):
                    say(f"{number}: {error}")
    return _report(before, outbox.index(), telling)


def make_flusher(outbox: Outbox, sender: Sender, options: FlushOptions, policy: RetryPolicy) -> Flusher:
    """Return what flushes the outbox as the options say. It reads each profile once."""
    resolver = WebhookResolver(policy.timeout, options.config, os.environ)
    wants_digest = (lambda _: True) if options.digest else resolver.wants_digest
    return Flusher(outbox, sender, policy, resolver.resolve, wants_digest)


def _report(before: Sequence[OutboxMessage], after: Sequence[OutboxMessage], telling: OutputOptions) -> ExitStatus:
    """Say how many messages were posted; return the exit status."""
    waiting = {message.id for message in after if message.is_pending}
    set_aside = {message.id for message in after if message.status.state != "posted"} - waiting
    numbers = {message.id for message in before}
    left = len(numbers & set_aside)
    posted = len(numbers - set_aside - waiting)
    if left or (not telling.quiet and (waiting or telling.verbose or is_terminal(sys.stderr))):
        more = f", {left} will not be posted (chatpost outbox list)" if left else ""
        say(f"{posted} posted, {len(waiting)} still waiting{more}")
    return ExitStatus.TRY_LATER if waiting else ExitStatus.OK
