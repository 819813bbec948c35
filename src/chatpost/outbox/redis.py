"""An outbox in a Redis that a fleet shares: each machine can spool messages there and post those of all.

A message there is as safe as that Redis. It has the texts of messages but no secrets. All keys have one hash tag, so
that they are on the same node of a cluster:

    index:SPACE           hash: the rows of the messages of a space (SPACE is a hash), by id
    content:ID            hash: the content of a message, as ``spooled`` and as last ``sent``
    spaces                set: all spaces that have had messages
    totals                hash: the ``last`` id, the number (``count``) and the ``bytes`` of all messages
    lock:SPACE            the name of the process that is posting to a space
    flushed               the time of the last flush that left nothing pending
    cool-down:FINGERPRINT hash: the ``failures`` of a webhook, and its ``retry_at``
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import ceil, inf
from threading import Event, Thread
from typing import Any, NamedTuple, TypeAlias
from uuid import uuid4

from chatpost.concurrency import start_without_signals
from chatpost.errors import OutboxFull, StorageError
from chatpost.outbox.answers import checked, is_text, whole, without_path
from chatpost.outbox.model import OutboxMessage
from chatpost.outbox.rows import content_of, from_rows, to_row
from chatpost.outbox.store import LONGEST_COOL_DOWN, MOST_BYTES, MOST_MESSAGES, CoolDown, Step
from chatpost.redis_client import PREFIX, RedisClient

LEASE = 5.0
"""Seconds after which the lock of a dead process ends."""

_SHORT = 1.0  # timeout in seconds of calls that must not hold up a message
_DAY = 86_400
_INDEX_FOR = 400 * _DAY  # seconds after the last message; longer than any message stays
_LISTED_FOR = 30 * _DAY  # seconds for which an expired message is listed

_Command: TypeAlias = "tuple[str | float, ...]"

# Runs commands atomically if the commands in `checks` still have the given answers; returns their answers, or false.
_SCRIPT = """
local given = cjson.decode(ARGV[1])
if not given.grows then
  -- Redis lets a script go on after a deletion even if memory is full, so messages there can still be posted.
  redis.call('DEL', KEYS[1] .. 'nothing')
end
-- Totals that are not numbers would make HINCRBY fail for ever.
for _, field in ipairs({'last', 'count', 'bytes'}) do
  local total = redis.call('HGET', KEYS[1] .. 'totals', field)
  if total and not string.match(total, '^%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?$') then
    redis.call('HDEL', KEYS[1] .. 'totals', field)
  end
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
    """The outbox in a Redis: a `chatpost.outbox.store.Outbox`."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._name = str(uuid4())  # of this process, as the holder of locks

    def unexpected_answer(self) -> StorageError:
        """Return the error for an answer of an unexpected form."""
        return self._redis.reject("an answer of an unexpected form")

    @checked
    def now(self) -> float:
        return _time(self._run(("TIME",))[0])

    @checked
    def add(self, messages: Sequence[OutboxMessage], expire_after: float) -> list[int]:
        # A sender that awaits its message can post it without the outbox.
        limit = _SHORT if messages[0].status.is_awaited else inf
        try:
            totals = self._assign_ids(len(messages), limit)
            if totals.last == len(messages) or not totals.have_room(messages):
                totals = self._count_again(totals, len(messages))
        except StorageError as error:
            error.maybe_done = False  # the messages were not sent to Redis yet
            raise
        if not totals.have_room(messages):
            raise OutboxFull(totals.messages)
        first, expires_at = totals.last - len(messages) + 1, totals.now + expire_after
        stored = [
            without_path(message)._replace(id=number, rules=message.rules._replace(expires_at=expires_at))
            for number, message in enumerate(messages, first)
        ]
        self._run(*_commands({}, stored), limit=limit, grows=True)
        return [message.id for message in stored]

    def _assign_ids(self, number: int, limit: float = inf) -> _Totals:
        """Assign ids to new messages: the last ``number`` ids of the totals."""
        key = _key("totals")
        commands = (("HINCRBY", key, "last", number), ("EXPIRE", key, _INDEX_FOR), ("HMGET", key, "count", "bytes"))
        last, _, counts, time = self._run(*commands, ("TIME",), limit=limit, grows=True)
        count, size = map(whole, counts)
        return _Totals(last, count, size, _time(time))

    def _count_again(self, totals: _Totals, assigned: int) -> _Totals:
        """Correct the totals and the assigned ids: Redis may have evicted any key."""
        index, last, key = self.index(), totals.last, _key("totals")
        size = sum(message.size for message in index)
        highest = max((message.id for message in index), default=0)
        self._run(("HSET", key, "count", len(index), "bytes", size))
        if last - assigned < highest:
            last = self._run(("HINCRBY", key, "last", highest))[0]
        return _Totals(last, len(index), size, totals.now)

    @checked
    def index(self, space: str | None = None) -> list[OutboxMessage]:
        names = [name.decode(errors="replace") for name in self._redis.call("SMEMBERS", _key("spaces"))]
        spaces = [space] if space else names
        found: list[OutboxMessage] = []
        for name, flat in zip(spaces, self._run(*(("HGETALL", _index(name)) for name in spaces)), strict=True):
            pairs = zip(map(whole, flat[::2]), flat[1::2], strict=True)
            found += from_rows((number, name, row) for number, row in pairs if number > 0)
        return sorted(map(without_path, found), key=lambda message: message.id)

    @checked
    def read(self, space: str, ids: Sequence[int]) -> list[OutboxMessage]:
        contents = [("HMGET", _key("content", number), "spooled", "sent") for number in ids]
        last, rows, *texts = self._run(("HGET", _key("totals"), "last"), ("HMGET", _index(space), *ids), *contents)
        there = []
        for number, row, (spooled, sent) in zip(ids, rows, texts, strict=True):
            if row is None and number > whole(last):
                reason = "it has lost its messages"
                raise StorageError(self._redis.url, reason)
            if row is not None and spooled is not None:  # else Redis has evicted it
                there.append((number, space, row, spooled, sent))
        return list(map(without_path, from_rows(there)))

    def change(
        self, space: str, ids: Sequence[int], step: Step, answered: str | None = None
    ) -> list[OutboxMessage] | None:
        while True:  # until no other process changes the messages between the calls
            there = self._rows(space, ids)
            found = list(map(without_path, from_rows((number, space, row) for number, row in there)))
            changed = step(found)
            if changed is None:
                return None
            stored = [each if each.id else each._replace(id=self._assign_ids(1).last) for each in changed]
            commands = _commands({message.id: message for message in found}, stored)
            if answered is not None:
                commands.append(("DEL", _key("cool-down", answered)))
            # A row that is not UTF-8 is damaged, and only deleted.
            checks = [(("HGET", _index(space), number), row.decode()) for number, row in there if is_text(row)]
            if not commands or self._run(*commands, checks=checks) is not None:
                return stored

    @checked
    def _rows(self, space: str, ids: Sequence[int]) -> list[tuple[int, bytes]]:
        rows = self._redis.call("HMGET", _index(space), *ids) if ids else []
        return [(number, row) for number, row in zip(ids, rows, strict=True) if row is not None]

    @contextmanager
    def lock(self, space: str) -> Iterator[bool]:
        if not self._lease(space):
            yield False
            return
        is_over = Event()

        def renew() -> None:
            # If that fails, another process may continue: it repeats the same request, which Chat ignores.
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
                with suppress(StorageError):  # then the lease expires
                    self._run(("DEL", _lock(space)), checks=[(("GET", _lock(space)), self._name)])

    @checked
    def _lease(self, space: str) -> bool:
        """Acquire or renew the lock; return False if another process has it."""
        milliseconds = int(LEASE * 1000)
        holder, left = self._run(("GET", _lock(space)), ("PTTL", _lock(space)))
        name = (holder or b"").decode(errors="replace")
        # A longer lease means that the clock was set back, and chatpost never sets one without an expiry: ignore both.
        if name not in {"", self._name} and 0 <= left <= milliseconds:
            return False
        lease = ("SET", _lock(space), self._name, "PX", milliseconds)
        return self._run(lease, checks=[(("GET", _lock(space)), name)]) is not None

    @checked
    def cool_down(self, fingerprint: str) -> CoolDown:
        failures, retry_at = self._run(("HMGET", _key("cool-down", fingerprint), "failures", "retry_at"))[0]
        return CoolDown(whole(failures), float(retry_at or 0))

    @checked
    def flushed_at(self) -> float:
        return float(self._run(("GET", _key("flushed")), limit=_SHORT)[0] or 0)

    def mark_flushed(self) -> None:
        self._run(("SET", _key("flushed"), repr(self.now()), "EX", _DAY))

    def set_cool_down(self, fingerprint: str, cool_down: CoolDown) -> None:
        key = _key("cool-down", fingerprint)
        values = ("failures", cool_down.failures, "retry_at", repr(cool_down.retry_at))
        self._run(("HSET", key, *values), ("EXPIRE", key, int(2 * LONGEST_COOL_DOWN)))

    def _run(
        self, *commands: _Command, checks: Sequence[tuple[_Command, str]] = (), limit: float = inf, grows: bool = False
    ) -> Any:
        """Run commands if the checks hold; return their answers, or None. ``grows``: fail if Redis is full."""
        given = json.dumps({"commands": commands, "checks": checks, "grows": grows})
        return self._redis.run(_SCRIPT, (_KEYS,), (given,), limit)


class _Totals(NamedTuple):
    """The last assigned id, the number and bytes of all messages, and the time by Redis."""

    last: int
    messages: int
    size: int
    now: float

    def have_room(self, messages: Sequence[OutboxMessage]) -> bool:
        """Return whether these messages fit, too."""
        size = sum(message.size for message in messages)
        return self.messages + len(messages) <= MOST_MESSAGES and self.size + size <= MOST_BYTES


def _commands(found: dict[int, OutboxMessage], stored: Sequence[OutboxMessage]) -> list[_Command]:
    """Return the commands that replace the messages found by those to store."""
    ids = {message.id for message in stored}
    new = [message for message in stored if message.id not in found]
    gone = [message for message in found.values() if message.id not in ids]
    changed = [message for message in stored if message != found.get(message.id)]
    commands: list[_Command] = []
    for message in gone:
        commands += [("HDEL", _index(message.webhook.space), message.id), ("DEL", _key("content", message.id))]
    for message in changed:
        before, key = found.get(message.id, message), _key("content", message.id)
        if before.webhook.space != message.webhook.space:
            commands.append(("HDEL", _index(before.webhook.space), message.id))
        commands.append(("HSET", _index(message.webhook.space), message.id, to_row(message)))
        if content := content_of(message):
            commands.append(("HSET", key, *content))
        # The content expires long after the message.
        commands.append(("EXPIREAT", key, ceil(message.rules.expires_at) + _LISTED_FOR))
    for space in {message.webhook.space for message in changed}:
        commands += [("SADD", _key("spaces"), space), ("EXPIRE", _index(space), _INDEX_FOR)]
        commands.append(("EXPIRE", _key("spaces"), _INDEX_FOR))
    if new or gone:
        size = sum(message.size for message in new) - sum(message.size for message in gone)
        commands.append(("HINCRBY", _key("totals"), "count", len(new) - len(gone)))
        commands.append(("HINCRBY", _key("totals"), "bytes", size))
    return commands


def _key(*parts: str | int) -> str:
    return _KEYS + ":".join(map(str, parts))


def _index(space: str) -> str:
    return _key("index", hashlib.sha256(space.encode()).hexdigest()[:32])


def _lock(space: str) -> str:
    return _key("lock", hashlib.sha256(space.encode()).hexdigest()[:32])


def _time(answer: Sequence[bytes]) -> float:
    seconds, microseconds = answer
    return int(seconds) + int(microseconds) / 1e6
