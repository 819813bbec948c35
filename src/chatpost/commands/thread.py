"""`chatpost thread`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import uuid4

import click

from chatpost.chat.message import MessageReplyOption, Thread
from chatpost.cli.app import SectionedCommand
from chatpost.cli.command_options import FOLLOW
from chatpost.cli.console import say
from chatpost.cli.options import CARD, NEW_THREAD, ONCE, POSTING, PROFILES
from chatpost.cli.reporter import Reporter
from chatpost.cli.settings import Settings
from chatpost.commands.posting import ReplyTo, compose_for, configure, post, prepare, read, resolve_recipients
from chatpost.content.source import find_ci_run
from chatpost.errors import UsageError
from chatpost.processes import report_on_signal

EXAMPLES = """\
t=$(chatpost thread -o thread "Deploy"); chatpost reply --thread "$t" "done"
chatpost thread -k deploy-1.2 "Deploy"; chatpost reply -k deploy-1.2 "done"
chatpost thread -o json "Deploy 1.2" | jq -r .thread.threadKey
./deploy.sh 2>&1 | chatpost thread --follow --closing "Done" "Deploy 1.2"\
"""


@click.command(
    cls=SectionedCommand,
    sections=(PROFILES, NEW_THREAD, FOLLOW, *(section for section in POSTING if section is not ONCE)),
    short=("profile", "thread_key", "follow", "tee", "closing", "code", "mention", "title", "output", "dry_run"),
    examples=EXAMPLES,
)
@click.argument("text", nargs=-1)
@click.pass_context
def thread(ctx: click.Context, /, **_: object) -> int:
    """Start a thread.

    Prints the name of its first message. If the thread of --thread-key already exists, the message is a reply in it.
    Without --thread-key, the key is random.
    """
    settings, choose_thread = Settings(ctx), partial(_new_thread, random_key=str(uuid4()))
    if settings[FOLLOW].follow:
        return _follow(ctx, settings, choose_thread)
    if any(map(settings.from_command_line, ("tee", "closing", "every"))):
        raise UsageError("--tee, --closing and --every require --follow")
    return post(ctx, choose_thread)


def _new_thread(settings: Settings, *, random_key: str) -> ReplyTo:
    if settings.from_command_line("fallback_new_thread") is False:
        raise UsageError(
            "--or-fail cannot be used with thread, which starts a new thread: use chatpost reply --or-fail"
        )
    key = settings[NEW_THREAD].thread_key or random_key
    # Chat registers a key only with the fallback option; without it the key stays unknown.
    return ReplyTo(Thread(key=key), MessageReplyOption.FALLBACK_TO_NEW_THREAD)


def _follow(ctx: click.Context, settings: Settings, choose_thread: Callable[[Settings], ReplyTo]) -> int:
    """Open the thread, then post the lines of stdin as replies."""
    from chatpost.commands.following import Follower

    with Follower.of_stdin(settings, ctx.obj) as follower:
        try:
            _check(ctx, settings)
            reporter = Reporter.of_command(ctx)
            reporter.write = follower.write
            with reporter, report_on_signal(reporter.interrupted):
                recipients = resolve_recipients(configure(ctx, reporter, is_followed=True), choose_thread)
                content = read(ctx, recipients, reporter.warn, has_stdin=False)
                if content is not None:
                    (opening,) = prepare(recipients, [compose_for(recipients[0], content)], reporter.warn)
                    follower.post(opening, recipients[0], reporter)
        except UsageError as error:
            say(str(error), "error")  # now: the context reads stdin to its end first
            return error.exit_status
        return reporter.exit_status


def _check(ctx: click.Context, settings: Settings) -> None:
    """Raise `UsageError` for options that cannot be used with ``--follow``."""
    from chatpost.follow.replies import CLOSING_LIMIT

    text, card = ctx.params["text"], settings[CARD]
    if settings.from_command_line("spool") or settings.from_command_line("spool_only"):
        raise UsageError("--follow cannot be used with --spool or --spool-only: it posts lines as they arrive")
    run = find_ci_run([card], ctx.obj.environment, warn=lambda _: None)
    if not text and not card.card and card.quick_card(run) is None:
        raise UsageError('--follow requires text to start the thread, as in chatpost thread --follow "Deploy"')
    if len((settings[FOLLOW].closing or "").encode()) > CLOSING_LIMIT:
        raise UsageError(f"the --closing text is too long: the limit is {CLOSING_LIMIT:,} bytes")
    if text[-1:] == ("-",) or card.card == "-":
        raise UsageError("--follow reads stdin, so neither the text nor the card can be -")
