"""Repeats in a Redis that a fleet shares: the key ``chatpost:repeats:HASH`` for each message."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from chatpost.redis_client import PREFIX, RedisClient
from chatpost.repeats.model import Repeats, Step

_KEPT_FOR = 400 * 86_400  # seconds since the last change; longer than any --once-per
_TIMEOUT = 2.0  # seconds per call

_READ = "return {redis.call('GET', KEYS[1]) or '', redis.call('TIME')}"
# Compare and set: sets the value if it has not changed.
_SET = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class RedisRepeats:
    """A `chatpost.repeats.model.RepeatStore` in Redis."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    def change(self, key: str, step: Step) -> tuple[Repeats, Repeats, float]:
        keys = (f"{PREFIX}repeats:{key}",)
        while True:  # retry if another process changed them between the calls
            stored, now = self._read(keys)
            before = Repeats.parse(_json(stored))
            after = step(before, now)
            changed = stored, json.dumps(after), _KEPT_FOR
            if after == before or self._client.run(_SET, keys, changed, limit=_TIMEOUT) == 1:
                return before, after, now

    def _read(self, keys: tuple[str, ...]) -> tuple[bytes, float]:
        """Return the stored value, and the time of Redis: the clocks of machines differ."""
        answer = self._client.run(_READ, keys, (), limit=_TIMEOUT)
        try:
            stored, (seconds, microseconds) = answer
            return bytes(stored), int(seconds) + int(microseconds) / 1e6
        except (TypeError, ValueError):
            raise self._client.reject(answer) from None


def _json(text: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None
