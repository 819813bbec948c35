"""What `send`, `reply` and `thread` do alike: from the options to the exit status."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from chatpost.chat.message import CreatedMessage, CreateMessageRequest, MessageReplyOption, Thread
from chatpost.cli.options import PostOptions
from chatpost.cli.output import Reporter, print_json
from chatpost.cli.signals import last_words
from chatpost.cli.targets import TIMING, Target, find_targets, make_client, make_pacer
from chatpost.content.compose import Content, compose, read_content
from chatpost.delivery.retry import SHORTEST_ATTEMPT, Progress
from chatpost.delivery.sender import Delivery, deliver
from chatpost.errors import ChatpostError, DataError, ExitStatus, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import click

    from chatpost.chat.client import ChatClient
    from chatpost.chat.webhook import Webhook
    from chatpost.cli.following import Stream
    from chatpost.delivery.pacing import Pacer


class Address(NamedTuple):
    """The thread that a message is for, if any, and what to do where it is not there."""

    thread: Thread | None = None
    reply_option: MessageReplyOption | None = None


def named_thread(options: PostOptions) -> Address:
    """Return the thread that the options name, if they name one."""
    thread = options.thread or (Thread(key=options.thread_key) if options.thread_key else None)
    if thread is None:
        return Address()
    fallback = options.fallback_new_thread
    return Address(thread, MessageReplyOption.FALLBACK_TO_NEW_THREAD if fallback else MessageReplyOption.OR_FAIL)


def post(ctx: click.Context, address: Callable[[PostOptions], Address], stream: Stream | None = None) -> ExitStatus:
    """Post the text to every target; `address` says which thread it is for under the options of each.

    A `stream` is posted into the thread that the only target's message has opened.
    """
    options = PostOptions.of(ctx)
    deliveries: list[Delivery] = []
    reporter = _reporter(options)
    try:
        with last_words(
            lambda: reporter.broken_off("interrupted", deliveries),
            lambda number: stream is not None and stream.ends_by_itself(number, deliveries),
        ):
            targets = find_targets(ctx.params["profile"], ctx.params["config"], reporter.warning)
            all_options = [PostOptions.of(ctx, target.profile) for target in targets]
            # What concerns the command and not one message is as the first profile has it.
            options = all_options[0]
            reporter = _reporter(options)
            status = _post(ctx.params["text"], targets, all_options, address, deliveries, reporter, stream)
    except UsageError:
        raise
    except ChatpostError as error:
        reporter.failure(error)
        status = error.exit_status
    except Exception:
        reporter.broken_off("broken off by a bug", deliveries)
        raise
    return ExitStatus.OK if options.soft_fail else status


def _post(
    words: Sequence[str],
    targets: Sequence[Target],
    all_options: Sequence[PostOptions],
    address: Callable[[PostOptions], Address],
    deliveries: list[Delivery],
    reporter: Reporter,
    stream: Stream | None,
) -> ExitStatus:
    """Post, and fill `deliveries`, from which an interruption tells how far each has come."""
    if stream is not None and len(targets) > 1:
        msg = "--follow goes into one thread: name one profile"
        raise UsageError(msg)
    addresses = [address(options) for options in all_options]
    began = TIMING.clock()
    webhooks = [
        target.fetch_webhook(max(SHORTEST_ATTEMPT, options.deadline - (TIMING.clock() - began)))
        for target, options in zip(targets, all_options, strict=True)
    ]
    fetching = TIMING.clock() - began
    for webhook, its_address in zip(webhooks, addresses, strict=True):
        _check_space(its_address.thread, webhook)
    content = _content(words, all_options[0], reporter)
    if content is None:
        return ExitStatus.OK
    # The deadline bounds all but the reading of stdin, which may be a job that takes hours.
    started = TIMING.clock() - fetching
    deliveries += map(_delivery, targets, webhooks, all_options, addresses, repeat(content))
    if all_options[0].dry_run:
        return _show(deliveries, all_options[0])
    # The pacer comes last: between a slot and its request there should be nothing but the wait.
    client = make_client()
    pacer = make_pacer(reporter.warning)
    status = _deliver(deliveries, client, pacer, started, reporter)
    if stream is None or status != ExitStatus.OK:
        return status
    return stream.post(deliveries[0], all_options[0], client, pacer, reporter)


def _delivery(target: Target, webhook: Webhook, options: PostOptions, address: Address, content: Content) -> Delivery:
    parts = compose(content, options)
    return Delivery(
        target.profile.name if target.profile else None,
        webhook,
        CreateMessageRequest(
            parts[0],
            options.request_id or str(uuid4()),
            address.thread,
            address.reply_option,
            options.message_id,
            options.silent,
        ),
        parts,
        options.policy,
        options.interval if options.pacing else None,
        Progress(),
    )


def _reporter(options: PostOptions) -> Reporter:
    return Reporter(options.output, quiet=options.quiet, verbose=options.verbose, aside=options.tee)


def _check_space(thread: Thread | None, webhook: Webhook) -> None:
    if thread is not None and thread.space not in {None, webhook.space}:
        msg = f"--thread {thread.name} is not in {webhook.space}, where the webhook posts"
        raise UsageError(msg)


def _content(words: Sequence[str], options: PostOptions, reporter: Reporter) -> Content | None:
    """Return what to post; None where there is nothing and that is no error."""
    content = read_content(words, options)
    if content.is_blank and content.card is None and not options.quick_card.is_asked_for:
        if options.skip_empty:
            return None
        msg = "the text is empty, and nothing was posted (--skip-empty makes that no error)"
        raise DataError(msg)
    if content.text.had_bad_bytes:
        reporter.warning("the text holds bytes that are not UTF-8; each is posted as U+FFFD")
    return content


def _show(deliveries: Sequence[Delivery], options: PostOptions) -> ExitStatus:
    for delivery in deliveries:
        webhook, count = delivery.webhook, len(delivery.parts)
        first = CreatedMessage("", f"{webhook.space}/threads/THREAD-OF-THE-FIRST")
        for number, part in enumerate(delivery.parts, 1):
            request = delivery.request
            if count > 1:
                request = request.of_part(number, part, first if number > 1 else None)
            shown = {
                "profile": delivery.profile,
                "method": "POST",
                "url": webhook.masked_url(request.parameters()),
                "body": request.body(),
            }
            print_json(shown, one_line=options.output == "json", mask=webhook.mask)
    return ExitStatus.OK


def _deliver(
    deliveries: Sequence[Delivery], client: ChatClient, pacer: Pacer, started: float, reporter: Reporter
) -> ExitStatus:
    """Post and report; return the status of the first, in the order given, that failed."""
    status = ExitStatus.OK
    for result in deliver(deliveries, client, pacer, TIMING, started, reporter.tell):
        error: ChatpostError | None = result.outcome.error
        try:
            reporter.result(result)
        except OutputError as failure:
            reporter.failure(failure)
            error = error or failure
        result.delivery.progress.is_over = True
        if error is not None and status == ExitStatus.OK:
            status = error.exit_status
    return status
