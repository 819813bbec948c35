"""`chatpost sendmail`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from chatpost.cli.app import SectionedCommand, bug_line
from chatpost.cli.console import say
from chatpost.cli.mail_options import (
    IGNORED,
    MENTION,
    OUTPUT_OF_MAIL,
    RETRY_MAIL,
    SENDMAIL,
    SPOOL_MAIL,
    MailOptions,
    known_flags,
)
from chatpost.cli.mistakes import usage_line
from chatpost.cli.options import ONCE, OVERFLOW, PACING, PROFILES, REQUEST, THREAD
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.commands import posting
from chatpost.content.compose import Overflow
from chatpost.content.secrets import SecretMask
from chatpost.content.source import Content
from chatpost.delivery.model import Deadline
from chatpost.errors import ChatpostError, DataError, ExitStatus, InputError, UsageError
from chatpost.mail.parse import Mail, addresses, parse_mail
from chatpost.mail.source import read_mail
from chatpost.mail.text import text_of_mail
from chatpost.processes import report_on_signal
from chatpost.profiles.recipients import profiles_for
from chatpost.profiles.sources import find_profiles, webhook_variable

if TYPE_CHECKING:
    from chatpost.chat.message import Message
    from chatpost.commands.posting import Configured, Recipient

EXAMPLES = """\
printf 'Subject: Backup\\n\\nAll done\\n' | chatpost sendmail root
chatpost sendmail -t -oi < mail.eml
chatpost sendmail -bp    # list the outbox
chatpost sendmail -q     # flush the outbox\
"""


class _SendmailCommand(SectionedCommand):
    """Drops flags that only other sendmails know, and exits with 75 for any wrong option."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, list(known_flags(args)), parent, **extra)
        except click.UsageError as error:
            say(usage_line(error), "error")
            raise click.exceptions.Exit(ExitStatus.TRY_LATER) from None


@click.command(
    cls=_SendmailCommand,
    sections=(
        *(SENDMAIL, IGNORED, PROFILES, THREAD, MENTION, OVERFLOW),
        *(REQUEST, RETRY_MAIL, PACING, SPOOL_MAIL, ONCE, OUTPUT_OF_MAIL),
    ),
    short=(
        "in_headers",
        "ignores_dots",
        "mode",
        "queue",
        "profile",
        "config",
        "mention",
        "deadline",
        "verbose",
        "dry_run",
    ),
    examples=EXAMPLES,
)
@click.argument("recipient", nargs=-1)
@click.pass_context
def sendmail(ctx: click.Context, /, recipient: Sequence[str], **_: object) -> int:
    """Post mail, as a drop-in replacement for sendmail.

    Reads one mail message from stdin. [sendmail] in profiles.toml maps each RECIPIENT to profiles. Exits with 0 if the
    message was posted or stored in the outbox, otherwise with 75. Prints nothing on stdout.
    """
    options = Settings(ctx)[SENDMAIL]
    if options.queue is not None or options.mode == "p":
        return _manage_outbox(ctx, options)
    if options.mode != "m":
        raise UsageError(
            f"-b{options.mode:.20} is not supported: chatpost sendmail is not a mail server; pipe one message to it"
        )
    reporter = Reporter(Settings(ctx)[OUTPUT_OF_MAIL], ctx.obj)
    reporter.can_repeat = False
    try:
        _post(ctx, options, recipient, reporter)
    except ChatpostError as error:
        say(str(error), "error")
        return ExitStatus.TRY_LATER
    except Exception as bug:  # noqa: BLE001 - callers of sendmail understand only this status
        say(bug_line(bug), "error")
        return ExitStatus.TRY_LATER
    return ExitStatus.TRY_LATER if reporter.exit_status else ExitStatus.OK


def _manage_outbox(ctx: click.Context, options: MailOptions) -> int:
    if options.queue:
        raise UsageError("-q takes no value: to flush regularly, run `chatpost outbox flush --watch` as a service")
    from chatpost.commands.outbox import outbox

    config = ctx.params["config"]
    words = ["list" if options.mode == "p" else "flush", *(("--config", str(config)) if config else ())]
    return int(outbox.main(words, prog_name="chatpost outbox", standalone_mode=False, obj=ctx.obj) or ExitStatus.OK)


def _post(ctx: click.Context, options: MailOptions, recipients: Sequence[str], reporter: Reporter) -> None:
    with reporter, report_on_signal(reporter.interrupted):
        if ctx.obj.stdin is None:
            raise InputError("stdin is closed: pipe the mail to chatpost sendmail")
        if ctx.obj.stdin.isatty():
            say("reading mail from the terminal; end it with Ctrl-D, or with a line that has only a dot")
        raw = read_mail(ctx.obj.stdin.fileno(), ends_at_dot=options.ends_at_dot)
        began = posting.TIMING.clock()
        mail = parse_mail(raw)
        _choose_profiles(ctx, addresses([*recipients, *(mail.recipients if options.in_headers else ())]))
        output = reporter.options
        configured = posting.configure(ctx, reporter)
        reporter.options = output  # the profile's ``output`` applies to other commands
        found = _resolve(configured, began, reporter)
        if not found:  # each error is reported
            return
        messages = [_compose(recipient, mail, SecretMask(ctx.obj.environment)) for recipient in found]
        deliveries = posting.prepare(found, messages, reporter.warn)
        # A long mail does not extend the deadline: its rest stays in the outbox.
        limits = [Deadline(_left(recipient, began), posting.TIMING.clock) for recipient in found]
        deliveries = [its._replace(deadline=limit) for its, limit in zip(deliveries, limits, strict=True)]
        posting.deliver(found, deliveries, reporter)


def _choose_profiles(ctx: click.Context, recipients: Sequence[str]) -> None:
    """Set --profile from [sendmail] in the profile file, unless the command line or the environment sets it."""
    environment = ctx.obj.environment
    if ctx.params["profile"] or webhook_variable(environment) or environment.get("CHATPOST_PROFILE", "").strip():
        return
    file = find_profiles(ctx.params["config"])
    if file is not None and file.sendmail:
        ctx.params["profile"] = profiles_for(recipients, file.sendmail, os.uname().nodename)


def _resolve(configured: Sequence[Configured], began: float, reporter: Reporter) -> list[Recipient]:
    """Resolve each recipient within its deadline. A profile that cannot be used does not keep the mail from others."""
    found: list[Recipient] = []
    for each in configured:
        retry = each.options.retry._replace(deadline=_left(each, began))
        # Mail exists nowhere else, so it is kept in the outbox after any error.
        spool = each.options.spool._replace(keeps_rejected=True)
        limited = each._replace(options=each.options._replace(retry=retry, spool=spool))
        try:
            found += posting.resolve_recipients([limited], posting.find_thread)
        except ChatpostError as error:
            reporter.report_error(error)
            reporter.status = error.exit_status
    return found


def _left(each: Configured | Recipient, began: float) -> float:
    """Return the seconds that are left of the deadline, which begins when the mail is read."""
    return max(0.0, each.settings[RETRY_MAIL].deadline - (posting.TIMING.clock() - began))


def _compose(recipient: Recipient, mail: Mail, mask: SecretMask) -> tuple[Message, ...]:
    # The webhook's secrets are masked before anything is cut: a part of one would not be found.
    text = text_of_mail(mail, os.uname().nodename, lambda text: recipient.webhook.mask_posted(mask(text)))
    options = recipient.options._replace(overflow=Overflow("tail"))
    try:
        return posting.compose_for(recipient if not text.before else recipient._replace(options=options), Content(text))
    except DataError:  # too many parts: post the end rather than nothing
        return posting.compose_for(recipient._replace(options=options), Content(text))
