"""A space: its threads and messages, the thread keys of each webhook, and the quota of all webhooks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any
from urllib.parse import urlencode

from chatpost.chat.message import MessageReplyOption
from chatpost.emulator.contract import ApiError


@dataclass(frozen=True)
class StoredMessage:
    """A message in a space. ``body`` and ``query`` are those of the request; ``token`` identifies the webhook."""

    name: str
    thread_name: str
    token: str
    body: dict[str, Any]
    query: dict[str, str]
    at: datetime = field(default_factory=lambda: datetime.now().astimezone(), compare=False)

    @property
    def text(self) -> str:
        """The text, empty if there are only cards."""
        return str(self.body.get("text") or "")

    @property
    def summary(self) -> str:
        """The text of a notification: the text, the fallback text, or the title of the first card."""
        cards = self.body.get("cardsV2") or [{}]
        title = (cards[0].get("card", {}).get("header") or {}).get("title")
        return self.text or str(self.body.get("fallbackText") or title or "a card")

    @property
    def request(self) -> str:
        """The request, with its secrets masked."""
        query = urlencode({**self.query, "key": "***", "token": "***"}, safe="*")
        body = json.dumps(self.body, indent=2, ensure_ascii=False)
        return f"POST /v1/{self.name.rpartition('/')[0]}?{query}\n\n{body}"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return Chat's answer to a request: its body, the message name and the thread name."""
        thread = {**(body.get("thread") or {}), "name": self.thread_name}
        return {**body, "name": self.name, "thread": thread}


@dataclass
class Space:
    """A space, by its name (``spaces/S``). ``clock`` and ``quota`` are in seconds. Not thread-safe."""

    name: str
    clock: Callable[[], float]
    quota: float = 1.0
    messages: list[StoredMessage] = field(default_factory=list)
    _free_at: float = -inf
    _thread_by_key: dict[tuple[str, str | None], str] = field(default_factory=dict)
    _by_request_id: dict[str, StoredMessage] = field(default_factory=dict)

    def threads(self) -> dict[str, list[StoredMessage]]:
        """Return the messages of each thread, by its name, in the order of creation."""
        threads: dict[str, list[StoredMessage]] = {}
        for message in self.messages:
            threads.setdefault(message.thread_name, []).append(message)
        return threads

    def take_quota(self) -> None:
        """Count a request; raises `ApiError` (429) too soon after another request by any webhook."""
        now = self.clock()
        if now < self._free_at:
            raise ApiError(429, "Resource has been exhausted (e.g. check quota).")
        self._free_at = now + self.quota

    def create(self, token: str, body: dict[str, Any], query: dict[str, str]) -> StoredMessage:
        """Store a message, or return the one with the same request ID; raises `ApiError`."""
        request_id, message_id = query.get("requestId", ""), query.get("messageId")
        if known := self._by_request_id.get(request_id):
            if known.token != token:
                # The reference documents an error, but not its status.
                raise ApiError(409, "Request id was used by another caller.")
            return known
        if message_id and any(message.query.get("messageId") == message_id for message in self.messages):
            raise ApiError(409, f"Message with ID {message_id} already exists.")
        own_id = secrets.token_urlsafe(8)
        thread_id = self._thread_id(token, body.get("thread") or {}, query, own_id)
        names = (f"{self.name}/messages/{thread_id}.{own_id}", f"{self.name}/threads/{thread_id}")
        stored = StoredMessage(*names, token, body, query)
        self.messages.append(stored)
        if request_id:
            self._by_request_id[request_id] = stored
        return stored

    def _thread_id(self, token: str, thread: dict[str, Any], query: dict[str, str], own_id: str) -> str:
        """Return the ID of the message's thread: an existing one, or for a new one, ``own_id``."""
        option, key = query.get("messageReplyOption"), thread.get("threadKey") or query.get("threadKey")
        if option not in {choice.value for choice in MessageReplyOption}:
            return own_id  # without a reply option, Chat ignores the thread
        thread_id = self._thread_by_key.get((token, key))
        if name := thread.get("name"):
            thread_id = name.rpartition("/")[2] if name in self.threads() else None
        if option == MessageReplyOption.OR_FAIL.value and not thread_id:
            raise ApiError(404, "Requested entity was not found.")
        thread_id = thread_id or own_id
        if option == MessageReplyOption.FALLBACK_TO_NEW_THREAD.value and key:
            self._thread_by_key.setdefault((token, key), thread_id)
        return thread_id
