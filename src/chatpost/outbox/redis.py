"""An outbox in a Redis that a fleet shares: any machine keeps messages there, and any posts them.

A message there is as safe as that Redis. No secret is in it, but the messages' texts are. All keys have one tag, so
that they are on the same server of a cluster:

    index:SPACE           hash: the messages of a space, given by its hash, as JSON, by their ids
    content:ID            hash: the content of a message, as it was ``spooled``, and as it was last ``sent``
    spaces                set: the spaces that have had messages
    totals                hash: the ``last`` id, the number (``count``) and the ``bytes`` of all messages
    lock:SPACE            the name of the process that posts to a space now
    cool-down:FINGERPRINT hash: the ``failures`` of a webhook, and its ``retry_at``
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager, suppress
from math import ceil, inf
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import uuid4

from chatpost.concurrency import start_without_signals
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox.model import LONGEST_COOL_DOWN, MOST_BYTES, MOST_MESSAGES, CoolDown
from chatpost.outbox.rows import from_row, pack, slot_of, to_row, with_content
from chatpost.redis_client import PREFIX, Script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatpost.outbox.model import OutboxMessage, Step
    from chatpost.redis_client import RedisClient

LEASE = 5.0
"""Seconds after which another process may post in place of one that has died."""

_SHORT = 1.0  # seconds for what must not keep a message waiting
_DAY = 86_400
_INDEX_FOR = 400 * _DAY  # seconds, from the last message on; longer than any message stays
_LISTED_FOR = 30 * _DAY  # seconds for which an expired message is listed
_MOST_READ = 100  # contents in one answer

_Command: TypeAlias = "tuple[str | float, ...]"

# Runs commands, all at once, if other commands still have these answers; returns their answers, or nothing.
_SCRIPT = """
local given = cjson.decode(ARGV[1])
if not given.grows then
  -- A script that has freed memory may go on in a Redis that is full, so the messages there can still be posted.
  redis.call('DEL', KEYS[1] .. 'nothing')
end
for _, check in ipairs(given.checks) do
  if (redis.call(unpack(check[1])) or '') ~= check[2] then
    return false
  end
end
local answers = {}
for number, command in ipairs(given.commands) do
  answers[number] = redis.call(unpack(command))
end
return answers
"""
_KEYS = f"{PREFIX}{{outbox}}:"


class RedisOutbox:
    """The outbox in a Redis: a `chatpost.outbox.model.Outbox`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._script = Script.of(_SCRIPT)
        self._name = str(uuid4())  # of this process, as the holder of locks

    def now(self) -> float:
        """Return the time of Redis: the clocks of the machines differ."""
        return _time(self._run(("TIME",))[0])

    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        """Store messages; return their ids. Raises `OutboxFull`."""
        # A sender that waits for its message can post it without the outbox.
        limit = _SHORT if messages[0].status.is_awaited else inf
        totals = self._make_room(messages, limit)
        first, expires_at = totals.last - len(messages) + 1, totals.now + expire_after
        stored = [
            message._replace(id=number, rules=message.rules._replace(expires_at=expires_at))
            for number, message in enumerate(messages, first)
        ]
        commands = [command for message in stored for command in _added(message)]
        self._run(*commands, *_counted(stored, 1), limit=limit, grows=True)
        return [message.id for message in stored]

    def _make_room(self, messages: Sequence[OutboxMessage], limit: float) -> _Totals:
        """Assign ids to new messages: the last ones of the totals that are returned. Raises `OutboxFull`."""
        try:
            totals = self._assign_ids(len(messages), limit)
            if totals.last == len(messages) or not totals.have_room(messages):
                totals = self._count_again(totals, len(messages))
        except StorageError as error:
            error.maybe_done = False
            raise
        if not totals.have_room(messages):
            raise OutboxFull(totals.messages)
        return totals

    def _assign_ids(self, number: int, limit: float = inf) -> _Totals:
        key = _key("totals")
        commands = (("HINCRBY", key, "last", number), ("EXPIRE", key, _INDEX_FOR), ("HMGET", key, "count", "bytes"))
        last, _, counts, time = self._run(*commands, ("TIME",), limit=limit, grows=True)
        count, size = (int(value or 0) for value in counts)
        return _Totals(last, count, size, _time(time))

    def _count_again(self, totals: _Totals, assigned: int) -> _Totals:
        """Correct the totals, and the ids that are assigned: Redis can have thrown any key away."""
        index = self.index()
        size = sum(message.size for message in index)
        highest = max((message.id for message in index), default=0)
        self._run(("HSET", _key("totals"), "count", len(index), "bytes", size))
        last = totals.last
        if last - assigned < highest:
            last = self._run(("HINCRBY", _key("totals"), "last", highest))[0]
        return _Totals(last, len(index), size, totals.now)

    def index(self, space: str | None = None) -> list[OutboxMessage]:
        """Return the messages of a space, or all, by their ids, without their contents."""
        spaces = [space] if space else [name.decode() for name in self._redis.call("SMEMBERS", _key("spaces"))]
        indexes = self._run(*(("HGETALL", _index(name)) for name in spaces))
        found = []
        for name, rows in zip(spaces, indexes, strict=True):
            found += [from_row(int(number), name, row) for number, row in zip(rows[::2], rows[1::2], strict=True)]
        return sorted(found)

    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        """Return messages with their contents, without those that are not there."""
        found = []
        for batch in _batched(ids):
            contents = [("HMGET", _key("content", number), "spooled", "sent") for number in batch]
            last, rows, *texts = self._run(
                ("HGET", _key("totals"), "last"), ("HMGET", _index(space), *batch), *contents
            )
            if any(row is None and number > int(last or 0) for number, row in zip(batch, rows, strict=True)):
                reason = "it has lost its messages"
                raise StorageError(self._redis.url, reason)
            found += [
                with_content(from_row(number, space, row), *text)
                for number, row, text in zip(batch, rows, texts, strict=True)
                if row is not None and text[0] is not None
            ]
        return found

    def change(self, space: str, ids: Sequence[int], step: Step) -> list[OutboxMessage] | None:
        """Change messages by a script, if none has been changed since they were read, else try again."""
        while True:
            rows = self._redis.call("HMGET", _index(space), *ids) if ids else []
            before = {number: row.decode() for number, row in zip(ids, rows, strict=True) if row is not None}
            found = {number: from_row(number, space, row) for number, row in before.items()}
            changed = step(list(found.values()))
            if changed is None:
                return None
            stored = self._with_ids(changed)
            commands = _commands(found, stored)
            checks = [(("HGET", _index(space), number), row) for number, row in before.items()]
            if not commands or self._run(*commands, checks=checks) is not None:
                return stored

    def _with_ids(self, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        return [each if each.id else each._replace(id=self._assign_ids(1).last) for each in messages]

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        """Keep others from posting to the space in this context, by a lease that is renewed; False if another does."""
        if not self._lease(space):
            yield False
            return
        is_over = Event()

        def renew() -> None:
            # If that fails, another may go on: it repeats an attempt as it was, so Chat takes both for one.
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
            if self._redis.failed_at is None:
                with suppress(StorageError):  # then the lease ends by itself
                    self._run(("DEL", _lock(space)), checks=[(("GET", _lock(space)), self._name)])

    def _lease(self, space: str) -> bool:
        """Take the lock, or keep it; return False if another process has it."""
        milliseconds = int(LEASE * 1000)
        holder, left = self._run(("GET", _lock(space)), ("PTTL", _lock(space)))
        name = (holder or b"").decode()
        # A lease that lasts longer than we give is of a clock that has been set back.
        if name not in {"", self._name} and left <= milliseconds:
            return False
        lease = ("SET", _lock(space), self._name, "PX", milliseconds)
        return self._run(lease, checks=[(("GET", _lock(space)), name)]) is not None

    def cool_down(self, fingerprint: str) -> CoolDown:
        """Return the cool-down of a webhook."""
        failures, retry_at = self._run(("HMGET", _key("cool-down", fingerprint), "failures", "retry_at"))[0]
        return CoolDown(int(failures or 0), float(retry_at or 0))

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown | None) -> None:
        """Store the cool-down of a webhook; None: there is none."""
        key = _key("cool-down", fingerprint)
        if cool_down is None:
            self._run(("DEL", key))
        else:
            values = ("failures", cool_down.failures, "retry_at", repr(cool_down.retry_at))
            self._run(("HSET", key, *values), ("EXPIRE", key, int(2 * LONGEST_COOL_DOWN)))

    def _run(
        self, *commands: _Command, checks: Sequence[tuple[_Command, str]] = (), limit: float = inf, grows: bool = False
    ) -> Any:
        """Run commands, if the checks hold; return their answers, or None. ``grows``: not in a Redis that is full."""
        given = json.dumps({"commands": commands, "checks": checks, "grows": grows})
        return self._redis.run(self._script, (_KEYS,), (given,), limit)


class _Totals(NamedTuple):
    """The last id that was assigned, the number and the bytes of all messages, and the time of Redis."""

    last: int
    messages: int
    size: int
    now: float

    def have_room(self, messages: Sequence[OutboxMessage]) -> bool:
        """Return whether these can be stored, too."""
        size = sum(message.size for message in messages)
        return self.messages + len(messages) <= MOST_MESSAGES and self.size + size <= MOST_BYTES


def _commands(found: dict[int, OutboxMessage], stored: Sequence[OutboxMessage]) -> list[_Command]:
    """Return what makes the messages found the ones to be stored."""
    new = [message for message in stored if message.id not in found]
    gone = [found[number] for number in found.keys() - {message.id for message in stored}]
    commands = [command for message in gone for command in _deleted(message)]
    commands += [command for message in new for command in _added(message)]
    commands += [*_counted(new, 1), *_counted(gone, -1)]
    for message in stored:
        before = found.get(message.id, message)
        if message == before:
            continue
        if message.webhook.space != before.webhook.space:
            commands += [("HDEL", _index(before.webhook.space), message.id), *_indexed(message)]
        else:
            commands.append(("HSET", _index(message.webhook.space), message.id, to_row(message)))
        if message.request is not None:
            commands.append(("HSET", _key("content", message.id), slot_of(message), pack(message.request)))
        if message.rules.expires_at != before.rules.expires_at:
            commands.append(_kept(message))
    return commands


def _added(message: OutboxMessage) -> list[_Command]:
    if message.request is None:
        msg = "a new message has a content"
        raise ValueError(msg)
    content = ("HSET", _key("content", message.id), slot_of(message), pack(message.request))
    return [*_indexed(message), content, _kept(message)]


def _indexed(message: OutboxMessage) -> list[_Command]:
    space = message.webhook.space
    return [
        ("HSET", _index(space), message.id, to_row(message)),
        ("EXPIRE", _index(space), _INDEX_FOR),
        ("SADD", _key("spaces"), space),
        ("EXPIRE", _key("spaces"), _INDEX_FOR),
    ]


def _kept(message: OutboxMessage) -> _Command:
    """Return what makes the content of a message expire by itself, long after the message."""
    return "EXPIREAT", _key("content", message.id), ceil(message.rules.expires_at) + _LISTED_FOR


def _deleted(message: OutboxMessage) -> list[_Command]:
    return [("HDEL", _index(message.webhook.space), message.id), ("DEL", _key("content", message.id))]


def _counted(messages: Sequence[OutboxMessage], sign: int) -> list[_Command]:
    if not messages:
        return []
    size = sum(message.size for message in messages)
    return [
        ("HINCRBY", _key("totals"), "count", sign * len(messages)),
        ("HINCRBY", _key("totals"), "bytes", sign * size),
    ]


def _key(*parts: str | int) -> str:
    return _KEYS + ":".join(map(str, parts))


def _index(space: str) -> str:
    return _key("index", _hashed(space))


def _lock(space: str) -> str:
    return _key("lock", _hashed(space))


def _hashed(space: str) -> str:
    return hashlib.sha256(space.encode()).hexdigest()[:32]


def _time(answer: Sequence[bytes]) -> float:
    seconds, microseconds = answer
    return int(seconds) + int(microseconds) / 1e6


def _batched(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + _MOST_READ] for start in range(0, len(ids), _MOST_READ))
