"""One attempt to post: a request to Chat and its answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from chatpost.chat.errors import Circumstances, error_of, invalid_proxy
from chatpost.chat.message import CreatedMessage, CreateMessageRequest
from chatpost.chat.response import SUCCESSES, Answer, error_of_answer
from chatpost.chat.session import Proxy, find_proxy, new_session
from chatpost.chat.webhook import Webhook
from chatpost.concurrency import run_with_timeout
from chatpost.errors import Unavailable

_ANSWER_LIMIT = 1024 * 1024  # bytes to read of an answer: Chat's echo can be several times the message's size
# None removes a scheme from the environment's proxies; the type stubs allow only strings.
_NO_PROXY: Any = {"http": None, "https": None, "all": None}


class _Body(io.BytesIO):
    """A request body that records when it is first read: before that, nothing can have been posted.

    Once ``abandoned``, it can no longer be read: an attempt that timed out may get here late.
    """

    def __init__(self, content: bytes, on_sending: Callable[[], None]) -> None:
        super().__init__(content)
        self.begun = False
        self.abandoned = False
        self._on_sending = on_sending

    def read(self, size: int | None = -1) -> bytes:
        # This thread sets begun, then reads abandoned; the other sets abandoned, then reads begun: one sees the other.
        was_begun, self.begun = self.begun, True
        if self.abandoned:
            raise TimeoutError
        if not was_begun:
            self._on_sending()
        return super().read(size)


class ChatClient:
    """Posts to webhooks over one session, which keeps its connections open between messages.

    ``wall_clock`` returns seconds since the epoch. Raises `ConfigurationError` if the environment names a CA bundle
    that does not exist.
    """

    def __init__(self, wall_clock: Callable[[], float], environment: Mapping[str, str]) -> None:
        self._wall_clock = wall_clock
        self._environment = environment
        self._session = new_session(environment)

    def create_message(
        self, webhook: Webhook, request: CreateMessageRequest, timeout: float, on_sending: Callable[[], None]
    ) -> CreatedMessage:
        """Make one attempt in ``timeout`` seconds; call ``on_sending`` when sending begins. Raises `DeliveryError`."""
        body = _Body(json.dumps(request.body(), ensure_ascii=False).encode(), on_sending)
        # Loopback never uses a proxy, even if the environment names one.
        proxy = None if webhook.is_loopback else find_proxy(webhook.origin, self._environment)
        try:
            # requests limits each wait for the network, not their sum: a hanging name server or a dripping answer would
            # block it forever. If the abandoned attempt still succeeds, the next one gets that message by request ID.
            answer = run_with_timeout(timeout, lambda: self._exchange(webhook, request, body, timeout, proxy))
        except TimeoutError:
            body.abandoned = True
            host = Circumstances(webhook, proxy, timeout, self._environment, body.begun).host
            raise Unavailable(f"{host} did not answer within {timeout:.3g} s", maybe_posted=body.begun) from None
        except RequestException as failure:
            circumstances = Circumstances(webhook, proxy, timeout, self._environment, body.begun)
            raise error_of(failure, circumstances) from None
        except (HTTPError, ValueError, TypeError):
            # Before it connects, requests lets through only errors about a proxy's URL.
            if body.begun or proxy is None:
                raise
            raise invalid_proxy(proxy) from None
        return read_answer(answer, webhook.mask, self._wall_clock())

    def _exchange(
        self, webhook: Webhook, request: CreateMessageRequest, body: _Body, timeout: float, proxy: Proxy | None
    ) -> Answer:
        response = self._session.post(
            webhook.request_url(request.parameters()),
            data=body,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            proxies=_NO_PROXY if proxy is None else {"https": proxy.url},
        )
        read, is_whole = bytearray(), False
        with response, suppress(HTTPError):
            # Never decoded: a compressed answer, which was not asked for, could unpack to gigabytes.
            for chunk in response.raw.stream(64 * 1024, decode_content=False):
                read += chunk
                if len(read) > _ANSWER_LIMIT:
                    break
            else:
                is_whole = True
        return Answer(response.status_code, response.headers, bytes(read) if is_whole else None)


def read_answer(answer: Answer, mask: Callable[[str], str], now: float) -> CreatedMessage:
    """Return the created message, or raise the error that `error_of_answer` returns."""
    with suppress(LookupError, TypeError, ValueError, RecursionError):
        if answer.code in SUCCESSES:
            return CreatedMessage.read(json.loads(answer.body or b""))
    raise error_of_answer(answer, mask, now)
