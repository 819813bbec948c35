"""What `send`, `reply` and `thread` do alike: from the options to the exit status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from chatpost.cli.context import TIMING, find_targets, make_client
from chatpost.cli.options import PostOptions
from chatpost.delivery import Delivery, deliver
from chatpost.errors import ChatpostError, DataError, ExitStatus, OutputError, UsageError
from chatpost.message import CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.output import Reporter, print_json
from chatpost.text import message_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import click

    from chatpost.webhook import Webhook


@dataclass(frozen=True)
class Address:
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


def post(ctx: click.Context, address: Callable[[PostOptions], Address]) -> ExitStatus:
    """Post the text to every target; `address` says which thread it is for under the options of each."""
    options = PostOptions.of(ctx)
    reporter = _reporter(options)
    try:
        targets = find_targets(ctx.params["profile"], ctx.params["config"], reporter.warning)
        all_options = [PostOptions.of(ctx, target.profile) for target in targets]
        # What concerns the command and not one message is as the first profile has it.
        options = all_options[0]
        reporter = _reporter(options)
        addresses = [address(its) for its in all_options]
        webhooks = [target.fetch_webhook() for target in targets]
        for webhook, its in zip(webhooks, addresses, strict=True):
            _check_space(its.thread, webhook)
        message = _message(ctx.params["text"], options, reporter)
        if message is None:
            return ExitStatus.OK
        deliveries = [
            Delivery(
                target.profile.name if target.profile else None,
                webhook,
                CreateMessageRequest(
                    message,
                    its.request_id or str(uuid4()),
                    its_address.thread,
                    its_address.reply_option,
                    its.message_id,
                    its.silent,
                ),
                its.policy,
            )
            for target, webhook, its, its_address in zip(targets, webhooks, all_options, addresses, strict=True)
        ]
        status = _show(deliveries, options) if options.dry_run else _deliver(deliveries, reporter)
    except UsageError:
        raise
    except ChatpostError as error:
        reporter.failure(error)
        status = error.exit_status
    return ExitStatus.OK if options.soft_fail else status


def _reporter(options: PostOptions) -> Reporter:
    return Reporter(options.output, options.quiet, options.verbose)


def _check_space(thread: Thread | None, webhook: Webhook) -> None:
    if thread is not None and thread.space not in {None, webhook.space}:
        msg = f"--thread {thread.name} is not in {webhook.space}, where the webhook posts"
        raise UsageError(msg)


def _message(words: Sequence[str], options: PostOptions, reporter: Reporter) -> Message | None:
    """Return what to post; None where there is nothing and that is no error."""
    text = message_text(words)
    if text.is_blank:
        if options.skip_empty:
            return None
        msg = "the text is empty, and nothing was posted (--skip-empty makes that no error)"
        raise DataError(msg)
    if text.had_bad_bytes:
        reporter.warning("the text holds bytes that are not UTF-8; each is posted as U+FFFD")
    message = Message(text.text)
    message.check_size()
    return message


def _show(deliveries: Sequence[Delivery], options: PostOptions) -> ExitStatus:
    for delivery in deliveries:
        webhook, request = delivery.webhook, delivery.request
        shown = {
            "profile": delivery.profile,
            "method": "POST",
            "url": webhook.masked_url(request.parameters()),
            "body": request.body(),
        }
        print_json(shown, one_line=options.output == "json", mask=webhook.mask)
    return ExitStatus.OK


def _deliver(deliveries: Sequence[Delivery], reporter: Reporter) -> ExitStatus:
    """Post and report; return the status of the first, in the order given, that failed."""
    status = ExitStatus.OK
    for result in deliver(deliveries, make_client(), TIMING, reporter.attempt):
        error: ChatpostError | None = result.outcome.error
        try:
            reporter.result(result)
        except OutputError as failure:
            reporter.failure(failure)
            error = error or failure
        if error is not None and status == ExitStatus.OK:
            status = error.exit_status
    return status
