"""`chatpost thread --follow`: what stdin holds becomes replies in the thread, as it comes."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING
from uuid import uuid4

from chatpost.chat.message import CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.cli.signals import die_of
from chatpost.cli.targets import TIMING
from chatpost.content.markup import fenced
from chatpost.content.stream import Lines, read_lines
from chatpost.delivery.retry import Progress
from chatpost.delivery.sender import Delivery, deliver_when_free
from chatpost.errors import ChatpostError, ExitStatus, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from chatpost.chat.client import ChatClient
    from chatpost.chat.message import CreatedMessage
    from chatpost.cli.options import PostOptions
    from chatpost.cli.output import Reporter
    from chatpost.delivery.pacing import Pacer


class Stream:
    """Stdin on its way into a thread. It is read from the beginning, and to its end whatever becomes of the replies.

    So whoever writes it never dies of a pipe that nobody reads.
    """

    def __init__(self, *, tee: bool, last: str | None) -> None:
        self._lines = Lines()
        self._last = last
        self._signal: int | None = None
        if sys.stdin is None:
            self._lines.close()
            return
        pass_on = _Tee() if tee else lambda _: None
        reader = threading.Thread(target=read_lines, args=(sys.stdin.fileno(), self._lines, pass_on), daemon=True)
        reader.start()

    def post(
        self, opening: Delivery, options: PostOptions, client: ChatClient, pacer: Pacer, reporter: Reporter
    ) -> ExitStatus:
        """Post the lines into the thread that `opening` has opened; return the status of the first reply that failed.

        A reply that fails for now has been tried until its deadline, and is then given up; where none can succeed, no
        more are tried. A signal ends the reading; what waits is still posted, and the process then dies of the signal.
        """
        created = opening.progress.created
        if created is None:
            return ExitStatus.OK
        replies = _Replies(opening, created, options, client, pacer, reporter)
        with reporter.following(lambda: self._lines.waiting.lines):
            while not replies.are_refused and self._lines.wait():
                replies.post(lambda: Message(fenced(self._lines.take(), options.code or None), bool(options.code)))
            if self._last and not replies.are_refused:
                replies.post(lambda: Message(str(self._last), options.markdown))
            self.drain()
        if self._signal is not None:
            die_of(self._signal)
        return replies.status

    def ends_by_itself(self, number: int, deliveries: Sequence[Delivery]) -> bool:
        """Take a signal: once the thread is open, it ends the reading, and what waits is still posted."""
        if not deliveries or deliveries[0].progress.created is None:
            return False
        self._signal = number
        self._lines.close()
        return True

    def drain(self) -> None:
        """Read on to the end, and keep nothing."""
        while self._lines.wait():
            self._lines.take()


class _Replies:
    """Posts one reply after the other, and reports it."""

    def __init__(
        self,
        opening: Delivery,
        created: CreatedMessage,
        options: PostOptions,
        client: ChatClient,
        pacer: Pacer,
        reporter: Reporter,
    ) -> None:
        self._opening = opening
        self._thread = Thread(name=created.thread_name)
        self._silent = options.silent
        self._client = client
        self._pacer = pacer
        self._reporter = reporter
        self.status = ExitStatus.OK
        self.are_refused = False

    def post(self, message: Callable[[], Message]) -> None:
        """Post what `message` returns once the space is free for it."""
        fallback = MessageReplyOption.FALLBACK_TO_NEW_THREAD
        request = CreateMessageRequest(Message(""), str(uuid4()), self._thread, fallback, silent=self._silent)
        delivery = self._opening._replace(request=request, parts=(request.message,), progress=Progress())
        result = deliver_when_free(delivery, message, self._client, self._pacer, TIMING, self._reporter.tell)
        error: ChatpostError | None = result.outcome.error
        if result.outcome.error is not None:
            self.are_refused = not result.outcome.error.is_passing
        try:
            self._reporter.result(result)
        except OutputError as failure:
            self._reporter.failure(failure)
            error = error or failure
        if error is not None and self.status == ExitStatus.OK:
            self.status = error.exit_status


class _Tee:
    """Passes on to stdout what stdin holds, until nobody wants it any more."""

    def __init__(self) -> None:
        self._is_wanted = sys.stdout is not None

    def __call__(self, chunk: bytes) -> None:
        while chunk and self._is_wanted:
            try:
                chunk = chunk[os.write(sys.stdout.fileno(), chunk) :]
            except OSError:
                self._is_wanted = False
