"""Posts the lines of a stream as replies in a thread, and counts lost lines."""

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

CLOSING_LIMIT = SIZE_LIMIT - 100
"""Maximum bytes of the closing message, which can begin with a line about lost lines."""

_NO_LIMIT = 1_000_000
_SHARE_OF_LINES = 0.75  # of the deadline after the end of the stream; the rest is for the closing message
_LEAST_PATIENCE = 2.0  # seconds; a turn takes more than one


class ReplyOptions(NamedTuple):
    """How to post lines.

    ``has_retries``: the user has set the number of retries; else a reply is retried until its deadline. ``is_bounded``:
    after the end of the stream, all remaining replies share one deadline.
    """

    style: Style
    silent: bool
    has_retries: bool
    is_bounded: bool


class Replies:
    """Posts lines in the thread that ``opening`` has opened.

    If a reply fails with a transient error, the next reply includes its lines. If it may have been posted, it is sent
    again unchanged, with its request ID. After the end of the stream, a reply gets one more delivery; then the rest is
    lost. ``lost`` counts lost lines, and ``status`` is the exit status of the error that lost them. Until
    ``not_before``, a reply waits for more lines.
    """

    def __init__(
        self,
        lines: Lines,
        opening: Delivery,
        sender: Sender,
        options: ReplyOptions,
        report: Callable[[Delivery, str | None], ExitStatus],
    ) -> None:
        """``report`` reports a delivery, and the fate of its lines after an error; it returns the exit status."""
        created, policy = opening.progress.created, opening.to.policy
        self._policy = policy if options.has_retries else policy._replace(retries=_NO_LIMIT)
        thread = Thread(name=created.thread_name if created else None)
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
        """Number of lines that were read but not posted."""
        return self.lost + len(self._taken) + self._lines.waiting

    def post_all(self, every: float) -> bool:
        """Post the lines until the stream ends; return False if posting must stop early.

        Post the first lines at once, and later ones every ``every`` seconds, or when a reply is full.
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
        """Post the closing message, with the number of lost lines."""
        note = f"[{lines_are(self.lost)} lost]" if self.lost else None
        text = "\n".join(filter(None, (note, last)))
        if text and not self._is_refused:
            request = self._request(Message(text, self._options.style.markdown), str(uuid4()))
            self._late_at = self._ends_at  # the rest of the deadline is for this message
            status = self._report(self._deliver(request.request_id, lambda _: request, Progress()), None)
            self.status = self.status or status

    def _is_late(self) -> bool:
        """Return whether the rest of a shared deadline is for the closing message."""
        if self._options.is_bounded and self._lines.has_ended and self._late_at == inf:
            self._ends_at = self._clock() + self._policy.deadline
            self._late_at = self._clock() + self._policy.deadline * _SHARE_OF_LINES
        return self._clock() >= self._late_at

    def _cool_down(self) -> bool:
        """Wait for the time of the next reply; return False if the stream has ended and the time is too late."""
        while (wait := self._retry_at - self._clock()) > 0:
            if not self._lines.has_ended:
                self._lines.wait_for_end(wait)
            elif wait > self._policy.deadline:
                return False
            else:
                self._sender.timing.sleep(wait)
        return True

    def _post_lines(self) -> bool:
        """Post one reply; return whether to post another."""
        is_last_try = self._lines.has_ended
        unclear = self._maybe_posted
        request_id = unclear.request_id if unclear is not None else str(uuid4())
        progress = Progress()
        # If this attempt is rejected, or gets no turn, the earlier one may still have been posted.
        progress.request, progress.maybe_posted = unclear, unclear is not None
        delivery = self._deliver(request_id, lambda _: unclear or self._take_lines(request_id), progress)
        error = progress.error
        is_invalid = isinstance(error, InvalidMessage)  # the error of these lines only
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
        self._report(delivery, "Its lines will be in the next reply." if keeps else "Its lines were lost.")
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
        message = message.masked(self._to.webhook.mask_posted)
        return CreateMessageRequest(message, request_id, self._to.thread, fallback, self._options.silent)


class _Patience(Deadline):
    """The deadline of one reply. Until the stream ends, it starts with the first attempt."""

    def __init__(self, seconds: float, lines: Lines, progress: Progress, clock: Callable[[], float]) -> None:
        super().__init__(inf, clock)
        self._seconds = seconds
        self._lines = lines
        self._progress = progress

    def left(self) -> float:
        """Return the remaining seconds, at least 0."""
        if self._end == inf and (self._lines.has_ended or self._progress.attempts):
            self._end = self._clock() + self._seconds
        return super().left()


def lines_are(lines: int) -> str:
    """Return ``1 line is``, or the plural."""
    return "1 line was" if lines == 1 else f"{lines} lines were"
