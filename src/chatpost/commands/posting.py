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

import click

from chatpost.chat.message import CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.chat.webhook import Webhook, in_strings
from chatpost.cli.options import ONE_PROFILE, POSTING, PROFILES, THREAD, PostOptions
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.concurrency import sleep
from chatpost.content.cards import WIDGETS_SHOWN, QuickCard, widgets_of
from chatpost.content.compose import compose
from chatpost.content.source import Content, ReadOptions, read_content
from chatpost.delivery.model import Deadline, Delivery, Destination, Pacer, Progress, request_factories
from chatpost.delivery.sender import Deliverer, Sender, Timing, deliver_all
from chatpost.errors import DataError, ExitStatus, UsageError
from chatpost.processes import report_on_signal, reraise_signal
from chatpost.profiles.sources import RedisConfig, WebhookSource, find_sources

if TYPE_CHECKING:
    from chatpost.content.ci import CiRun
    from chatpost.profiles.file import Profile

TIMING = Timing(clock=time.monotonic, sleep=sleep, random=random.random)


class Configured(NamedTuple):
    """A webhook's source, and the values of the options for its profile. ``config`` is the value of ``--config``."""

    config: Path | None
    source: WebhookSource
    settings: Settings
    options: PostOptions


class ReplyTo(NamedTuple):
    """The thread to post in, None for a new one, and what Chat does if the thread does not exist."""

    thread: Thread | None = None
    reply_option: MessageReplyOption | None = None


class Recipient(NamedTuple):
    """A `Configured` with its webhook and thread. ``seconds`` are left of its deadline."""

    config: Path | None
    source: WebhookSource
    settings: Settings
    options: PostOptions
    target: ReplyTo
    webhook: Webhook
    seconds: float


def post(ctx: click.Context, choose_thread: Callable[[Settings], ReplyTo]) -> ExitStatus:
    """Post the text, stdin or a card to each recipient."""
    reporter = Reporter.of_command(ctx)
    with reporter, report_on_signal(reporter.interrupted):
        recipients = resolve_recipients(configure(ctx, reporter), choose_thread)
        content = read(ctx, recipients, reporter.warn)
        if content is not None:
            recipients = [with_thread_of(content, recipient) for recipient in recipients]
            messages = [compose_for(recipient, content) for recipient in recipients]
            deliveries = prepare(recipients, messages, reporter.warn)
            deliver(recipients, deliveries, reporter)
    return reporter.exit_status


def configure(ctx: click.Context, reporter: Reporter, *, is_followed: bool = False) -> list[Configured]:
    """Find the profiles to post to, and the options for each. The reporter gets the options of the first.

    ``is_followed``: raise `UsageError` for more than one profile.
    """
    names, config = Settings(ctx)[PROFILES]
    configured = []
    for source in find_sources(names, config, ctx.obj.environment, reporter.warn):
        defaults = None
        if source.profile is not None:
            from chatpost.cli.profile_defaults import load_defaults

            defaults = load_defaults(source.profile)
        settings = Settings(ctx, defaults, {"mention": partial(_resolve_mentions, source.profile, config)})
        configured.append(Configured(config, source, settings, PostOptions(*settings.values(POSTING))))
    reporter.options, reporter.soft_fail = configured[0].options.output, configured[0].options.exits.soft_fail
    if is_followed and len(configured) > 1:
        raise UsageError(ONE_PROFILE)
    return configured


def _resolve_mentions(profile: Profile | None, config: Path | None, users: Sequence[str]) -> tuple[str, ...]:
    from chatpost.profiles.users import MentionResolver

    return MentionResolver(profile, config).user_ids(users)


def find_thread(settings: Settings, missing: str | None = None) -> ReplyTo:
    """Return the thread that the options name, if any.

    Without one, raises `UsageError` for ``--or-fail``, and always if ``missing`` gives a message.
    """
    options = settings[THREAD]
    thread = options.thread or (Thread(key=options.thread_key) if options.thread_key else None)
    if thread is not None:
        fallback, or_fail = MessageReplyOption.FALLBACK_TO_NEW_THREAD, MessageReplyOption.OR_FAIL
        return ReplyTo(thread, fallback if options.fallback_new_thread else or_fail)
    if missing or settings.from_command_line("fallback_new_thread") is False:
        raise UsageError(missing or "--or-fail requires a thread: add --thread-key KEY or --thread NAME")
    return ReplyTo()


def resolve_recipients(
    configured: Sequence[Configured], choose_thread: Callable[[Settings], ReplyTo]
) -> list[Recipient]:
    """Fetch the webhooks, after choosing every thread, which checks its options.

    The time that a profile's command takes counts against that profile's deadline.
    """
    targets = [choose_thread(each.settings) for each in configured]
    recipients: list[Recipient] = []
    for (config, source, settings, options), target in zip(configured, targets, strict=True):
        began = TIMING.clock()
        webhook = source.fetch_webhook(options.retry.deadline)
        seconds = max(0.0, options.retry.deadline - (TIMING.clock() - began))
        _check_space(target, webhook, "--thread")
        recipients.append(Recipient(config, source, settings, options, target, webhook, seconds))
    return recipients


def _check_space(target: ReplyTo, webhook: Webhook, what: str) -> None:
    if target.thread is not None and target.thread.space not in {None, webhook.space}:
        raise UsageError(f"{what} {target.thread.name} is in a different space than the webhook ({webhook.space})")


def with_thread_of(content: Content, recipient: Recipient) -> Recipient:
    """Return the recipient with the thread of the card file, unless an option names one."""
    if content.card is None or content.card.thread is None or recipient.target.thread is not None:
        return recipient
    target = ReplyTo(content.card.thread, MessageReplyOption.FALLBACK_TO_NEW_THREAD)
    _check_space(target, recipient.webhook, "the card file's thread")
    return recipient._replace(target=target)


def read(
    ctx: click.Context, recipients: Sequence[Recipient], warn: Callable[[str], None], *, has_stdin: bool = True
) -> Content | None:
    """Read the content; None if it is empty and ``--skip-empty`` is set."""
    ends_only = all(each.options.overflow.overflow in {"head", "tail"} for each in recipients)
    how = ReadOptions(recipients[0].options.exits.skip_empty, ends_only, has_stdin, ctx.command_path)
    return read_content(ctx.params["text"], [each.options.card for each in recipients], ctx.obj, how, warn)


def compose_for(recipient: Recipient, content: Content) -> tuple[Message, ...]:
    """Compose the messages for a recipient. Raises `DataError` if they are too large or too many."""
    options, content = recipient.options, content.masked(recipient.webhook.mask_posted)
    return compose(content, options.style, options.overflow, quick_card_for(recipient, content.run, content.mask))


def quick_card_for(recipient: Recipient, run: CiRun | None, mask: Callable[[str], str] | None) -> QuickCard | None:
    """Return the recipient's quick card, if any, with the CI run, if one was found; ``mask`` removes secrets."""
    quick = recipient.options.card.quick_card(run) if any(recipient.options.card) else None
    if quick is not None and mask is not None:
        quick = quick.masked(partial(in_strings, mask=mask))
    return quick and quick.masked(recipient.webhook.mask_posted)


def prepare(
    recipients: Sequence[Recipient], messages: Sequence[Sequence[Message]], warn: Callable[[str], None]
) -> list[Delivery]:
    """Make a delivery of each recipient's messages. The deadlines begin now: reading stdin can take hours.

    The default deadline grows with the number of messages to the same space. Raises `DataError` if a deadline that was
    set is too short for them: part of a text would be worse than none.
    """
    for card in (card for its in messages for card in its[0].cards):
        if (count := len(widgets_of(card))) > WIDGETS_SHOWN:
            warn(
                f"the card has {count} widgets, but Chat shows only the first {WIDGETS_SHOWN}: put values into the text"
            )
    pairs, counts = list(zip(recipients, messages, strict=True)), Counter[str]()
    for recipient, its in pairs:
        counts[recipient.webhook.space] += len(its)
    return [_delivery(recipient, its, counts[recipient.webhook.space]) for recipient, its in pairs]


def _delivery(recipient: Recipient, messages: Sequence[Message], count: int) -> Delivery:
    """``count`` is the number of messages to the same space."""
    messages = [message.masked(recipient.webhook.mask_posted) for message in messages]
    options, (thread, reply_option) = recipient.options, recipient.target
    request_id = options.request.request_id or str(uuid4())
    if thread is None and len(messages) > 1 and (options.spool.spool or options.spool.spool_only):
        # Another process may post the first part, and then only that process learns the name of the thread.
        thread, reply_option = Thread(key=f"chatpost-{request_id}"), MessageReplyOption.FALLBACK_TO_NEW_THREAD
    thread = thread and thread._replace(key=recipient.webhook.mask_posted(thread.key))
    request = CreateMessageRequest(messages[0], request_id, thread, reply_option, options.request.silent)
    label = recipient.source.profile.name if recipient.source.profile else None
    interval = options.pacing.interval if options.pacing.pacing else None
    to = Destination(label, recipient.webhook, thread, options.retry, interval)
    deadline = Deadline(_seconds_for(recipient, count, interval), TIMING.clock)
    return Delivery(to, request_id, request_factories(request, messages), deadline, Progress())


def _seconds_for(recipient: Recipient, messages: int, interval: float | None) -> float:
    extra, options = (messages - 1) * (interval or 0), recipient.options
    if not extra or options.spool.spool_only:
        return recipient.seconds
    if not recipient.settings.is_set("deadline"):
        return recipient.seconds + extra
    if extra > recipient.seconds and not options.spool.spool:  # with --spool, the remaining parts stay in the outbox
        raise DataError(
            f"posting {messages} messages to this space takes {extra:.1f} s, longer than the deadline of"
            f" {options.retry.deadline:g} s, so nothing was posted: raise --deadline, or use --overflow tail to post"
            " the end"
        )
    return recipient.seconds


def deliver(
    recipients: Sequence[Recipient],
    deliveries: Sequence[Delivery],
    reporter: Reporter,
    die: Callable[[int], NoReturn] = reraise_signal,
) -> None:
    """Deliver all concurrently, and report each. With ``--dry-run``, print the requests.

    ``die`` ends the process after a signal.
    """
    if reporter.options.dry_run:
        from chatpost.commands.dry_run import dry_run

        dry_run(deliveries, reporter.options, TIMING)
        return
    reporter.expect(deliveries)
    deliverer = _make_deliverer(recipients, deliveries, reporter)

    def interrupted() -> None:
        reporter.interrupted()
        deliverer.leave_queues()

    with report_on_signal(interrupted, die=die):
        for delivery in deliver_all(deliverer, deliveries):
            reporter.report(delivery)


def _make_deliverer(recipients: Sequence[Recipient], deliveries: Sequence[Delivery], reporter: Reporter) -> Deliverer:
    redis = find_redis(recipients, reporter)
    options = [each.options for each in recipients]
    if not any(its.spool.spool or its.spool.spool_only or its.once.once_per for its in options):
        return make_sender(redis, reporter)
    from chatpost.commands.delivering import Requested, make_deliverer  # most sends do not need it

    pairs = zip(recipients, deliveries, strict=True)
    requested = [Requested(each.options, each.target.thread, delivery) for each, delivery in pairs]
    new_sender = partial(make_sender, redis, reporter)
    return make_deliverer(requested, redis, recipients[0].config, new_sender, reporter.warn)


def find_redis(recipients: Sequence[Recipient], reporter: Reporter) -> RedisConfig:
    """Return the Redis that the recipients' profile file or the environment configures."""
    sources, config = [each.source for each in recipients], recipients[0].config
    return RedisConfig.of_sources(sources, config, reporter.environment, reporter.warn)


def make_sender(redis: RedisConfig, reporter: Reporter, retry_after: float = inf) -> Sender:
    """Return a sender that reports its events, and is paced with the user's processes on this machine and the fleet.

    After an error, Redis is not tried for ``retry_after`` seconds. Without a safe directory, the machine has no pacing.
    """
    from chatpost.chat.client import ChatClient  # requests and SQLite are not for --help
    from chatpost.pacing.sqlite import SqlitePacer, user_pacer

    found = user_pacer(reporter.warn)
    own = found if isinstance(found, SqlitePacer) else None
    pacer: Pacer | None = own
    if redis.is_configured:
        from chatpost.commands.fleet_pacing import make_fleet_pacer

        pacer = make_fleet_pacer(own, redis, reporter.warn, retry_after)
    elif pacer is None:
        reporter.warn(f"messages are not paced: {found}")
    return Sender(ChatClient(time.time, reporter.environment), pacer, TIMING, reporter.show)
