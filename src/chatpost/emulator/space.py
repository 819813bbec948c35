"""A space: its threads and messages, each webhook's thread keys, and the quota that all webhooks share."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from chatpost.chat.message import MessageReplyOption
from chatpost.emulator.contract import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS_PER_REQUEST = 1.0
"""A space takes one request in this time, from all its webhooks together."""


@dataclass(frozen=True)
class StoredMessage:
    """A message in a space. ``body`` and ``query`` are as they were sent; ``token`` identifies the webhook.

    ``at`` is when it came, in seconds of the epoch.
    """

    name: str
    thread_name: str
    token: str
    body: dict[str, Any]
    query: dict[str, str]
    at: float = field(default_factory=time.time, compare=False)

    @property
    def text(self) -> str:
        """The text; empty for a card alone."""
        return str(self.body.get("text") or "")

    @property
    def summary(self) -> str:
        """The text of a notification: the message's text, or words for its cards."""
        cards = self.body.get("cardsV2") or [{}]
        title = (cards[0].get("card", {}).get("header") or {}).get("title")
        return self.text or str(self.body.get("fallbackText") or title or "a card")

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return Chat's answer to the request: its own fields, and the two names."""
        thread = {**(body.get("thread") or {}), "name": self.thread_name}
        return {**body, "name": self.name, "thread": thread}


@dataclass
class Space:
    """A named space (``spaces/S``). ``clock`` is in seconds. Not safe for threads by itself."""

    name: str
    clock: Callable[[], float]
    quota: bool = True
    messages: list[StoredMessage] = field(default_factory=list)
    _free_at: float | None = None
    _thread_by_key: dict[tuple[str, str], str] = field(default_factory=dict)
    _by_request_id: dict[str, StoredMessage] = field(default_factory=dict)
    _message_ids: set[str] = field(default_factory=set)

    def threads(self) -> dict[str, list[StoredMessage]]:
        """Return the threads by name, each with its messages, in the order in which they were posted."""
        threads: dict[str, list[StoredMessage]] = {}
        for message in self.messages:
            threads.setdefault(message.thread_name, []).append(message)
        return threads

    def take_quota(self) -> None:
        """Count a request; raises the 429 for one that comes too early."""
        now = self.clock()
        if self.quota and self._free_at is not None and now < self._free_at:
            message = "Resource has been exhausted (e.g. check quota)."
            raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", message)
        self._free_at = now + SECONDS_PER_REQUEST

    def create(self, token: str, body: dict[str, Any], query: dict[str, str]) -> StoredMessage:
        """Store a message, or return the one that this request id has made; raises `ApiError`."""
        request_id = query.get("requestId")
        known = self._by_request_id.get(request_id) if request_id else None
        if known is not None:
            if known.token != token:
                # The reference says that this is an error, but not which one.
                message = "Request id was used by another caller."
                raise ApiError(HTTPStatus.CONFLICT, "ALREADY_EXISTS", message)
            return known
        message_id = query.get("messageId")
        if message_id in self._message_ids:
            message = f"Message with ID {message_id} already exists."
            raise ApiError(HTTPStatus.CONFLICT, "ALREADY_EXISTS", message)
        thread_id = self._thread_for(token, body.get("thread") or {}, query)
        own_id = secrets.token_urlsafe(8)
        thread_id = thread_id or own_id
        stored = StoredMessage(
            f"{self.name}/messages/{thread_id}.{own_id}", f"{self.name}/threads/{thread_id}", token, body, query
        )
        key = self._key(body.get("thread") or {}, query)
        if key and query.get("messageReplyOption") == MessageReplyOption.FALLBACK_TO_NEW_THREAD.value:
            self._thread_by_key.setdefault((token, key), thread_id)
        self.messages.append(stored)
        if request_id:
            self._by_request_id[request_id] = stored
        if message_id:
            self._message_ids.add(message_id)
        return stored

    @staticmethod
    def _key(thread: dict[str, Any], query: dict[str, str]) -> str | None:
        return thread.get("threadKey") or query.get("threadKey")

    def _thread_for(self, token: str, thread: dict[str, Any], query: dict[str, str]) -> str | None:
        """Return the id of the thread to reply in, None for a new one."""
        try:
            option = MessageReplyOption(query.get("messageReplyOption"))
        except ValueError:
            return None  # without it, the message's thread is ignored
        found = None
        key = self._key(thread, query)
        if thread.get("name") in self.threads():
            found = str(thread["name"]).rpartition("/")[2]
        elif not thread.get("name") and key:
            found = self._thread_by_key.get((token, key))
        if found is None and option is MessageReplyOption.OR_FAIL:
            message = "Requested entity was not found."
            raise ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", message)
        return found
