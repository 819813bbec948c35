"""Builds the message of a job's outcome: one line, then the end of its output."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from chatpost.chat.message import SIZE_LIMIT, Message
from chatpost.content.cards import QuickCard
from chatpost.content.compose import less_room, one_message
from chatpost.content.decoding import Decoder
from chatpost.content.markup import Style, escape_mentions, fenced
from chatpost.content.split import tail
from chatpost.content.terminal import screen_text
from chatpost.formatting import format_duration
from chatpost.jobs.transitions import Transition

if TYPE_CHECKING:
    from chatpost.jobs.process import ExitResult


def outcome_line(name: str, result: ExitResult, transition: Transition | None, *, is_markdown: bool) -> str:
    """Return the outcome of a job as one line; ``transition`` is the one to report, if any."""
    host, took = socket.gethostname(), format_duration(result.seconds)
    name = f"**{name}**" if is_markdown else f"*{name}*"
    if result.failure is not None:
        what = f"{name} on {host} could not be started: {result.failure}"
    elif result.time_limit is not None:
        what = f"{name} on {host} was stopped after {took}: the time limit is {format_duration(result.time_limit)}"
    elif result.lost_output is not None:
        what = f"{name} on {host} lost its output after {took}: {result.lost_output}"
    elif result.signal is not None:
        names = {number.value: number.name for number in signal.Signals}  # without real-time signals
        cause = names.get(result.signal, f"signal {result.signal}")
        why = " (out of memory?)" if result.signal == signal.SIGKILL else ""
        what = f"{name} on {host} was killed by {cause}{why} after {took}"
    elif result.status:
        what = f"{name} failed on {host}: exit status {result.status} after {took}"
    else:
        verb = "recovered" if transition and transition.kind == "recovery" else "succeeded"
        what = f"{name} {verb} on {host} in {took}"
    return f"{'❌' if result.status else '✅'} {what}{_before(transition) if transition else ''}"


def _before(transition: Transition) -> str:
    """Return the earlier runs, as the end of a sentence."""
    failures = "1 failure" if transition.failures == 1 else f"{transition.failures} failures"
    if transition.kind == "recovery":
        return f", after {failures} in {format_duration(transition.failing_for)}"
    if transition.kind == "still":
        return f", {failures} in a row for {format_duration(transition.failing_for)}"
    before = f", {failures} in a row" if transition.failures > 1 else ""
    if transition.well_for is not None:
        before += f", after {format_duration(transition.well_for)} without a failure"
    return before if transition.kind == "failure" else ""


class Tail(NamedTuple):
    """The end of a job's output, as a terminal would show it, and the number of lines before it."""

    text: str
    lines_before: int = 0

    @classmethod
    def read(cls, raw: bytes, lines_before: int, mask: Callable[[str], str]) -> Tail:
        """Decode the output; ``mask`` removes its secrets."""
        text = Decoder("utf-8" if lines_before else None).decode(raw, final=True)
        return cls(mask(screen_text(text).rstrip("\n")), lines_before)


def report(outcome: str, output: Tail, lines: int, style: Style, quick: QuickCard | None) -> Message:
    """Return the message: the outcome, and at most ``lines`` lines of the output's end, as code.

    A note gives the number of missing lines, if any. Raises `DataError` if the outcome alone is too long.
    """
    shown = output.text.split("\n")[-lines:] if lines and output.text else []
    kept, room, words = "\n".join(shown), SIZE_LIMIT, outcome
    before = output.lines_before + output.text.count("\n") + bool(output.text) - len(shown)
    inner = style._replace(code=False, language=None, markdown=style.is_markdown)
    while True:
        if kept:
            end = tail(kept, room, syntax="plain")
            left_out = before + kept.count("\n") - end.count("\n")
            gone = "1 line" if left_out == 1 else f"{left_out:,} lines"
            note = f"[{gone} omitted before this]\n" if left_out else ""
            end = end if style.allow_mentions else escape_mentions(end)
            words = f"{outcome}\n{note}{fenced(end, style.language, is_markdown=style.is_markdown)}"
        message = one_message(words, inner, quick)
        if message.size <= SIZE_LIMIT:
            return message
        room = less_room(room, message)
