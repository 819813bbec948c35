"""An outbox in a Redis that a fleet shares: any machine keeps messages there, and any posts them.

A message there is as safe as that Redis. No secret is in it, but the messages' texts are.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from math import inf
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from chatpost.concurrency import start_without_signals
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox.model import (
    AWAITED_FOR,
    FIRST_REST,
    LONGEST_REST,
    MOST_BYTES,
    MOST_MESSAGES,
    Entry,
    Head,
    State,
)
from chatpost.outbox.rows import entry_of, packed, row_of
from chatpost.redis_client import PREFIX, load_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from chatpost.chat.message import CreatedMessage, CreateMessageRequest
    from chatpost.redis_client import RedisClient

_SHORT = 1.0  # seconds for what must not keep a message waiting
_MOST_READ = 100  # messages in one answer
_MOST_EXPIRED = 500

LEASE = 5.0
"""Seconds after which another process may post in place of one that has died."""

_KEYS = f"{PREFIX}{{outbox}}:"
_COLUMNS = (*Entry._fields, "sealed", "is_awaited")
_INTS = frozenset(("id", "attempts", "digest"))
_FLOATS = frozenset(("written", "interval", "keep_until"))
_FRESH = {"state": "waiting", "attempts": 0, "is_uncertain": 0}
_FLAGS = frozenset(("is_alone", "is_part", "is_uncertain", "is_awaited"))


class RedisOutbox:
    """The outbox in a Redis: a `chatpost.outbox.model.Outbox`. ``clock``: seconds since the epoch."""

    def __init__(self, client: RedisClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._script = load_script("chatpost.outbox", "outbox.lua")
        self._name = str(uuid4())  # of this process, as the holder of leases

    def add(self, entries: Sequence[Entry], *, is_awaited: bool) -> list[int]:
        """Keep messages; return their ids. Raises `OutboxFull`."""
        kept = {"is_awaited": is_awaited}
        rows = [_written(_FRESH | row_of(entry) | kept) for entry in entries]
        # A sender that waits for its message can post it without the outbox.
        limit = _SHORT if is_awaited else inf
        ids = self._run("add", limit, rows=rows, most_messages=MOST_MESSAGES, most_bytes=MOST_BYTES)
        if ids[0] < 0:
            raise OutboxFull(ids[1])
        return list(ids)

    def withdraw(self, ids: Iterable[int]) -> list[int]:
        """Take messages out, unless others have put them into a digest; return the ids of those that stay."""
        return list(self._run("withdraw", ids=_words(ids)))

    def release(self, ids: Iterable[int]) -> None:
        """Say that nobody waits for the messages' answers any more."""
        self._run("release", ids=_words(ids))

    def get(self, id: int) -> Entry | None:  # noqa: A002 - the name that users know
        """Return a message; None if it has been taken out. Raises `StorageError` if the Redis has lost it."""
        row = self._run("get", id=str(id))
        return _read(row) if row else None

    def entries(self) -> list[Entry]:
        """Return all messages that are not posted, in their order."""
        return self._read_all(self.states())

    def states(self) -> dict[int, State]:
        """Return the states of all messages that are not posted, by their ids."""
        return {int(number): State(space.decode(), state.decode()) for number, space, state in self._run("states")}

    def waiting(self) -> list[str]:
        """Return the spaces in which messages wait."""
        return sorted(space.decode() for space in self._run("waiting"))

    def heads(self, space: str) -> list[Head]:
        """Return the first message of each thread of the space that waits to be posted."""
        return [Head(int(number), *_texts(its)) for number, *its in self._run("heads", space=space)]

    def followers(self, head: Entry, most: int) -> list[Entry]:
        """Return the messages that wait in the same thread, from this one on."""
        return [_read(row) for row in self._run("followers", id=str(head.id), most=most)]

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        """Keep others from posting to the space in this context, by a lease that is renewed; False if another does."""
        if not self._lease(space):
            yield False
            return
        is_over = Event()

        def renew() -> None:
            # If that fails, another may go on: what is sealed stays as it is, so Chat takes both for one.
            while not is_over.wait(LEASE / 3):
                try:
                    self._lease(space)
                except StorageError:
                    return

        renewal = Thread(target=renew, daemon=True)
        start_without_signals(renewal)
        try:
            yield True
        finally:
            is_over.set()
            renewal.join(_SHORT)
            if self._client.failed_at is None:
                with suppress(StorageError):  # then the lease ends by itself
                    self._run("give_back", space=space)

    def seal(self, head: Entry, members: Sequence[Entry], request: CreateMessageRequest) -> bool:
        """Note that the members are sent now, as this request; False if one has changed, or the lease is over."""
        as_read = [{"state": member.state, "attempts": str(member.attempts), **_of(member)} for member in members]
        its = {"space": head.space, "fingerprint": head.fingerprint, "request": packed(request)}
        return bool(self._run("seal", members=as_read, **_of(head), **its))

    def posted(self, head: Entry, created: CreatedMessage) -> None:
        """Note that the message, with its digest, is posted."""
        self._run("posted", fingerprint=head.fingerprint, created=json.dumps(created), **_of(head))

    def failed(self, head: Entry, error: str, *, maybe_posted: bool) -> None:
        """Note that an attempt has failed. If the message surely was not posted, it can be changed again."""
        self._run("failed", is_uncertain=str(int(maybe_posted)), **_after_attempt(head, error))

    def note(self, id: int, error: str) -> None:  # noqa: A002 - the name that users know
        """Note why a message cannot even be tried."""
        self._run("note", id=str(id), error=error)

    def refuse(self, head: Entry, error: str) -> None:
        """Note that Chat will never take the message. A digest's messages are tried one by one, if none is posted."""
        is_uncertain = head.is_uncertain or head.state == "sealed"  # as it was before this attempt
        self._run("refuse", is_uncertain=str(int(is_uncertain)), **_after_attempt(head, error))

    def expire(self, space: str, now: float, notice: Callable[[Sequence[Entry], float], Entry]) -> None:
        """Let messages expire, and keep a notice of those that the space has not been told of."""
        while self._run("expire", space=space, most=_MOST_EXPIRED):
            pass  # a few at a time, so that others get their answers meanwhile
        expired = self._read_all(self._run("untold", space=space))
        for webhook in dict.fromkeys(entry.fingerprint for entry in expired):
            its = [entry for entry in expired if entry.fingerprint == webhook]
            self._run(
                "tell",
                space=space,
                ids=_words(entry.id for entry in its),
                rows=[_written(_FRESH | row_of(notice(its, now)))],
            )

    def rest_until(self, fingerprint: str) -> float:
        """Return the time until which sends leave a webhook alone."""
        return float(self._run("rest_until", fingerprint=fingerprint))

    def rest(self, fingerprint: str, now: float) -> None:
        """Leave a webhook alone that has failed: the longer, the more often it has since it was last posted to."""
        del now  # Redis has a clock of its own
        self._run("rest", fingerprint=fingerprint, first=FIRST_REST, longest=LONGEST_REST)

    def retry(self, ids: Iterable[int], keep_until: float) -> None:
        """Let messages wait again, with their digests. One that may have been posted stays as it was sent."""
        self._run("retry", ids=_words(ids), keep_for=keep_until - self._clock())

    def move(self, ids: Iterable[int], webhook: Entry) -> None:
        """Give messages, with their digests, the webhook of this entry."""
        names = ("profile", "config", "fingerprint", "space")
        self._run("move", ids=_words(ids), webhook=_written({name: getattr(webhook, name) for name in names}))

    def drop(self, ids: Iterable[int]) -> int:
        """Take messages out, with their digests; return how many there were."""
        return int(self._run("drop", ids=_words(ids)))

    def _read_all(self, ids: Iterable[int]) -> list[Entry]:
        """Read messages, a few at a time, so that others get their answers meanwhile."""
        left, read = _words(ids), []
        while left:
            read += [_read(row) for row in self._run("read", ids=left[:_MOST_READ])]
            del left[:_MOST_READ]
        return read

    def _lease(self, space: str) -> bool:
        milliseconds = int(LEASE * 1000)
        return bool(self._run("lease", space=space, name=self._name, milliseconds=milliseconds))

    def _run(self, step: str, limit: float = inf, /, **given: Any) -> Any:
        common = {"name": self._name, "now": self._clock(), "awaited_for": AWAITED_FOR}
        return self._client.run(self._script, (_KEYS,), (step, json.dumps(common | given)), limit)


def _after_attempt(head: Entry, error: str) -> dict[str, Any]:
    return {"attempts": head.attempts + 1, "error": error, **_of(head)}


def _of(entry: Entry) -> dict[str, str]:
    """Return what tells a message from others: a Redis that has lost its data gives ids again."""
    return {"id": str(entry.id), "written": repr(entry.written), "host": entry.host}


def _texts(values: Iterable[bytes | None]) -> list[Any]:
    return [value if value is None else value.decode() for value in values]


def _words(ids: Iterable[int]) -> list[str]:
    return [str(number) for number in ids]


def _written(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a message: all are strings, and those that are None are left out."""
    whole = {name: int(value) if isinstance(value, bool) else value for name, value in row.items()}
    return {
        name: value if isinstance(value, str) else repr(value) for name, value in whole.items() if value is not None
    }


def _read(row: Sequence[bytes]) -> Entry:
    number, *flat = _texts(row)
    fields = dict(zip(flat[::2], flat[1::2], strict=True)) | {"id": number}
    return entry_of({name: _value(name, fields.get(name)) for name in _COLUMNS})


def _value(name: str, text: str | None) -> Any:
    if text is None:
        return None
    if name in _FLAGS:
        return text == "1"
    return int(text) if name in _INTS else float(text) if name in _FLOATS else text
