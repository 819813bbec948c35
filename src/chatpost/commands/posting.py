"""The steps of a command that posts: resolve recipients, read the content, compose messages, deliver and report."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.chat.webhook import Webhook
from chatpost.cli.options import POSTING, PROFILES, THREAD, PostOptions, ThreadOptions
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.content.cards import CardOptions
from chatpost.content.compose import compose
from chatpost.content.source import Content, ReadOptions, read_content
from chatpost.delivery.model import Deadline, Delivery, Destination, Pacer, Progress, request_factories
from chatpost.delivery.sender import Deliverer, Sender, Timing, deliver_all
from chatpost.errors import ConfigurationError, DataError, ExitStatus, UsageError
from chatpost.processes import report_on_signal, reraise_signal
from chatpost.profiles.sources import RedisConfig, WebhookSource, find_sources
from chatpost.surroundings import Surroundings

if TYPE_CHECKING:
    import click

    from chatpost.content.ci import CiRun


TIMING = Timing(clock=time.monotonic, sleep=time.sleep, random=random.random)


class Configured(NamedTuple):
    """A source of a webhook, and the options as they are for its profile. ``config``: the profile file, if named."""

    config: Path | None
    source: WebhookSource
    settings: Settings
    options: PostOptions


class ReplyTo(NamedTuple):
    """The thread to post in, None for a new one, and Chat's action if the thread does not exist."""

    thread: Thread | None = None
    reply_option: MessageReplyOption | None = None


class Recipient(NamedTuple):
    """A webhook with the options of its profile, and where to post there; ``seconds`` are left of its deadline."""

    config: Path | None
    source: WebhookSource
    settings: Settings
    options: PostOptions
    target: ReplyTo
    webhook: Webhook
    seconds: float


def post(ctx: click.Context, find_thread: Callable[[Settings], ReplyTo], words: Sequence[str]) -> ExitStatus:
    """Post the words, stdin or a card to each recipient; return the exit status."""
    reporter = Reporter.of_command(ctx)
    with reporter, report_on_signal(reporter.interrupted):
        recipients = resolve_recipients(configure(ctx, reporter), find_thread)
        content = read(words, recipients, ctx.obj, reporter.warn)
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
        configured.append(Configured(config, source, settings, PostOptions(*settings.values(POSTING))))
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


def reply_target(options: ThreadOptions) -> ReplyTo:
    """Return the thread that the options name, if any."""
    thread = options.thread or (Thread(key=options.thread_key) if options.thread_key else None)
    if thread is None:
        return ReplyTo()
    fallback, or_fail = MessageReplyOption.FALLBACK_TO_NEW_THREAD, MessageReplyOption.OR_FAIL
    return ReplyTo(thread, fallback if options.fallback_new_thread else or_fail)


def optional_thread(settings: Settings) -> ReplyTo:
    """Return the thread to post in, if any; raises `UsageError` for ``--or-fail`` without one."""
    options, must_exist = settings[THREAD], settings.from_command_line("fallback_new_thread") is False
    target = reply_target(options)
    if target.thread is None and must_exist:
        raise UsageError("--or-fail needs a thread: add --thread-key KEY or --thread NAME")
    return target


def resolve_recipients(configured: Sequence[Configured], find_thread: Callable[[Settings], ReplyTo]) -> list[Recipient]:
    """Fetch the webhooks, once all options are known to make sense.

    The time that a profile's command takes counts against that profile's deadline.
    """
    targets = [find_thread(each.settings) for each in configured]
    recipients: list[Recipient] = []
    for (config, source, settings, options), target in zip(configured, targets, strict=True):
        began = TIMING.clock()
        webhook = source.fetch_webhook(options.retry.deadline)
        seconds = max(0.0, options.retry.deadline - (TIMING.clock() - began))
        recipients.append(Recipient(config, source, settings, options, target, webhook, seconds))
        thread = target.thread
        if thread is not None and thread.space not in {None, webhook.space}:
            raise UsageError(f"--thread {thread.name} is in another space than the webhook ({webhook.space})")
    return recipients


def read(
    words: Sequence[str],
    recipients: Sequence[Recipient],
    surroundings: Surroundings,
    warn: Callable[[str], None],
    *,
    has_stdin: bool = True,
) -> Content | None:
    """Read the content; None if it is empty and may be skipped."""
    ends_only = all(each.options.overflow.overflow in {"head", "tail"} for each in recipients)
    how = ReadOptions(recipients[0].options.exits.skip_empty, ends_only, has_stdin)
    return read_content(words, [each.options.card for each in recipients], surroundings, how, warn)


def compose_for(recipient: Recipient, content: Content) -> tuple[Message, ...]:
    """Make the messages for a recipient; raises `DataError` if they are too large, or too many."""
    options = recipient.options
    return compose(content, options.style, options.overflow, quick_card_for(recipient, content.run))


def quick_card_for(recipient: Recipient, run: CiRun | None) -> CardOptions | None:
    """Return the card that a recipient's options make, with the CI run that was found, if any."""
    return recipient.options.card.quick_card(run) if any(recipient.options.card) else None


def prepare(recipients: Sequence[Recipient], messages: Sequence[Sequence[Message]]) -> list[Delivery]:
    """Make a delivery for each recipient, of its messages. The deadlines begin now: reading stdin can take hours.

    A default deadline grows with the number of messages to the same space. Raises `DataError` if one that was set is
    too short for them: some of a text's parts would be worse than none.
    """
    counts = Counter[str]()
    for recipient, its in zip(recipients, messages, strict=True):
        counts[recipient.webhook.space] += len(its)
    return [
        _delivery(recipient, its, counts[recipient.webhook.space])
        for recipient, its in zip(recipients, messages, strict=True)
    ]


def _delivery(recipient: Recipient, messages: Sequence[Message], count: int) -> Delivery:
    """Make a delivery; ``count`` messages go to its space."""
    options, (thread, reply_option) = recipient.options, recipient.target
    request_id = options.request.request_id or str(uuid4())
    if thread is None and len(messages) > 1 and (options.spool.spool or options.spool.spool_first):
        # The name of the first part's thread may be known only to another process.
        thread, reply_option = Thread(key=f"chatpost-{request_id}"), MessageReplyOption.FALLBACK_TO_NEW_THREAD
    request = CreateMessageRequest(messages[0], request_id, thread, reply_option, options.request.silent)
    label = recipient.source.profile.name if recipient.source.profile else None
    interval = options.pacing.interval if options.pacing.pacing else None
    to = Destination(label, recipient.webhook, thread, options.retry, interval)
    deadline = Deadline(_seconds_for(recipient, count, interval), TIMING.clock)
    return Delivery(to, request_id, request_factories(request, messages), deadline, Progress())


def _seconds_for(recipient: Recipient, messages: int, interval: float | None) -> float:
    extra, options = (messages - 1) * (interval or 0), recipient.options
    if not extra or options.spool.spool_first:
        return recipient.seconds
    if not recipient.settings.is_set("deadline"):
        return recipient.seconds + extra
    if extra > recipient.seconds:
        raise DataError(
            f"the text makes {messages} messages for this space, which take {extra:.1f} s, and the deadline of"
            f" {options.retry.deadline:g} s is shorter, so nothing was posted: use a longer --deadline, or"
            " --overflow tail to post the end"
        )
    return recipient.seconds


def deliver(
    recipients: Sequence[Recipient],
    deliveries: Sequence[Delivery],
    reporter: Reporter,
    die: Callable[[int], NoReturn] = reraise_signal,
) -> None:
    """Deliver all at the same time, and report each; ``die`` ends the process after a signal."""
    if reporter.options.dry_run:
        from chatpost.commands.dry_run import dry_run

        dry_run(deliveries, reporter.options, TIMING)
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


def find_redis(recipients: Sequence[Recipient], reporter: Reporter) -> RedisConfig:
    """Return the Redis that the profile file of the recipients configures, or else the user's."""
    sources, config = [each.source for each in recipients], recipients[0].config
    return RedisConfig.of_sources(sources, config, reporter.environment, reporter.warn)


def _make_pacer(warn: Callable[[str], None], redis: RedisConfig, retry_after: float) -> Pacer | None:
    """Return the pacer that the user's processes on this machine share, and the fleet's; None without a home."""
    from chatpost.directories import user_state
    from chatpost.pacing.sqlite import SqlitePacer, boot_id  # not for --help

    directory = user_state()
    own = None if directory is None else SqlitePacer(directory / "pacing.sqlite3", time.monotonic, boot_id, warn)
    if redis.is_configured:
        from chatpost.pacing.fleet import FleetPacer

        return FleetPacer(own, partial(_shared_pacer, redis, warn, retry_after))
    if own is None:
        warn("messages are not paced: there is no home directory; set HOME or XDG_STATE_HOME")
    return own


def _shared_pacer(redis: RedisConfig, warn: Callable[[str], None], retry_after: float) -> Pacer | None:
    from chatpost.pacing.redis import RedisPacer

    try:
        return RedisPacer(redis.client(), warn, retry_after=retry_after)
    except ConfigurationError as error:
        warn(f"messages are paced by this machine alone: {error}")
        return None


def make_sender(redis: RedisConfig, reporter: Reporter, retry_after: float = inf) -> Sender:
    """Return a sender that paces its messages and reports its events.

    A Redis that fails is not asked again for ``retry_after`` seconds.
    """
    from chatpost.chat.client import ChatClient  # requests, for a command that posts, not for --help

    pacer = _make_pacer(reporter.warn, redis, retry_after)
    return Sender(ChatClient(time.time, reporter.environment), pacer, TIMING, reporter.show)


def _behind_outbox(
    sender: Sender,
    redis: RedisConfig,
    recipients: Sequence[Recipient],
    deliveries: Sequence[Delivery],
    reporter: Reporter,
) -> Deliverer:
    """Return the sender, or the outbox in front of it if an option asks for one."""
    if not any(each.options.spool.spool or each.options.spool.spool_first for each in recipients):
        return sender
    from chatpost.outbox.spooler import Spooler
    from chatpost.outbox.sqlite import open_outbox

    spool = {
        delivery.progress: recipient.options.spool._replace(has_own_id=recipient.options.request.request_id is not None)
        for recipient, delivery in zip(recipients, deliveries, strict=True)
    }
    return Spooler(sender, partial(open_outbox, redis), spool, recipients[0].config, reporter.warn)
