"""One attempt to post: a request to Chat and its answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.request import getproxies

from requests.exceptions import ChunkedEncodingError, ConnectionError as RequestsConnectionError, RequestException
from urllib3.exceptions import HTTPError

from chatpost.chat.errors import NO_SUCH_PROXY, error_of
from chatpost.chat.message import CreatedMessage, CreateMessageRequest
from chatpost.chat.response import SUCCESSES, Answer, error_of_answer
from chatpost.chat.session import new_session
from chatpost.chat.webhook import Webhook
from chatpost.concurrency import run_with_timeout
from chatpost.errors import Unavailable, UnusableRoute

_ANSWER_LIMIT = 1024 * 1024  # bytes that are read: Chat's echo can be several times the size of the message
# None removes a scheme from the environment's proxies; the type stubs allow only strings.
_NO_PROXY: Any = {"http": None, "https": None, "all": None}


class _Body(io.BytesIO):
    """A request's body that notes when sending it begins: before that, nothing can have been posted.

    Once ``abandoned`` it is not sent any more: an attempt that was left behind may get here late.
    """

    def __init__(self, content: bytes, on_sending: Callable[[], None]) -> None:
        super().__init__(content)
        self.begun = False
        self.abandoned = False
        self._on_sending = on_sending

    def read(self, size: int | None = -1) -> bytes:
        # This thread sets begun, then reads abandoned; the other sets abandoned, then reads begun. So one of them sees.
        was_begun, self.begun = self.begun, True
        if self.abandoned:
            raise TimeoutError
        if not was_begun:
            self._on_sending()
        return super().read(size)


class ChatClient:
    """Posts to webhooks over one session, whose connections stay open from message to message.

    ``wall_clock`` returns seconds since the epoch: a ``Retry-After`` can be a date. Raises `ConfigurationError` if the
    environment names a CA bundle that does not exist.
    """

    def __init__(self, wall_clock: Callable[[], float], environment: Mapping[str, str]) -> None:
        self._wall_clock = wall_clock
        self._environment = environment
        self._session = new_session(environment)

    def create_message(
        self, webhook: Webhook, request: CreateMessageRequest, timeout: float, on_sending: Callable[[], None]
    ) -> CreatedMessage:
        """Post once, in at most ``timeout`` seconds; ``on_sending`` is called when the message begins to go out.

        Raises a `DeliveryError` that says whether the message may be in the space anyway.
        """
        body = _Body(json.dumps(request.body(), ensure_ascii=False).encode(), on_sending)
        try:
            # requests limits each wait for the network, not their sum: a name server that hangs, or an answer that
            # drips in, would hold it for ever. If a message that is left behind is still posted, the next attempt finds
            # it by the request id.
            answer = run_with_timeout(timeout, lambda: self._exchange(webhook, request, body, timeout))
        except TimeoutError:
            body.abandoned = True
            raise Unavailable(
                f"{webhook.host} gave no answer within {timeout:.3g} s", maybe_posted=body.begun
            ) from None
        except RequestException as failure:
            raise error_of(failure, webhook, timeout, self._environment, posting_begun=body.begun) from None
        except (HTTPError, ValueError, TypeError):
            # Before it connects, requests lets through only errors about a proxy's URL.
            if body.begun or webhook.is_loopback or not getproxies():
                raise
            raise UnusableRoute(NO_SUCH_PROXY) from None
        return read_answer(answer, webhook.mask, self._wall_clock())

    def _exchange(self, webhook: Webhook, request: CreateMessageRequest, body: _Body, timeout: float) -> Answer:
        response = self._session.post(
            webhook.request_url(request.parameters()),
            data=body,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            # Loopback never uses a proxy, even if the environment names one.
            proxies=_NO_PROXY if webhook.is_loopback else None,
        )
        read = bytearray()
        is_whole = False
        with response, suppress(ChunkedEncodingError, RequestsConnectionError):
            for chunk in response.iter_content(64 * 1024):
                read += chunk
                if len(read) > _ANSWER_LIMIT:
                    break
            else:
                is_whole = True
        return Answer(response.status_code, response.headers, bytes(read) if is_whole else None)


def read_answer(answer: Answer, mask: Callable[[str], str], now: float) -> CreatedMessage:
    """Return the message that Chat created; raises the `DeliveryError` that the answer means.

    ``mask`` and ``now`` are as for `error_of_answer`.
    """
    with suppress(LookupError, TypeError, ValueError, RecursionError):
        if answer.code in SUCCESSES:
            return CreatedMessage.read(json.loads(answer.body or b""))
    raise error_of_answer(answer, mask, now)
