"""`chatpost outbox`: list, show, flush, retry and drop messages that wait for a better time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.command_options import FLUSH, LIST_FORMAT
from chatpost.cli.console import as_json, is_terminal, print_table, say, write_data
from chatpost.cli.options import CONFIG, QUIET, RETRY, VERBOSE, OutputOptions, complete_profile
from chatpost.cli.settings import Option, Section, Settings
from chatpost.cli.types import Seconds
from chatpost.commands.flushing import FlushCommand, Watcher
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import InputError, StorageError, UsageError
from chatpost.formatting import format_duration
from chatpost.outbox.model import OutboxMessage, WebhookReference, batches, delete, requeue
from chatpost.outbox.options import EXPIRE_AFTER
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import open_outbox
from chatpost.outbox.store import Outbox, Step
from chatpost.profiles.sources import RedisConfig, find_sources

EPILOG = """\b
Examples:
  chatpost outbox                       list what waits
  chatpost outbox flush                 post it
  chatpost outbox flush --digest        post it, many in one message
  chatpost outbox flush --watch         stay, and post what comes
  chatpost outbox show 12               show one as JSON
  chatpost outbox retry 12 -p ops       let one wait again, for another webhook
  chatpost outbox drop 12 13            take some out
"""

FLUSH_EXAMPLES = """\
chatpost outbox flush
chatpost outbox flush --digest
chatpost outbox flush --quiet    # for cron
chatpost outbox flush --watch    # for a service\
"""

_EMPTY = "the outbox is empty"
_READ_AT_ONCE = 100  # messages, with their contents
_LONGEST_ATTEMPT = 30.0
_POLL = 0.1
_PAUSE = 0.02  # seconds in which others, which wait for SQLite by polling, can have it


class _MessageNumber(click.IntRange):
    """The number of a message in the outbox."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the number."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r:.60} is no number of a message: `chatpost outbox list` shows them", param, ctx)


_IDS = click.Argument(["ids"], nargs=-1, type=_MessageNumber(), metavar="ID...")
_DEADLINE = Option("--deadline", type=Seconds(), default=60, help="Seconds for each message, and for each wait.")
_ALL = click.Option(["--all", "is_all"], is_flag=True, help="All messages.")

EACH_MESSAGE = Section(
    RETRY.heading, RETRY.make, *(_DEADLINE if option.key == "deadline" else option for option in RETRY.options)
)
OUTPUT = Section("Output", partial(OutputOptions, output="none", dry_run=False), QUIET, VERBOSE)


@click.group(invoke_without_command=True, params=[CONFIG, LIST_FORMAT], epilog=EPILOG)
@click.pass_context
def outbox(ctx: click.Context, config: Path | None, output: str) -> None:
    """List and post messages that wait in the outbox.

    They came there by --spool or --spool-first.
    """
    if ctx.invoked_subcommand is None:
        _list(_find(ctx, config), output)


@outbox.command("list", params=[CONFIG, LIST_FORMAT])
@click.pass_context
def list_(ctx: click.Context, config: Path | None, output: str) -> None:
    """List the messages."""
    before = ctx.parent.params["output"] if ctx.parent else output
    _list(_find(ctx, config), output if output != "table" else before)


def _find(ctx: click.Context, config: Path | None) -> Outbox:
    """Return the outbox on this machine, or the fleet's."""
    return open_outbox(RedisConfig.of_file(config, ctx.obj.environment))


def _index(box: Outbox) -> list[OutboxMessage]:
    """Return the messages without their contents, except those that are posted: their senders delete them."""
    return [message for message in box.index() if message.status.state != "posted"]


def _list(box: Outbox, output: str) -> None:
    index, now = _index(box), time.time()
    if not index:
        say(_EMPTY)
    if output == "json":
        for message in _with_contents(box, index):
            write_data(as_json(_record(message)))
        return
    columns = ("ID", "AGE", "STATE", "TO", "THREAD", "TRIES", "ERROR", "TEXT")
    if index:
        print_table(columns, [_row(message, now) for message in index])


def _with_contents(box: Outbox, messages: Sequence[OutboxMessage]) -> Iterator[OutboxMessage]:
    """Read the contents of messages, a few at a time; yield those that are still there."""
    for start in range(0, len(messages), _READ_AT_ONCE):
        chunk = messages[start : start + _READ_AT_ONCE]
        found: dict[int, OutboxMessage] = {}
        for space in {message.webhook.space for message in chunk}:
            ids = [message.id for message in chunk if message.webhook.space == space]
            found |= {message.id: message for message in box.read(space, ids)}
        yield from (found[message.id] for message in chunk if message.id in found)


def _row(message: OutboxMessage, now: float) -> tuple[str, ...]:
    return (
        str(message.id),
        format_duration(max(0.0, now - message.origin.written)),
        _state(message),
        message.webhook.profile or "CHATPOST_URL",
        message.thread.removeprefix("key ") or "-",
        str(message.status.attempts),
        message.status.error or "-",
        message.preview,
    )


def _state(message: OutboxMessage) -> str:
    state = "sealed" if message.is_in_flight else message.status.state
    return {"pending": "waiting", "rejected": "refused"}.get(state, state)


def _record(message: OutboxMessage) -> dict[str, Any]:
    status, request = message.status, message.request
    return {
        "id": message.id,
        "written": message.origin.written,
        "state": _state(message),
        "host": message.origin.host,
        "profile": message.webhook.profile,
        "space": message.webhook.space.rpartition("/spaces/")[2],
        "requestId": request and request.request_id,
        "attempts": status.attempts,
        "error": status.error,
        "digest": status.digest if status.digest != message.id else None,
        "parameters": request and request.parameters(),
        "body": request and request.body(),
    }


@outbox.command(params=[CONFIG])
@click.argument("id", type=_MessageNumber())
@click.pass_context
def show(ctx: click.Context, id: int, config: Path | None) -> None:  # noqa: A002 - the name that users know
    """Show a message as JSON."""
    box = _find(ctx, config)
    for message in _with_contents(box, _choose(box, [id], is_all=False)):
        write_data(as_json(_record(message), indent=2))


@outbox.command(
    cls=SectionedCommand,
    sections=(FLUSH, EACH_MESSAGE, OUTPUT),
    short=("digest", "watch", "deadline", "retries", "quiet", "verbose"),
    examples=FLUSH_EXAMPLES,
)
@click.pass_context
def flush(ctx: click.Context, /, **_: object) -> int:
    """Post what waits in the outbox.

    In each space and thread the messages are posted in their order. Exits with 75 if some have to wait on.
    """
    settings = Settings(ctx)
    options, policy, output = settings.values((FLUSH, EACH_MESSAGE, OUTPUT))
    command = FlushCommand(options, policy, output, ctx.obj)
    if options.watch:
        Watcher(command).run()
    return command.run()


@outbox.command(
    short_help="Let messages wait again, or send them by another profile.",
    params=[
        _IDS,
        _ALL,
        CONFIG,
        click.Option(["-p", "--profile"], metavar="NAME", shell_complete=complete_profile, help="Send them there."),
    ],
)
@click.pass_context
def retry(ctx: click.Context, /, ids: Sequence[int], config: Path | None, profile: str | None, *, is_all: bool) -> None:
    """Let messages wait again that were refused or have expired, or send them by another profile."""
    box = _find(ctx, config)
    chosen = _choose(box, ids, is_all=is_all)
    if not chosen:
        say(_EMPTY)
        return
    webhook = None if profile is None else _webhook_for(chosen, profile, config, ctx.obj.environment)
    left, _ = _change(box, chosen, partial(requeue, webhook=webhook, expires_at=box.now() + EXPIRE_AFTER))
    say(f"{_count(left)} waiting: `chatpost outbox flush` posts what waits{_meanwhile(len(chosen) - left)}")


def _webhook_for(
    messages: Sequence[OutboxMessage], profile: str, config: Path | None, environment: Mapping[str, str]
) -> WebhookReference:
    """Return the profile's webhook; raises `UsageError` if a message is for a thread elsewhere."""
    (source,) = find_sources((profile,), config, environment, lambda _: None)
    webhook = source.fetch_webhook(RetryPolicy().timeout)
    for message in messages:
        space, _, thread = message.thread.partition("/threads/")
        if thread and not message.thread.startswith("key ") and space != webhook.space:
            raise UsageError(
                f"message {message.id} is for a thread in {space}, and profile {profile} posts to {webhook.space}"
            )
    return reference_to(webhook, profile, config)


def _change(box: Outbox, chosen: Sequence[OutboxMessage], step: Step) -> tuple[int, int]:
    """Change messages, with their digests, while no flush sends them.

    Returns how many of those chosen were left, and how many messages were deleted. Raises `StorageError` if one of them
    is being sent for long.
    """
    deleted = 0
    with ExitStack() as locks:
        for space in sorted({message.webhook.space for message in chosen}):
            until = time.monotonic() + _LONGEST_ATTEMPT
            while not locks.enter_context(box.lock(space)):
                if time.monotonic() > until:
                    where, why = "the outbox", "its messages are being sent; try again"
                    raise StorageError(where, why)
                time.sleep(_POLL)
        index = _index(box)
        left = {message.id for message in index} & {message.id for message in chosen}
        for space, batch in batches(index, left):
            deleted += len(batch) - len(box.change(space, batch, step) or ())
            time.sleep(_PAUSE)
    return len(left), deleted


@outbox.command(params=[_IDS, _ALL, CONFIG, click.Option(["--yes"], is_flag=True, help="Do not ask.")])
@click.pass_context
def drop(ctx: click.Context, /, ids: Sequence[int], config: Path | None, *, is_all: bool, yes: bool) -> None:
    """Take messages out of the outbox. They are not posted."""
    box = _find(ctx, config)
    chosen = _choose(box, ids, is_all=is_all)
    if not chosen:
        say(_EMPTY)
        return
    if is_all and not yes:
        all_of_them = "the only message" if len(chosen) == 1 else f"all {len(chosen)} messages"
        if not is_terminal(ctx.obj.stdin):
            raise UsageError(f"this would drop {all_of_them}: add --yes")
        if not click.confirm(f"Drop {all_of_them}?", err=True):
            return
    left, dropped = _change(box, chosen, delete)
    say(f"{_count(dropped)} dropped{_meanwhile(len(chosen) - left)}")


def _choose(box: Outbox, ids: Sequence[int], *, is_all: bool) -> list[OutboxMessage]:
    """Return messages by their ids; raises `InputError` if one does not exist."""
    if bool(ids) == is_all:
        raise UsageError("name messages by their ids, or all of them by --all")
    index = {message.id: message for message in _index(box)}
    for number in ids:
        if number not in index:
            raise InputError(
                f"there is no message {number} in the outbox: `chatpost outbox list` shows those there are"
            )
    return list(index.values()) if is_all else [index[number] for number in dict.fromkeys(ids)]


def _count(messages: int) -> str:
    return "1 message is" if messages == 1 else f"{messages} messages are"


def _meanwhile(messages: int) -> str:
    return f"; {messages} posted meanwhile" if messages else ""
