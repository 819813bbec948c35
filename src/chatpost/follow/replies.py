"""Posts lines into a thread, one reply after the other, and counts those that are lost."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from chatpost.chat.message import SIZE_LIMIT, CreateMessageRequest, Message, MessageReplyOption, Thread
from chatpost.content.markup import Style, fenced
from chatpost.delivery.model import Deadline, Delivery, Progress, RequestFactory
from chatpost.delivery.retry import FIRST_WAIT
from chatpost.errors import ExitStatus, InvalidMessage
from chatpost.follow.stream import Lines

if TYPE_CHECKING:
    from chatpost.delivery.sender import Sender

LAST_LIMIT = SIZE_LIMIT - 100
"""Bytes of the last message of a thread, below a line that says how many lines were lost."""

_NO_LIMIT = 1_000_000
_SHARE_OF_LINES = 0.75  # of a deadline that is for all: the rest is for the last message
_LEAST_PATIENCE = 2.0  # seconds: a turn takes more than one


class ReplyOptions(NamedTuple):
    """How lines are posted: their style, and whether Chat notifies people of them.

    ``has_retries``: the user has limited the retries; else a reply is retried until its deadline. ``is_bounded``: after
    the end of the stream, the deadline is for all that is left.
    """

    style: Style
    silent: bool
    has_retries: bool
    is_bounded: bool


class Replies:
    """Posts lines into the thread that ``opening`` has opened.

    The lines of a reply that fails for now go with the next reply. If it may have been posted, it is sent again
    unchanged, under its request id. After the end of the stream a reply gets one more attempt until its deadline; then
    the rest is lost. ``lost`` counts the lines that were lost, and ``status`` is that of the failure that lost them.
    Before the time ``not_before``, a reply waits for more lines.
    """

    def __init__(
        self,
        lines: Lines,
        opening: Delivery,
        sender: Sender,
        options: ReplyOptions,
        report: Callable[[Delivery, str | None], ExitStatus],
    ) -> None:
        """``report`` reports a delivery, and what is known of its lines after an error; it returns the exit status."""
        created, policy = opening.progress.created, opening.to.policy
        thread = Thread(name=created.thread_name if created else None)
        self._policy = policy if options.has_retries else policy._replace(retries=_NO_LIMIT)
        self._to = opening.to._replace(thread=thread, policy=self._policy)
        self._lines = lines
        self._sender = sender
        self._clock = sender.timing.clock
        self._options = options
        self._report = report
        self._taken: list[str] = []
        self._maybe_posted: CreateMessageRequest | None = None
        self._retry_at = -inf
        self._is_refused = False
        self._late_at = self._ends_at = inf
        self.not_before = -inf
        self.lost = 0
        self.status = ExitStatus.OK

    @property
    def unposted(self) -> int:
        """The number of lines that were read and are not posted."""
        return self.lost + len(self._taken) + self._lines.waiting

    def post_all(self, every: float) -> bool:
        """Post the lines until the stream ends; return False if nothing more can be posted.

        The first lines go at once, later ones every ``every`` seconds, unless a reply is full or the stream has ended.
        """
        while self._cool_down():
            if not self._taken and not self._lines.wait(self.not_before):
                return True
            if self._is_late() or not self._post_lines():
                break
            self.not_before = self._clock() + every
        self.lost += len(self._taken) + self._lines.drop()
        self._taken = []
        return False

    def close(self, last: str | None) -> None:
        """Post the last message of the thread; if lines were lost, it says how many."""
        note = f"[{lines_are(self.lost)} lost]" if self.lost else None
        text = "\n".join(filter(None, (note, last)))
        if text and not self._is_refused:
            request = self._request(Message(text, self._options.style.markdown), str(uuid4()))
            self._late_at = self._ends_at  # the rest of the time is for this message
            delivery = self._deliver(request.request_id, lambda _: request, Progress())
            status = self._report(delivery, None)
            self.status = self.status or status

    def _is_late(self) -> bool:
        """Return whether the rest of the deadline is for the last message, if the deadline is for all."""
        if self._options.is_bounded and self._lines.has_ended and self._late_at == inf:
            self._ends_at = self._clock() + self._policy.deadline
            self._late_at = self._clock() + self._policy.deadline * _SHARE_OF_LINES
        return self._clock() >= self._late_at

    def _cool_down(self) -> bool:
        """Wait until the time of the next attempt; return False if that is too late after the end of the stream."""
        while (wait := self._retry_at - self._clock()) > 0:
            if not self._lines.has_ended:
                self._lines.wait_for_end(wait)
            elif wait > self._policy.deadline:
                return False
            else:
                self._sender.timing.sleep(wait)
        return True

    def _post_lines(self) -> bool:
        """Post one reply; return whether there can be another."""
        is_last_try = self._lines.has_ended
        unclear = self._maybe_posted
        request_id = unclear.request_id if unclear is not None else str(uuid4())
        progress = Progress()
        # An attempt that Chat turns away, or whose turn does not come, says nothing about the one before.
        progress.request, progress.maybe_posted = unclear, unclear is not None
        delivery = self._deliver(request_id, lambda _: unclear or self._take_lines(request_id), progress)
        error = progress.error
        is_invalid = isinstance(error, InvalidMessage)  # only these lines are at fault
        self._maybe_posted = progress.request if progress.maybe_posted and not is_invalid else None
        if is_invalid:
            self.lost += len(self._taken)
        elif error is not None and self._maybe_posted is None:
            self._lines.put_back(self._taken)
        if self._maybe_posted is None:
            self._taken = []
        if error is None:
            self._report(delivery, None)
            return True
        goes_on = error.is_transient and (is_invalid or not is_last_try)
        keeps = goes_on and not is_invalid
        self._retry_at = self._clock() + max(FIRST_WAIT, error.retry_after or 0)
        self._is_refused = not error.is_transient
        self._report(delivery, "Its lines wait for the next reply." if keeps else "Its lines are lost.")
        if not keeps:
            self.status = self.status or error.exit_status
        return goes_on

    def _deliver(self, request_id: str, factory: RequestFactory, progress: Progress) -> Delivery:
        seconds = min(self._policy.deadline, max(_LEAST_PATIENCE, self._late_at - self._clock()))
        deadline = _Patience(seconds, self._lines, progress, self._clock)
        return self._sender.deliver(Delivery(self._to, request_id, [factory], deadline, progress))

    def _take_lines(self, request_id: str) -> CreateMessageRequest:
        self._taken = self._lines.take()
        style = self._options.style
        text = fenced("\n".join(self._taken), style.language, is_markdown=style.is_markdown)
        return self._request(Message(text, style.is_markdown), request_id)

    def _request(self, message: Message, request_id: str) -> CreateMessageRequest:
        fallback = MessageReplyOption.FALLBACK_TO_NEW_THREAD
        return CreateMessageRequest(message, request_id, self._to.thread, fallback, self._options.silent)


class _Patience(Deadline):
    """The time for one reply. While the stream goes on, the wait for its first attempt does not count."""

    def __init__(self, seconds: float, lines: Lines, progress: Progress, clock: Callable[[], float]) -> None:
        super().__init__(inf, clock)
        self._seconds = seconds
        self._lines = lines
        self._progress = progress

    def left(self) -> float:
        """Return the seconds that are left, never below 0."""
        if self._end == inf and (self._lines.has_ended or self._progress.attempts):
            self._end = self._clock() + self._seconds
        return super().left()


def lines_are(lines: int) -> str:
    """Return the number of lines in words, with their verb."""
    return "1 line is" if lines == 1 else f"{lines} lines are"
