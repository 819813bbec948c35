"""`chatpost thread --follow`: what comes on stdin becomes replies in the thread, as it comes."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.cli.sections import ENVELOPE, STYLE
from chatpost.cli.signals import die_of
from chatpost.cli.targets import TIMING
from chatpost.content.markup import fenced
from chatpost.content.stream import Lines, read_lines
from chatpost.delivery.model import Deadline, Delivery, Progress
from chatpost.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatpost.cli.option import Settings
    from chatpost.cli.reporter import Reporter
    from chatpost.delivery.sender import Sender


class Stream:
    """Stdin on its way into a thread. It is read from the start and to its end, whatever becomes of the replies.

    So its writer never dies of a pipe that nobody reads. ``opening`` is the delivery that opens the thread.
    """

    def __init__(self, *, tee: bool, last: str | None) -> None:
        self.tee = tee
        self.opening: Delivery | None = None
        self._lines = Lines()
        self._last = last
        self._signal: int | None = None
        if sys.stdin is None:
            self._lines.close()
            return
        pass_on = _Tee() if tee else lambda _: None
        reader = threading.Thread(target=read_lines, args=(sys.stdin.fileno(), self._lines, pass_on), daemon=True)
        reader.start()

    def post(self, sender: Sender, settings: Settings, reporter: Reporter) -> ExitStatus:
        """Post the lines into the thread that was opened; return the status of the first reply that failed.

        A reply that fails is tried until its deadline, then given up. If no reply can succeed, no more are tried. A
        signal ends the reading: what waits is still posted, and the process then dies of the signal.
        """
        opening = self.opening
        if opening is None or opening.progress.created is None:
            return ExitStatus.OK
        thread = Thread(name=opening.progress.created.thread_name)
        style, silent = settings[STYLE], settings[ENVELOPE].silent
        status, is_refused = ExitStatus.OK, False

        def reply(message: Callable[[], Message]) -> None:
            nonlocal status, is_refused
            request_id, fallback = str(uuid4()), MessageReplyOption.FALLBACK_TO_NEW_THREAD
            delivery = opening._replace(
                request_id=request_id,
                drafts=[lambda _: CreateMessageRequest(message(), request_id, thread, fallback, silent=silent)],
                deadline=Deadline(opening.to.policy.deadline, TIMING.clock),
                progress=Progress(),
            )
            error = sender.deliver(delivery).progress.error
            outcome = reporter.result(delivery)
            status = status or outcome
            is_refused = error is not None and not error.is_passing

        with reporter.following(lambda: self._lines.waiting.lines):
            while not is_refused and self._lines.wait():
                reply(lambda: Message(fenced(self._lines.take(), style.code or None), bool(style.code)))
            if self._last and not is_refused:
                reply(lambda: Message(str(self._last), style.markdown))
            self.drain()
        if self._signal is not None:
            die_of(self._signal)
        return status

    def ends_by_itself(self, number: int) -> bool:
        """Take a signal. Once the thread is open, it ends the reading, and what waits is still posted."""
        if self.opening is None or self.opening.progress.created is None:
            return False
        self._signal = number
        self._lines.close()
        return True

    def drain(self) -> None:
        """Read on to the end, and keep nothing."""
        while self._lines.wait():
            self._lines.take()


class _Tee:
    """Passes stdin on to stdout, until nobody wants it any more."""

    def __init__(self) -> None:
        self._is_wanted = sys.stdout is not None

    def __call__(self, chunk: bytes) -> None:
        while chunk and self._is_wanted:
            try:
                chunk = chunk[os.write(sys.stdout.fileno(), chunk) :]
            except OSError:
                self._is_wanted = False
