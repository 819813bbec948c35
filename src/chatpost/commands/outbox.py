"""`chatpost outbox`: list, show, flush, retry and delete the messages in the outbox."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.command_options import FLUSH, LIST_FORMAT
from chatpost.cli.completion import complete_profile
from chatpost.cli.console import as_json, is_terminal, print_table, say, write_data
from chatpost.cli.options import CONFIG, QUIET, RETRY, VERBOSE, OutputOptions
from chatpost.cli.settings import Option, Section, Settings
from chatpost.cli.types import Duration, Parsed
from chatpost.commands.flushing import FlushCommand, Watcher
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import InputError, StorageError, UsageError
from chatpost.formatting import Seconds, format_duration
from chatpost.outbox.model import OutboxMessage, batches, delete, requeue
from chatpost.outbox.options import EXPIRE_AFTER
from chatpost.outbox.resolver import reference_to
from chatpost.outbox.sqlite import open_outbox
from chatpost.outbox.store import Outbox, Step
from chatpost.profiles.sources import RedisConfig, find_sources

EPILOG = """\b
Examples:
  chatpost outbox                       list the messages
  chatpost outbox flush                 post the pending messages
  chatpost outbox flush --digest        combine messages of a thread into one
  chatpost outbox flush --watch         keep running and post new messages
  chatpost outbox show 12               show a message as JSON
  chatpost outbox retry 12 -p ops       make a message pending again, for another webhook
  chatpost outbox delete 12 13          delete messages
"""

FLUSH_EXAMPLES = """\
chatpost outbox flush
chatpost outbox flush --digest
chatpost outbox flush --quiet    # for cron
chatpost outbox flush --watch    # for a service\
"""

_EMPTY = "the outbox is empty"
_READ_AT_ONCE = 100  # messages, with their contents
_LONGEST_ATTEMPT = 30.0  # seconds
_POLL = 0.1  # seconds between two attempts to lock a space
_PAUSE = 0.02  # seconds in which other processes, which poll for SQLite's lock, can get it


def _parse_id(value: str) -> int:
    if re.fullmatch("[1-9][0-9]{0,17}", value):
        return int(value)
    raise ValueError(f"{value!r:.60} is not a message ID: list the IDs with `chatpost outbox list`")


_ID = Parsed("ID", _parse_id)
_IDS = click.Argument(["ids"], nargs=-1, type=_ID, metavar="[ID]...")
_DEADLINE = Option(
    "--deadline",
    type=Duration(),
    default=Seconds(60),
    help="Time limit for each message, including its wait for a turn.",
)
_PROFILE = click.Option(
    ["-p", "--profile"], metavar="NAME", shell_complete=complete_profile, help="Profile to post the messages to."
)
_ALL = click.Option(["--all", "is_all"], is_flag=True, help="Apply to all messages.")

EACH_MESSAGE = RETRY.replacing(_DEADLINE)
OUTPUT = Section("Output", partial(OutputOptions, output="none", dry_run=False), QUIET, VERBOSE)


@click.group(invoke_without_command=True, params=[CONFIG, LIST_FORMAT], epilog=EPILOG)
@click.pass_context
def outbox(ctx: click.Context, config: Path | None, output: str) -> None:
    """List, flush and manage the messages in the outbox.

    --spool and --spool-only store messages there.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, config=config, output=output)


@outbox.command("list", params=[CONFIG, LIST_FORMAT])
@click.pass_context
def list_(ctx: click.Context, config: Path | None, output: str) -> None:
    """List the messages."""
    if output == "table" and ctx.parent:
        output = ctx.parent.params["output"]
    box = _open(ctx, config)
    index, now = _index(box), time.time()
    if not index:
        say(_EMPTY)
    elif output == "json":
        for message in _with_contents(box, index):
            write_data(as_json(_record(message)))
    else:
        columns = ("ID", "AGE", "STATE", "TO", "THREAD", "ATTEMPTS", "ERROR", "TEXT")
        print_table(columns, [_row(message, now) for message in index])


def _open(ctx: click.Context, config: Path | None) -> Outbox:
    return open_outbox(RedisConfig.of_file(config, ctx.obj.environment))


def _index(box: Outbox) -> list[OutboxMessage]:
    """Return the messages without their contents. Posted ones are left out: their senders delete them."""
    return [message for message in box.index() if message.status.state != "posted"]


def _with_contents(box: Outbox, messages: Sequence[OutboxMessage]) -> Iterator[OutboxMessage]:
    """Yield the messages that still exist, with their contents, which are read in batches."""
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
        format_duration(max(0.0, now - message.origin.written)) if message.origin.written else "-",
        _state(message),
        message.webhook.profile or "CHATPOST_URL",
        message.thread.removeprefix("key ") or "-",
        str(message.status.attempts),
        message.status.error or "-",
        message.preview,
    )


def _state(message: OutboxMessage) -> str:
    return "in flight" if message.is_in_flight else message.status.state


def _record(message: OutboxMessage) -> dict[str, Any]:
    status, request = message.status, message.request
    return {
        "id": message.id,
        "written": message.origin.written,
        "state": _state(message).replace(" ", "_"),
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
@click.argument("id", type=_ID)
@click.pass_context
def show(ctx: click.Context, id: int, config: Path | None) -> None:  # noqa: A002 - the name that users know
    """Show a message as JSON."""
    for message in _with_contents(*_choose(ctx, [id], config, is_all=False)):
        write_data(as_json(_record(message), indent=2))


@outbox.command(
    cls=SectionedCommand,
    sections=(FLUSH, EACH_MESSAGE, OUTPUT),
    short=("digest", "watch", "deadline", "retries", "quiet", "verbose"),
    examples=FLUSH_EXAMPLES,
)
@click.pass_context
def flush(ctx: click.Context, /, **_: object) -> int:
    """Post the pending messages.

    Messages of the same space and thread are posted in order. Exits with 75 if messages remain pending.
    """
    options, policy, output = Settings(ctx).values((FLUSH, EACH_MESSAGE, OUTPUT))
    return (Watcher if options.watch else FlushCommand)(options, policy, output, ctx.obj).run()


@outbox.command(
    short_help="Make messages pending again, or move them to another profile.",
    params=[_IDS, _ALL, CONFIG, _PROFILE],
)
@click.pass_context
def retry(ctx: click.Context, /, ids: Sequence[int], config: Path | None, profile: str | None, *, is_all: bool) -> None:
    """Make rejected and expired messages pending again, or move messages to another profile."""
    box, found = _choose(ctx, ids, config, is_all=is_all)
    chosen = [message for message in found if message.status.state != "damaged"]
    if ids and len(chosen) < len(found):
        number = next(message.id for message in found if message not in chosen)
        raise InputError(f"message {number} is damaged: delete it with `chatpost outbox delete {number}`")
    reference = None
    if profile is not None:
        (source,) = find_sources((profile,), config, ctx.obj.environment, lambda _: None)
        webhook = source.fetch_webhook(RetryPolicy().timeout)
        for message in chosen:
            space, _, thread = message.thread.partition("/threads/")
            if thread and not message.thread.startswith("key ") and space != webhook.space:
                raise UsageError(
                    f"message {message.id} is for a thread in {space}, but profile {profile} posts to {webhook.space}"
                )
        reference = reference_to(webhook, profile, config)
    left, _ = _change(box, chosen, partial(requeue, webhook=reference, expires_at=box.now() + EXPIRE_AFTER))
    _report(left, "pending: post with `chatpost outbox flush`", len(chosen) - left)


def _change(box: Outbox, chosen: Sequence[OutboxMessage], step: Step) -> tuple[int, int]:
    """Change the messages, and those in a digest with them, while no flush posts to their spaces.

    Returns how many of those chosen still existed, and how many messages were deleted. Raises `StorageError` if a flush
    does not finish its attempt.
    """
    deleted = 0
    with ExitStack() as locks:
        for space in sorted({message.webhook.space for message in chosen}):
            until = time.monotonic() + _LONGEST_ATTEMPT
            while not locks.enter_context(box.lock(space)):
                if time.monotonic() > until:
                    raise StorageError("the outbox", "another process is posting its messages; try again later")
                time.sleep(_POLL)
        index = _index(box)
        left = {message.id for message in index} & {message.id for message in chosen}
        for space, batch in batches(index, left):
            deleted += len(batch) - len(box.change(space, batch, step) or ())
            time.sleep(_PAUSE)
    return len(left), deleted


def _report(count: int, outcome: str, posted: int) -> None:
    messages = "1 message" if count == 1 else f"{count} messages"
    say(f"{messages} {outcome}{f'; {posted} had already been posted' if posted else ''}")


@outbox.command(
    "delete", params=[_IDS, _ALL, CONFIG, click.Option(["--yes"], is_flag=True, help="Skip the confirmation.")]
)
@click.pass_context
def delete_(ctx: click.Context, /, ids: Sequence[int], config: Path | None, *, is_all: bool, yes: bool) -> None:
    """Delete messages from the outbox without posting them."""
    box, chosen = _choose(ctx, ids, config, is_all=is_all)
    if is_all and not yes:
        all_of_them = "1 message" if len(chosen) == 1 else f"all {len(chosen)} messages"
        if not is_terminal(ctx.obj.stdin):
            raise UsageError(f"this would delete {all_of_them}: add --yes to confirm")
        if not click.confirm(f"Delete {all_of_them}?", err=True):
            return
    left, deleted = _change(box, chosen, delete)
    _report(deleted, "deleted", len(chosen) - left)


def _choose(
    ctx: click.Context, ids: Sequence[int], config: Path | None, *, is_all: bool
) -> tuple[Outbox, list[OutboxMessage]]:
    """Return the outbox, and the messages with these ids or all; exit if it is empty.

    Raises `InputError` if a message does not exist.
    """
    box = _open(ctx, config)
    if bool(ids) == is_all:
        raise UsageError("specify message IDs, or --all")
    index = {message.id: message for message in _index(box)}
    for number in ids:
        if number not in index:
            raise InputError(
                f"there is no message {number} in the outbox: list the messages with `chatpost outbox list`"
            )
    if not index:
        say(_EMPTY)
        ctx.exit()
    return box, list(index.values()) if is_all else [index[number] for number in dict.fromkeys(ids)]
