"""The steps of a command that posts: resolve recipients, read the content, compose messages, deliver and report."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, MessageReplyOption, Thread
from chatpost.cli.options import PROFILES, THREAD, PostOptions, ThreadOptions
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.cli.store import Store
from chatpost.commands.sending import TIMING, make_sender
from chatpost.content.compose import compose
from chatpost.content.source import ReadOptions, read_content
from chatpost.delivery.model import Deadline, Delivery, Destination, Progress, request_factories
from chatpost.delivery.retry import SHORTEST_ATTEMPT
from chatpost.delivery.sender import deliver_all
from chatpost.errors import DataError, UsageError
from chatpost.processes import report_on_signal, reraise_signal
from chatpost.profiles.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import click

    from chatpost.chat.message import Message
    from chatpost.chat.webhook import Webhook
    from chatpost.content.source import Content
    from chatpost.delivery.sender import Deliverer, Sender
    from chatpost.errors import ExitStatus
    from chatpost.profiles.sources import WebhookSource


class Configured(NamedTuple):
    """A source of a webhook, and the options as they are for its profile."""

    source: WebhookSource
    settings: Settings
    options: PostOptions


class Recipient(NamedTuple):
    """A webhook, with the options of its profile, the thread to post in, and the time that is left."""

    source: WebhookSource
    settings: Settings
    options: PostOptions
    thread: ThreadOptions
    deadline: Deadline
    webhook: Webhook


def post(ctx: click.Context, find_thread: Callable[[Settings], ThreadOptions], words: Sequence[str]) -> ExitStatus:
    """Post the words, stdin or a card to each recipient; return the exit status."""
    reporter = Reporter.of_command(ctx)
    with reporter, report_on_signal(reporter.interrupted):
        recipients = resolve_recipients(configure(ctx, reporter), find_thread)
        content = read(words, recipients, ctx, reporter)
        if content is not None:
            deliveries = prepare(recipients, [compose_for(recipient, content) for recipient in recipients])
            deliver(recipients, deliveries, reporter)
    return reporter.exit_status


def configure(ctx: click.Context, reporter: Reporter) -> list[Configured]:
    """Find the profiles to post to, with the options of each. Options of the whole command are those of the first."""
    names, config = Settings(ctx)[PROFILES]
    configured = []
    for source in find_sources(names, config, ctx.obj.environment, reporter.warn):
        settings = _settings_of(source, ctx, config)
        configured.append(Configured(source, settings, PostOptions.read(settings)))
    reporter.configure(configured[0].options.output, configured[0].options.exits)
    return configured


def _settings_of(source: WebhookSource, ctx: click.Context, config: Path | None) -> Settings:
    def resolve_mentions(users: Sequence[str]) -> tuple[str, ...]:
        from chatpost.profiles.users import MentionResolver

        return MentionResolver(source.profile, config).user_ids(users)

    if source.profile is None:
        return Settings(ctx, None, {"mention": resolve_mentions})
    from chatpost.cli.profile_defaults import load_defaults

    return Settings(ctx, load_defaults(source.profile), {"mention": resolve_mentions})


def optional_thread(settings: Settings) -> ThreadOptions:
    """Return the thread to post in, if any; raises `UsageError` for ``--or-fail`` without one."""
    options = settings[THREAD]
    if options.thread is None and settings.from_command_line("fallback_new_thread") is False:
        msg = "--or-fail needs a thread: add --thread-key KEY or --thread NAME"
        raise UsageError(msg)
    return options


def resolve_recipients(
    configured: Sequence[Configured], find_thread: Callable[[Settings], ThreadOptions]
) -> list[Recipient]:
    """Fetch the webhooks, once all options are known to make sense."""
    threads = [find_thread(settings) for _, settings, _ in configured]
    recipients: list[Recipient] = []
    for (source, settings, options), thread in zip(configured, threads, strict=True):
        deadline = Deadline(options.retry.deadline, TIMING.clock)
        with _paused(recipients):  # the command that prints a URL may take its time
            webhook = source.fetch_webhook(max(SHORTEST_ATTEMPT, deadline.left()))
        recipients.append(Recipient(source, settings, options, thread, deadline, webhook))
    for recipient in recipients:
        wanted, space = recipient.thread.thread, recipient.webhook.space
        if wanted is not None and wanted.space not in {None, space}:
            msg = f"--thread {wanted.name} is in another space than the webhook ({space})"
            raise UsageError(msg)
    return recipients


def _paused(recipients: Sequence[Recipient]) -> ExitStack:
    """Stop the deadlines in the context that is returned."""
    pauses = ExitStack()
    for recipient in recipients:
        pauses.enter_context(recipient.deadline.paused())
    return pauses


def read(
    words: Sequence[str],
    recipients: Sequence[Recipient],
    ctx: click.Context,
    reporter: Reporter,
    *,
    has_stdin: bool = True,
) -> Content | None:
    """Read the content, while the deadlines are paused: stdin may be a job that takes hours."""
    options = [each.options for each in recipients]
    ends_only = all(its.overflow.overflow in {"head", "tail"} for its in options)
    how = ReadOptions(options[0].exits.skip_empty, ends_only, has_stdin)
    with _paused(recipients):
        return read_content(words, [its.card for its in options], ctx.obj, how, reporter.warn)


def compose_for(recipient: Recipient, content: Content) -> tuple[Message, ...]:
    """Make the messages for a recipient; raises `DataError` if they are too large, or too many."""
    options = recipient.options
    return compose(content, options.style, options.overflow, options.card.quick_card(content.run))


def prepare(recipients: Sequence[Recipient], messages: Sequence[Sequence[Message]]) -> list[Delivery]:
    """Make a delivery for each recipient, of its messages.

    A default deadline grows with the number of messages to the same space. Raises `DataError` if one that was set is
    too short for them: some of a text's parts would be worse than none.
    """
    deliveries = [_delivery(recipient, its) for recipient, its in zip(recipients, messages, strict=True)]
    counts = Counter[str]()
    for delivery in deliveries:
        counts[delivery.to.webhook.space] += len(delivery.factories)
    for recipient, delivery in zip(recipients, deliveries, strict=True):
        _allow_for(counts[recipient.webhook.space], delivery.to.interval or 0, recipient)
    return deliveries


def _delivery(recipient: Recipient, messages: Sequence[Message]) -> Delivery:
    options, (thread, reply_option) = recipient.options, recipient.thread
    request_id = options.request.request_id or str(uuid4())
    if thread is None and len(messages) > 1 and options.spool.is_on:
        # The name of the first part's thread may be known only to another process.
        thread, reply_option = Thread(key=f"chatpost-{request_id}"), MessageReplyOption.FALLBACK_TO_NEW_THREAD
    request = CreateMessageRequest(messages[0], request_id, thread, reply_option, options.request.silent)
    label = recipient.source.profile.name if recipient.source.profile else None
    interval = options.pacing.interval if options.pacing.pacing else None
    to = Destination(label, recipient.webhook, thread, options.retry, interval)
    return Delivery(to, request_id, request_factories(request, messages), recipient.deadline, Progress())


def _allow_for(messages: int, interval: float, recipient: Recipient) -> None:
    seconds, options = (messages - 1) * interval, recipient.options
    if not recipient.settings.is_set("deadline"):
        recipient.deadline.extend(seconds)
    elif not options.spool.spool_first and seconds > recipient.deadline.left():
        msg = (
            f"the text makes {messages} messages for this space, which take {seconds:.1f} s, and the deadline of"
            f" {options.retry.deadline:g} s is shorter, so nothing was posted: use a longer --deadline, or"
            " --overflow tail to post the end"
        )
        raise DataError(msg)


def deliver(
    recipients: Sequence[Recipient],
    deliveries: Sequence[Delivery],
    reporter: Reporter,
    die: Callable[[int], NoReturn] = reraise_signal,
) -> None:
    """Deliver all at the same time, and report each; ``die`` ends the process after a signal."""
    if reporter.options.dry_run:
        from chatpost.commands.dry_run import dry_run

        dry_run(deliveries, reporter.options)
        return
    reporter.expect(deliveries)
    redis = find_redis(recipients, reporter)
    sender = make_sender(redis, reporter)

    def interrupted() -> None:
        reporter.interrupted()
        sender.leave_queues()

    with report_on_signal(interrupted, die=die):
        deliverer = _behind_outbox(sender, redis, recipients, deliveries, reporter)
        for delivery in deliver_all(deliverer, deliveries):
            reporter.report(delivery)


def find_redis(recipients: Sequence[Recipient], reporter: Reporter) -> Store:
    """Return the Redis that the profile file of the recipients configures, or else the user's."""
    sources = [each.source for each in recipients]
    return Store.of_targets(sources, recipients[0].settings[PROFILES].config, reporter.warn)


def _behind_outbox(
    sender: Sender,
    redis: Store,
    recipients: Sequence[Recipient],
    deliveries: Sequence[Delivery],
    reporter: Reporter,
) -> Deliverer:
    """Return the sender, or the outbox in front of it if an option asks for one."""
    if not any(each.options.spool.is_on for each in recipients):
        return sender
    from chatpost.outbox.spooler import Spooler, find_outbox

    spool = {
        delivery.progress: recipient.options.spool._replace(has_own_id=recipient.options.request.request_id is not None)
        for recipient, delivery in zip(recipients, deliveries, strict=True)
    }
    config = recipients[0].settings[PROFILES].config
    return Spooler(sender, partial(find_outbox, redis), spool, config, reporter.warn)
