"""Posts lines into a thread, one reply after the other, and loses none without saying so."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.cli.console import say
from chatpost.cli.options import ENVELOPE, STYLE
from chatpost.commands.sending import TIMING
from chatpost.content.markup import fenced
from chatpost.delivery.model import Delivery, Progress
from chatpost.delivery.retry import FIRST_WAIT
from chatpost.errors import ExitStatus, InvalidMessage

if TYPE_CHECKING:
    from chatpost.cli.reporter import Reporter
    from chatpost.cli.settings import Settings
    from chatpost.delivery.model import RequestFactory
    from chatpost.delivery.sender import Sender
    from chatpost.follow.stream import Lines

LAST_LIMIT = SIZE_LIMIT - 100
"""Bytes that the last message of a thread can have, below a line that says how many lines were lost."""

_NO_LIMIT = 1_000_000
_SHARE_OF_LINES = 0.75  # of a deadline that is for all: the rest is for the last message
_LEAST_PATIENCE = 2.0  # seconds: a turn takes more than one


class Replies:
    """Posts lines into the thread that ``opening`` has opened.

    The lines of a reply that fails for now go with the next reply. If it may have been posted, it is sent again as it
    was, under its request id. After the end of the stream a reply gets one more try until its deadline; then the rest
    is lost. ``lost`` counts the lines that were lost, and ``status`` is that of the failure that lost them. Before the
    time ``not_before``, a reply waits for more lines. ``is_bounded``: the deadline is for all that is left at the end
    of the stream.
    """

    def __init__(self, lines: Lines, opening: Delivery, sender: Sender, settings: Settings, reporter: Reporter) -> None:
        created, policy = opening.progress.created, opening.to.policy
        self._thread = Thread(name=created.thread_name if created else None)
        # A reply is tried until its deadline, unless the user has limited the attempts.
        self._policy = policy if settings.is_set("retries") else policy._replace(retries=_NO_LIMIT)
        self._to = opening.to._replace(thread=self._thread, policy=self._policy)
        self._lines = lines
        self._sender = sender
        self._style = settings[STYLE]
        self._silent = settings[ENVELOPE].silent
        self._reporter = reporter
        self._taken: list[str] = []
        self._uncertain: CreateMessageRequest | None = None
        self._hold_until = -inf
        self._is_refused = False
        self._late_at = self._ends_at = inf
        self.is_bounded = False
        self.not_before = -inf
        self.lost = 0
        self.status = ExitStatus.OK

    @property
    def unposted(self) -> int:
        """The number of lines that were read and are not posted."""
        return self.lost + len(self._taken) + self._lines.waiting.lines

    def post_all(self, every: float) -> bool:
        """Post the lines until the stream ends; return False if nothing more can be posted.

        The first lines go at once, later ones every so many seconds, unless a reply is full or the stream has ended.
        """
        while self._hold():
            if not self._taken and not self._lines.wait(self.not_before):
                return True
            if self._is_late() or not self._post_lines():
                break
            self.not_before = TIMING.clock() + every
        self.lost += len(self._taken) + self._lines.drop()
        self._taken = []
        return False

    def close(self, last: str | None) -> None:
        """Post the last message of the thread. If lines were lost, say how many, there and on stderr."""
        note = None
        if self.lost:
            note = f"[{lines_are(self.lost)} lost]"
            say(f"{lines_are(self.lost)} lost: not everything was posted")
        text = "\n".join(filter(None, (note, last)))
        if text and not self._is_refused:
            request = self._request(Message(text, self._style.markdown))
            self._late_at = self._ends_at  # the rest of the time is for this message
            delivery = self._deliver(request.request_id, lambda _: request)
            status = self._reporter.report(delivery)
            self.status = self.status or status

    def _is_late(self) -> bool:
        """Return whether what is left of the deadline is for the last message, if the deadline is for all."""
        if self.is_bounded and self._lines.has_ended and self._late_at == inf:
            self._ends_at = TIMING.clock() + self._policy.deadline
            self._late_at = TIMING.clock() + self._policy.deadline * _SHARE_OF_LINES
        return TIMING.clock() >= self._late_at

    def _hold(self) -> bool:
        """Wait until it makes sense to try again; return False if the stream has ended, and that is too late."""
        while (rest := self._hold_until - TIMING.clock()) > 0:
            if not self._lines.has_ended:
                self._lines.wait_for_end(rest)
            elif rest > self._policy.deadline:
                return False
            else:
                TIMING.sleep(rest)
        return True

    def _post_lines(self) -> bool:
        """Post one reply; return whether there can be another."""
        is_last_try = self._lines.has_ended
        uncertain = self._uncertain
        if uncertain is not None:
            delivery = self._deliver(uncertain.request_id, lambda _: uncertain)
        else:
            request_id = str(uuid4())
            delivery = self._deliver(request_id, lambda _: self._draft(request_id))
        progress, error = delivery.progress, delivery.progress.error
        if error is None:
            self._taken, self._uncertain = [], None
            self._reporter.report(delivery)
            return True
        is_invalid = isinstance(error, InvalidMessage)  # only these lines are at fault
        goes_on = error.is_transient and (is_invalid or not is_last_try)
        keeps = goes_on and not is_invalid
        known = "Its lines wait for the next reply." if keeps else "Its lines are lost."
        if is_invalid:
            self.lost += len(self._taken)
            self._taken, self._uncertain = [], None
        elif progress.maybe_posted:
            self._uncertain = progress.request
        else:
            self._lines.put_back(self._taken)
            self._taken, self._uncertain = [], None
        self._hold_until = TIMING.clock() + max(FIRST_WAIT, error.retry_after or 0)
        self._is_refused = not error.is_transient
        self._reporter.report(delivery, known)
        if not keeps:
            self.status = self.status or error.exit_status
        return goes_on

    def _deliver(self, request_id: str, draft: RequestFactory) -> Delivery:
        progress = Progress()
        seconds = min(self._policy.deadline, max(_LEAST_PATIENCE, self._late_at - TIMING.clock()))
        deadline = _Patience(seconds, self._lines, progress)
        return self._sender.deliver(Delivery(self._to, request_id, [draft], deadline, progress))

    def _draft(self, request_id: str) -> CreateMessageRequest:
        self._taken = self._lines.take()
        style = self._style
        text = fenced("\n".join(self._taken), style.language, is_markdown=style.is_markdown)
        return self._request(Message(text, style.is_markdown), request_id)

    def _request(self, message: Message, request_id: str | None = None) -> CreateMessageRequest:
        fallback = MessageReplyOption.FALLBACK_TO_NEW_THREAD
        return CreateMessageRequest(message, request_id or str(uuid4()), self._thread, fallback, silent=self._silent)


class _Patience:
    """The time that a reply has. While the stream goes on, the wait for its first attempt does not count."""

    def __init__(self, seconds: float, lines: Lines, progress: Progress) -> None:
        self._seconds = seconds
        self._lines = lines
        self._progress = progress
        self._end: float | None = None

    def left(self) -> float:
        """Return the seconds that are left, never below 0."""
        if self._end is None:
            if not self._lines.has_ended and not self._progress.attempts:
                return inf
            self._end = TIMING.clock() + self._seconds
        return max(0.0, self._end - TIMING.clock())


def lines_are(lines: int) -> str:
    """Return so many lines in words, with their verb."""
    return "1 line is" if lines == 1 else f"{lines} lines are"
