"""What a user gets: data on stdout, and plain sentences for a person on stderr. The only importer of rich."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from chatpost.chat.webhook import mask_urls
from chatpost.delivery.retry import Attempt, PartPosted, Pause
from chatpost.errors import BrokenAnswer, ChatpostError, DeliveryError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.progress import Progress, TaskID

    from chatpost.chat.message import CreateMessageRequest
    from chatpost.delivery.sender import Delivery, Result

# Seconds that a person at a terminal waits without being told why.
_LONG_PAUSE = 2.0

FORMATS = ("name", "thread", "json")
"""What a line on stdout can be, for each message."""


def write_data(line: str) -> None:
    """Write a line to stdout, at once.

    Who has closed stdout wants no data, and that is no error. Raises `OutputError` where it cannot be written.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (AttributeError, BrokenPipeError):  # AttributeError: the process was started without a stdout
        pass
    except OSError as failure:
        msg = f"stdout could not be written: {os.strerror(failure.errno or 0).lower()}"
        raise OutputError(msg) from None


def _write_aside(line: str) -> None:
    with suppress(AttributeError, OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def say(sentence: str) -> None:
    """Say a sentence to a person on stderr; where there is none to hear, that is no error."""
    line = f"chatpost: {mask_urls(sentence)}\n"
    with suppress(AttributeError, OSError):
        try:
            sys.stderr.write(line)
            sys.stderr.flush()
        except RuntimeError:  # last words, which a signal has called for in the middle of others
            os.write(sys.stderr.fileno(), line.encode(errors="replace"))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person may be looking at a stream."""
    return stream is not None and stream.isatty()


class Reporter:
    """Tells what happened: ``format`` (one of `FORMATS`) to stdout, or ``aside`` of it, the story to stderr."""

    def __init__(
        self,
        format: str = "name",  # noqa: A002 - ours
        *,
        quiet: bool = False,
        verbose: bool = False,
        aside: bool = False,
    ) -> None:
        self._write = _write_aside if aside else write_data
        self._posted = 0
        self._next_turn = 0.0
        # Asked before rich puts something of its own in stderr's place.
        self._has_reader = not quiet and is_terminal(sys.stderr)
        self.format = format
        self.quiet = quiet
        self.verbose = verbose
        self._bar = _PartsBar()

    def tell(self, delivery: Delivery, fact: Attempt | Pause | PartPosted) -> None:
        """Tell of a failed attempt that is tried again; of every attempt and pause with ``verbose``."""
        if isinstance(fact, Pause):
            self._next_turn = time.monotonic() + fact.seconds
        if isinstance(fact, Attempt):
            self._tell_of_attempt(delivery, fact)
        elif isinstance(fact, PartPosted):
            if self._has_reader:
                self._bar.show(delivery.profile or "posting", fact)
        elif self.verbose or (self._has_reader and fact.seconds > _LONG_PAUSE):
            say(f"{_label(delivery)}waiting {fact.seconds:.1f} s for the space's turn")

    def broken_off(self, what: str, deliveries: Sequence[Delivery]) -> None:
        """Tell that the command was broken off, and what is known of each message that was not reported yet."""
        self._bar.close()
        for delivery in deliveries:
            if not delivery.progress.is_over:
                say(f"{_label(delivery)}{what}. {_what_is_known(delivery)}")
        if not deliveries:
            say(f"{what}. Nothing was posted.")

    def _tell_of_attempt(self, delivery: Delivery, attempt: Attempt) -> None:
        if self.verbose:
            request, part = delivery.request, ""
            if len(delivery.parts) > 1:
                number = delivery.progress.parts_posted + (attempt.error is not None)
                request = request.of_part(number, delivery.parts[number - 1], delivery.progress.created)
                part = f"part {number} of {len(delivery.parts)}, "
            url = delivery.webhook.masked_url(request.parameters())
            outcome = "posted" if attempt.error is None else str(attempt.error)
            say(f"{_label(delivery)}{part}attempt {attempt.number}: POST {url}: {outcome} ({attempt.seconds:.2f} s)")
        if attempt.wait is not None and not self.quiet:
            again = f"trying again in {attempt.wait:.1f} s"
            say(f"{_label(delivery)}{again}" if self.verbose else f"{_label(delivery)}{attempt.error}; {again}")

    def warning(self, sentence: str) -> None:
        """Tell of what is done all the same, though it may not be what was meant."""
        if not self.quiet:
            say(f"warning: {sentence}")

    def result(self, result: Result) -> None:
        """Give the message's line on stdout, or say what went wrong.

        Raises `OutputError` that names the message where stdout cannot be written.
        """
        outcome, delivery = result.outcome, result.delivery
        self._bar.close()
        if outcome.error is not None:
            say(f"{_label(delivery)}{_what_went_wrong(result)}")
        if self.format == "json":
            line = json.dumps(_record(result))
        elif outcome.created is not None and outcome.error is None:
            line = outcome.created.name if self.format == "name" else outcome.created.thread_name
        else:
            return
        self._posted += outcome.error is None
        try:
            self._write(line)
        except OutputError as failure:
            if outcome.created is None:
                raise
            msg = f"{_label(delivery)}{failure}, but the message was posted: {outcome.created.name}"
            raise OutputError(msg) from None

    def failure(self, error: ChatpostError) -> None:
        """Tell of an error that came before anything was posted, or that has no message of its own."""
        say(str(error))
        if self.format == "json" and not isinstance(error, OutputError):
            with suppress(OutputError):  # the error that there was counts
                self._write(json.dumps(_failure_record(error)))

    @contextmanager
    def following(self, waiting: Callable[[], int]) -> Iterator[None]:
        """Draw a line at a terminal that tells how many messages are posted, and how many lines are waiting."""
        if not self._has_reader:
            yield
            return
        from rich.console import Console  # only a person who watches a stream waits for rich
        from rich.live import Live
        from rich.text import Text

        def line() -> Text:
            turn = max(0.0, self._next_turn - time.monotonic())
            free = f"the space is free in {turn:.0f} s" if turn else "the space is free"
            count = waiting()
            lines = "1 line" if count == 1 else f"{count} lines"
            return Text(f"{self._posted} posted, {lines} waiting, {free}", style="dim")

        with Live(get_renderable=line, console=Console(stderr=True), refresh_per_second=4, transient=True):
            yield


def print_json(value: Any, *, one_line: bool, mask: Callable[[str], str] = mask_urls) -> None:
    """Write a JSON value to stdout, on one line or, for a person, on several; ``mask`` takes secrets out."""
    write_data(json.dumps(_masked(value, mask), indent=None if one_line else 2))


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _masked(item, mask) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    return mask(value) if isinstance(value, str) else value


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to stdout: drawn at a terminal; in a pipe a line a row, with tabs and without a head."""
    rows = [[mask_urls(cell) for cell in row] for row in rows]
    if not is_terminal(sys.stdout):
        for row in rows:
            write_data("\t".join(row))
        return
    from rich.console import Console  # only a person at a terminal waits for rich
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_trees(title: str, trees: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Draw spaces with their threads, and the messages of each, on stderr."""
    from rich.console import Console  # only a person who looks at a space waits for rich
    from rich.text import Text
    from rich.tree import Tree

    console = Console(stderr=True)
    console.print(Text(title))
    for name, threads in trees.items():
        tree = Tree(Text(name, style="bold"))
        for messages in threads.values():
            first, *replies = messages
            branch = tree.add(Text(first))
            for reply in replies:
                branch.add(Text(reply))
        console.print(tree)


class _PartsBar:
    """Draws how many parts of long texts are posted, at a terminal; a line for each text."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, fact: PartPosted) -> None:
        from rich.console import Console  # only a person who waits for parts waits for rich
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._progress is None:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=fact.of)
        self._progress.update(self._tasks[name], completed=fact.number, refresh=True)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._tasks = None, {}


def _label(delivery: Delivery) -> str:
    return f"{delivery.profile}: " if delivery.profile else ""


def _what_went_wrong(result: Result) -> str:
    """Compose the line for a failed message: what happened, whether it may stand there, how to go on."""
    outcome = result.outcome
    what = f"{outcome.error}; {outcome.gave_up}" if outcome.gave_up else f"{outcome.error}"
    if len(result.delivery.parts) > 1:
        return f"{what}. {_parts_posted(result.delivery)}"
    if not outcome.maybe_posted:
        return f"{what}. Nothing was posted."
    return f"{what}. {_may_be_posted(result.delivery.request, probably=isinstance(outcome.error, BrokenAnswer))}"


def _parts_posted(delivery: Delivery) -> str:
    progress, count, request_id = delivery.progress, len(delivery.parts), delivery.request.request_id
    if not progress.parts_posted and not progress.maybe_posted:
        return "Nothing was posted."
    known = f"{progress.parts_posted} of {count} parts are posted"
    if progress.maybe_posted:
        known += ", and the next may be"
    return f"{known}; to post the rest without a double, post the same text with --request-id {request_id}"


def _what_is_known(delivery: Delivery) -> str:
    if len(delivery.parts) > 1:
        return _parts_posted(delivery)
    if delivery.progress.created is not None:
        return f"The message was posted: {delivery.progress.created.name}"
    return _may_be_posted(delivery.request) if delivery.progress.maybe_posted else "Nothing was posted."


def _may_be_posted(request: CreateMessageRequest, *, probably: bool = False) -> str:
    how_likely = "was probably" if probably else "may have been"
    return f"The message {how_likely} posted; to try again without a double, add --request-id {request.request_id}"


def _record(result: Result) -> dict[str, Any]:
    request, outcome = result.delivery.request, result.outcome
    thread = request.thread
    asked_name = thread.name if thread else None
    return {
        "profile": result.delivery.profile,
        "name": outcome.created.name if outcome.created else None,
        "thread": {
            "name": outcome.created.thread_name if outcome.created else asked_name,
            "threadKey": thread.key if thread else None,
        },
        "requestId": request.request_id,
        "parts": {"posted": result.delivery.progress.parts_posted, "of": len(result.delivery.parts)},
        "attempts": outcome.attempts,
        "error": None if outcome.error is None else _error(outcome.error, _what_went_wrong(result)),
    }


def _failure_record(error: ChatpostError) -> dict[str, Any]:
    return {
        "profile": None,
        "name": None,
        "thread": {"name": None, "threadKey": None},
        "requestId": None,
        "parts": {"posted": 0, "of": 0},
        "attempts": 0,
        "error": _error(error, str(error)),
    }


def _error(error: ChatpostError, message: str) -> dict[str, Any]:
    answered = error if isinstance(error, DeliveryError) else None
    return {
        "exit": int(error.exit_status),
        "code": answered.code if answered else None,
        "status": answered.status if answered else None,
        "message": mask_urls(message),
    }
