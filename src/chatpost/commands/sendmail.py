"""`chatpost sendmail`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
)
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
    from chatpost.commands.posting import Recipient

EXAMPLES = """\
printf 'Subject: Backup\\n\\nAll done\\n' | chatpost sendmail root
chatpost sendmail -t -oi < mail.eml
chatpost sendmail -bp    # list the outbox
chatpost sendmail -q     # flush the outbox\
"""


@click.command(
    cls=SectionedCommand,
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
    context_settings={"ignore_unknown_options": True},  # an unknown sendmail option must not stop the mail
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
    if unknown := next((word for word in recipient if word.startswith("--")), None):
        raise click.NoSuchOption(unknown, ctx=ctx)
    reporter = Reporter(Settings(ctx)[OUTPUT_OF_MAIL], ctx.obj)
    reporter.can_repeat = False
    try:
        _post(ctx, options, [word for word in recipient if not word.startswith("-")], reporter)
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
        mail = parse_mail(read_mail(ctx.obj.stdin.fileno(), ends_at_dot=options.ends_at_dot))
        _choose_profiles(ctx, [*addresses(recipients), *(mail.recipients if options.in_headers else ())])
        output = reporter.options
        configured = posting.configure(ctx, reporter)
        reporter.options = output  # the profile's ``output`` applies to other commands
        found = [_keeping(each) for each in posting.resolve_recipients(configured, posting.find_thread)]
        messages = [_compose(recipient, mail, SecretMask(ctx.obj.environment)) for recipient in found]
        deliveries = posting.prepare(found, messages, reporter.warn)
        # The rest of a long mail stays in the outbox.
        limits = [Deadline(recipient.seconds, posting.TIMING.clock) for recipient in found]
        deliveries = [its._replace(deadline=limit) for its, limit in zip(deliveries, limits, strict=True)]
        posting.deliver(found, deliveries, reporter)


def _keeping(recipient: Recipient) -> Recipient:
    """Return the recipient with its message kept in the outbox after any error: the mail exists nowhere else."""
    spool = recipient.options.spool._replace(keeps_rejected=True)
    return recipient._replace(options=recipient.options._replace(spool=spool))


def _choose_profiles(ctx: click.Context, recipients: Sequence[str]) -> None:
    """Set --profile from [sendmail] in the profile file, unless the command line or the environment sets it."""
    environment = ctx.obj.environment
    if ctx.params["profile"] or webhook_variable(environment) or environment.get("CHATPOST_PROFILE", "").strip():
        return
    file = find_profiles(ctx.params["config"])
    if file is not None and file.sendmail:
        ctx.params["profile"] = profiles_for(recipients, file.sendmail, os.uname().nodename)


def _compose(recipient: Recipient, mail: Mail, mask: SecretMask) -> tuple[Message, ...]:
    content = Content(text_of_mail(mail, os.uname().nodename, mask))
    try:
        return posting.compose_for(recipient, content)
    except DataError:  # too many parts: post the end rather than nothing
        options = recipient.options._replace(overflow=Overflow("tail"))
        return posting.compose_for(recipient._replace(options=options), content)
