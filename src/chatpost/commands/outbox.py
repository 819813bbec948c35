"""`chatpost outbox`: list, show, flush, retry and drop messages that wait for a better time."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from chatpost.cli.app import SectionedCommand
from chatpost.cli.command_options import FLUSH, LIST_FORMAT
from chatpost.cli.completion import complete_profile
from chatpost.cli.console import as_json, is_terminal, print_table, say, write_data
from chatpost.cli.options import CONFIG, KEEP_FOR, QUIET, RETRY, VERBOSE, OutputOptions
from chatpost.cli.settings import Option, Section, Settings
from chatpost.cli.types import Seconds
from chatpost.commands.flushing import flush_outbox
from chatpost.delivery.retry import RetryPolicy
from chatpost.durations import duration
from chatpost.errors import InputError, StorageError, UsageError
from chatpost.outbox.rows import packed_path
from chatpost.outbox.spooler import find_outbox, fingerprint
from chatpost.profiles.redis_config import RedisConfig
from chatpost.profiles.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from chatpost.outbox.model import Entry, Outbox

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
_WIDTH = 60
_LONGEST_ATTEMPT = 30.0
_POLL = 0.1


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
    RETRY.heading,
    RETRY.make,
    *(_DEADLINE if option.key == "deadline" else option for option in RETRY.options),
)
TELLING_FLUSH = Section("Output", lambda **told: OutputOptions("none", dry_run=False, **told), QUIET, VERBOSE)


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


def _config(ctx: click.Context, config: Path | None) -> Path | None:
    """Return ``--config``, whether it stands before the subcommand or after it."""
    return config or (ctx.parent.params.get("config") if ctx.parent else None)


def _find(ctx: click.Context, config: Path | None) -> Outbox:
    """Return the outbox on this machine, or the fleet's."""
    return find_outbox(RedisConfig.of_file(_config(ctx, config), os.environ))


def _list(box: Outbox, output: str) -> None:
    entries, now = box.entries(), time.time()
    if not entries:
        say(_EMPTY)
    if output == "json":
        for entry in entries:
            write_data(as_json(_record(entry)))
        return
    columns = ("ID", "AGE", "STATE", "TO", "THREAD", "TRIES", "ERROR", "TEXT")
    if entries or not is_terminal(sys.stdout):
        print_table(columns, [_row(entry, now) for entry in entries])


def _row(entry: Entry, now: float) -> tuple[str, ...]:
    thread = entry.request.thread
    return (
        str(entry.id),
        duration(max(0.0, now - entry.written)),
        entry.state,
        entry.profile or "CHATPOST_URL",
        "-" if thread is None else str(thread.key or thread.name),
        str(entry.attempts),
        entry.error or "-",
        _words(entry),
    )


def _words(entry: Entry) -> str:
    message = entry.request.message
    text = message.text or message.fallback_text or "(a card)"
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= _WIDTH else f"{words[: _WIDTH - 3]}..."


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "written": entry.written,
        "state": entry.state,
        "host": entry.host,
        "profile": entry.profile,
        "space": entry.space.rpartition("/spaces/")[2],
        "requestId": entry.request.request_id,
        "attempts": entry.attempts,
        "error": entry.error,
        "digest": entry.digest if entry.digest != entry.id else None,
        "parameters": entry.request.parameters(),
        "body": entry.request.body(),
    }


@outbox.command(params=[CONFIG])
@click.argument("id", type=_MessageNumber())
@click.pass_context
def show(ctx: click.Context, id: int, config: Path | None) -> None:  # noqa: A002 - the name that users know
    """Show a message as JSON."""
    box = _find(ctx, config)
    _chosen(box, [id], is_all=False)
    if entry := box.get(id):
        write_data(as_json(_record(entry), indent=2))


@outbox.command(
    cls=SectionedCommand,
    sections=(FLUSH, EACH_MESSAGE, TELLING_FLUSH),
    short=("digest", "watch", "deadline", "retries", "quiet", "verbose"),
    examples=FLUSH_EXAMPLES,
)
@click.pass_context
def flush(ctx: click.Context, /, **_: object) -> int:
    """Post what waits in the outbox.

    In each space and thread the messages are posted in their order. Exits with 75 if some have to wait on.
    """
    settings = Settings(ctx)
    flushing = settings[FLUSH]
    flushing = flushing._replace(config=_config(ctx, flushing.config))
    if flushing.watch:
        from chatpost.commands.watching import watch_outbox  # few stay

        watch_outbox(flushing, settings[EACH_MESSAGE], settings[TELLING_FLUSH], ctx.obj)
    return flush_outbox(flushing, settings[EACH_MESSAGE], settings[TELLING_FLUSH], ctx.obj)


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
    config = _config(ctx, config)
    box = _find(ctx, config)
    chosen = _chosen(box, ids, is_all=is_all)
    if not chosen:
        say(_EMPTY)
        return
    target = None if profile is None else _webhook_of(box, chosen, profile, config)
    with _not_being_sent(box, chosen):
        if target is not None:
            box.move(chosen, target)
        box.retry(chosen, time.time() + KEEP_FOR)
        left = len(box.states().keys() & chosen)
    say(f"{_count(left)} waiting: `chatpost outbox flush` posts what waits{_meanwhile(len(chosen) - left)}")


def _webhook_of(box: Outbox, ids: Sequence[int], profile: str, config: Path | None) -> Entry:
    """Return a message with the profile's webhook; raises `UsageError` if a message is for a thread elsewhere."""
    (target,) = find_sources((profile,), config, os.environ, lambda _: None)
    webhook = target.fetch_webhook(RetryPolicy().timeout)
    entries = [entry for entry in box.entries() if entry.id in ids]
    if not entries:
        msg = "the messages have been posted meanwhile"
        raise InputError(msg)
    for entry in entries:
        thread = entry.request.thread
        if thread is not None and thread.space not in {None, webhook.space}:
            msg = (
                f"message {entry.id} is for a thread in {thread.space}, and profile {profile} posts to {webhook.space}"
            )
            raise UsageError(msg)
    return entries[0]._replace(
        profile=profile,
        config=None if config is None else packed_path(config),
        fingerprint=fingerprint(webhook),
        space=f"{webhook.origin}/{webhook.space}",
    )


@contextmanager
def _not_being_sent(box: Outbox, ids: Sequence[int]) -> Iterator[None]:
    """Keep flushes from sending the messages in this context; raises `StorageError` if one is being sent for long."""
    known = box.states()
    with ExitStack() as locks:
        for space in sorted({known[number].space for number in ids if number in known}):
            until = time.monotonic() + _LONGEST_ATTEMPT
            while not locks.enter_context(box.lock(space)):
                if time.monotonic() > until:
                    where, why = "the outbox", "its messages are being sent; try again"
                    raise StorageError(where, why)
                time.sleep(_POLL)
        yield


@outbox.command(params=[_IDS, _ALL, CONFIG, click.Option(["--yes"], is_flag=True, help="Do not ask.")])
@click.pass_context
def drop(ctx: click.Context, /, ids: Sequence[int], config: Path | None, *, is_all: bool, yes: bool) -> None:
    """Take messages out of the outbox. They are not posted."""
    box = _find(ctx, config)
    chosen = _chosen(box, ids, is_all=is_all)
    if not chosen:
        say(_EMPTY)
        return
    if is_all and not yes:
        all_of_them = "the only message" if len(chosen) == 1 else f"all {len(chosen)} messages"
        if not is_terminal(sys.stdin):
            msg = f"this would drop {all_of_them}: add --yes"
            raise UsageError(msg)
        if not click.confirm(f"Drop {all_of_them}?", err=True):
            return
    with _not_being_sent(box, chosen):
        gone = len(set(chosen) - box.states().keys())
        dropped = box.drop(chosen)
    say(f"{_count(dropped)} dropped{_meanwhile(gone)}")


def _chosen(box: Outbox, ids: Sequence[int], *, is_all: bool) -> list[int]:
    """Return the ids of messages, each once; raises `InputError` if one does not exist."""
    if bool(ids) == is_all:
        msg = "name messages by their ids, or all of them by --all"
        raise UsageError(msg)
    known = box.states()
    for number in ids:
        if number not in known:
            msg = f"there is no message {number} in the outbox: `chatpost outbox list` shows those there are"
            raise InputError(msg)
    return list(known) if is_all else list(dict.fromkeys(ids))


def _count(messages: int) -> str:
    return "1 message is" if messages == 1 else f"{messages} messages are"


def _meanwhile(messages: int) -> str:
    return f"; {messages} posted meanwhile" if messages else ""
