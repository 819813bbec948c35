"""The shared part of all commands that post: from the options to the exit status."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, MessageReplyOption, Thread
from chatpost.cli.console import write_aside, write_data
from chatpost.cli.help import SectionedCommand
from chatpost.cli.options import (
    ENVELOPE,
    LENIENCY,
    PACING,
    RETRYING,
    SPOOLING,
    STYLE,
    TELLING,
    THREAD,
    WHERE,
    defaults_of,
)
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.cli.signals import report_on_signal
from chatpost.cli.store import Store
from chatpost.cli.values import Address
from chatpost.commands.naming import MentionResolver
from chatpost.commands.sending import TIMING, make_client, make_pacer
from chatpost.delivery.model import Deadline, Delivery, Destination, Progress, request_factories
from chatpost.delivery.retry import SHORTEST_ATTEMPT
from chatpost.delivery.sender import Sender, deliver_all
from chatpost.errors import ChatpostError, DataError, ExitStatus, UsageError
from chatpost.processes import reraise_signal
from chatpost.profiles.sources import WebhookSource, find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import click

    from chatpost.chat.message import Message
    from chatpost.chat.webhook import Webhook
    from chatpost.commands.following import Stream
    from chatpost.commands.reading import Read
    from chatpost.delivery.sender import Deliverer
    from chatpost.outbox.options import SpoolOptions


class _Recipient(NamedTuple):
    """A target under its own settings: the thread there, the webhook, and the time that is left."""

    target: WebhookSource
    settings: Settings
    address: Address
    deadline: Deadline
    webhook: Webhook


class Plan(NamedTuple):
    """A command's message, and how to post it.

    ``address`` returns the thread under a target's settings, and ``read`` reads the content. ``is_wanted`` is asked
    first, under the settings of the first target. A ``stream`` is posted into the thread that the message to the only
    target opens. ``die`` ends the process after a signal. ``write`` takes each line of data, and ``note`` is given each
    delivery when it has ended, or is broken off. ``can_repeat``: the user can try again by the same command.
    """

    address: Callable[[Settings], Address]
    read: Read
    is_wanted: Callable[[Settings], bool] = lambda _: True
    stream: Stream | None = None
    die: Callable[[int], NoReturn] = reraise_signal
    write: Callable[[str], None] = write_data
    note: Callable[[Delivery], None] = lambda _: None
    can_repeat: bool = True


def post(ctx: click.Context, plan: Plan) -> ExitStatus:
    """Post to every target; return the exit status."""
    settings, stream = Settings(ctx), plan.stream
    if isinstance(ctx.command, SectionedCommand):
        settings.check(ctx.command.sections)
    write = plan.write if stream is None or stream.tee is None else write_aside
    reporter = Reporter(settings[TELLING], write, can_repeat=plan.can_repeat)
    try:
        with report_on_signal(lambda: reporter.broken_off("interrupted"), die=plan.die):
            targets = find_sources(*settings[WHERE], os.environ, reporter.warn)
            configured = [(target, _settings(ctx, target)) for target in targets]
            # Settings of the whole command come from the first profile.
            settings = configured[0][1]
            reporter.telling = settings[TELLING]
            _check_stream(stream, configured)
            if not plan.is_wanted(settings):
                return ExitStatus.OK
            status = _post(plan, _recipients(configured, plan.address), reporter)
    except UsageError:
        raise
    except ChatpostError as error:
        reporter.report_error(error)
        status = error.exit_status
    except Exception:
        reporter.broken_off("broken off by a bug")
        raise
    return ExitStatus.OK if settings[LENIENCY].soft_fail else status


def thread_of(settings: Settings) -> Address:
    """Return the thread of a command for which it is optional; raises `UsageError` for ``--or-fail`` without one."""
    address = settings[THREAD]
    if address.thread is None and settings.typed("fallback_new_thread") is False:
        msg = "--or-fail needs a thread: add --thread-key KEY or --thread NAME"
        raise UsageError(msg)
    return address


def _settings(ctx: click.Context, target: WebhookSource) -> Settings:
    defaults = None if target.profile is None else defaults_of(target.profile)
    config = Settings(ctx)[WHERE].config
    settings = Settings(ctx, defaults, {"mention": MentionResolver(target, config).user_ids})
    settings[STYLE]  # a name that nobody has is an error before anything is read
    return settings


def _check_stream(stream: Stream | None, configured: Sequence[tuple[WebhookSource, Settings]]) -> None:
    if stream is not None and len(configured) > 1:
        msg = "--follow posts into one thread: name one profile"
        raise UsageError(msg)


def _recipients(
    configured: Sequence[tuple[WebhookSource, Settings]], address: Callable[[Settings], Address]
) -> list[_Recipient]:
    """Fetch the webhooks, once all the settings are known to make sense."""
    addresses = [address(settings) for _, settings in configured]
    recipients: list[_Recipient] = []
    for (target, settings), thread in zip(configured, addresses, strict=True):
        deadline = Deadline(settings[RETRYING].deadline, TIMING.clock)
        with _paused(recipients):  # the command that prints a URL may take its time
            webhook = target.fetch_webhook(max(SHORTEST_ATTEMPT, deadline.left()))
        recipients.append(_Recipient(target, settings, thread, deadline, webhook))
    for recipient in recipients:
        _check_space(recipient)
    return recipients


@contextmanager
def _paused(recipients: Sequence[_Recipient]) -> Iterator[None]:
    with ExitStack() as pauses:
        for recipient in recipients:
            pauses.enter_context(recipient.deadline.paused())
        yield


def _check_space(recipient: _Recipient) -> None:
    thread, space = recipient.address.thread, recipient.webhook.space
    if thread is not None and thread.space not in {None, space}:
        msg = f"--thread {thread.name} is in another space than the webhook ({space})"
        raise UsageError(msg)


def _post(plan: Plan, recipients: Sequence[_Recipient], reporter: Reporter) -> ExitStatus:
    settings, stream = recipients[0].settings, plan.stream
    with _paused(recipients):  # stdin may be a job that takes hours
        compose = plan.read([each.settings for each in recipients], reporter.warn)
    if compose is None:
        return ExitStatus.OK
    deliveries = [_delivery(recipient, compose(recipient.settings)) for recipient in recipients]
    _allow_for_all(recipients, deliveries)
    if settings[TELLING].dry_run:
        from chatpost.commands.dry_run import dry_run_delivery  # few messages are rehearsed

        for delivery in deliveries:
            dry_run_delivery(delivery, one_line=settings[TELLING].output == "json")
        return ExitStatus.OK
    reporter.expect(deliveries)
    store = Store.of_targets([each.target for each in recipients], settings[WHERE].config, reporter.warn)
    sender = Sender(make_client(), make_pacer(reporter.warn, store), TIMING, reporter.tell)

    def cancel() -> None:
        reporter.broken_off("interrupted")
        for delivery in deliveries:
            plan.note(delivery)
        if stream is not None:
            stream.tell_what_is_left()
        if sender.pacer is not None:
            sender.pacer.leave()

    if stream is None:
        with report_on_signal(cancel, die=plan.die):
            deliverer = _by_outbox(sender, store, recipients, deliveries, reporter.warn)
            return _deliver(plan, deliverer, deliveries, reporter)
    stream.opening = deliveries[0]
    with report_on_signal(cancel, stream.take_signal, plan.die):
        status = _deliver(plan, sender, deliveries, reporter)
        return status or stream.post(sender, settings, reporter)


def _allow_for_all(recipients: Sequence[_Recipient], deliveries: Sequence[Delivery]) -> None:
    """Count the messages to each space together, and allow for them."""
    messages = Counter[str]()
    for delivery in deliveries:
        messages[delivery.to.webhook.space] += len(delivery.factories)
    for recipient in recipients:
        _allow_for(recipient, messages[recipient.webhook.space])


def _allow_for(recipient: _Recipient, messages: int) -> None:
    """Let the default deadline grow with the messages to the same space; one that was set can be too short for them.

    Raises `DataError` then: some of a text's parts would be worse than none.
    """
    settings, deadline = recipient.settings, recipient.deadline
    seconds = (messages - 1) * (settings[PACING] or 0)
    if not settings.is_set("deadline"):
        deadline.extend(seconds)
    elif not settings[SPOOLING].spool_first and seconds > deadline.left():
        msg = (
            f"the text makes {messages} messages for this space, which take {seconds:.1f} s, and the deadline of"
            f" {settings[RETRYING].deadline:g} s is shorter, so nothing was posted: use a longer --deadline, or"
            " --overflow tail to post the end"
        )
        raise DataError(msg)


def _deliver(plan: Plan, sender: Deliverer, deliveries: Sequence[Delivery], reporter: Reporter) -> ExitStatus:
    """Post and report all deliveries; return the status of the first, in the order given, that failed."""
    status = ExitStatus.OK
    for delivery in deliver_all(sender, deliveries):
        outcome = reporter.report(delivery)
        plan.note(delivery)
        status = status or outcome
    return status


def _by_outbox(
    sender: Sender,
    store: Store,
    recipients: Sequence[_Recipient],
    deliveries: Sequence[Delivery],
    warn: Callable[[str], None],
) -> Deliverer:
    """Put the outbox before the sender, if it is asked for."""
    spoolings = {each.progress: its for each, its in zip(deliveries, map(_spooling, recipients), strict=True)}
    if not any(spooling.is_on for spooling in spoolings.values()):
        return sender
    from chatpost.outbox.spooler import Spooler  # few messages are kept

    return Spooler(sender, store.outbox, spoolings, recipients[0].settings[WHERE].config, warn)


def _spooling(recipient: _Recipient) -> SpoolOptions:
    has_own_id = recipient.settings[ENVELOPE].request_id is not None
    spooling: SpoolOptions = recipient.settings[SPOOLING]
    return spooling._replace(has_own_id=has_own_id)


def _delivery(recipient: _Recipient, messages: Sequence[Message]) -> Delivery:
    target, settings, address, deadline, webhook = recipient
    envelope = settings[ENVELOPE]
    request_id = envelope.request_id or str(uuid4())
    if address.thread is None and len(messages) > 1 and settings[SPOOLING].is_on:
        # The name of the first part's thread may be known only to another process.
        address = Address(Thread(key=f"chatpost-{request_id}"), MessageReplyOption.FALLBACK_TO_NEW_THREAD)
    request = CreateMessageRequest(
        messages[0], request_id, address.thread, address.reply_option, envelope.message_id, envelope.silent
    )
    label = target.profile.name if target.profile else None
    to = Destination(label, webhook, address.thread, settings[RETRYING], settings[PACING])
    return Delivery(to, request_id, request_factories(request, messages), deadline, Progress())
