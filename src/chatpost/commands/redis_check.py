"""`chatpost profiles check`: whether a fleet's Redis can be used, and whether it is safe to keep messages there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chatpost.cli.console import say
from chatpost.errors import ConfigurationError, ExitStatus, StorageError
from chatpost.pacing.redis import check_queue
from chatpost.profiles.sources import RedisConfig
from chatpost.redis_client import RedisClient


def check_redis(config: RedisConfig) -> ExitStatus:
    """Take a step in a queue of the Redis, and print the outcome."""
    try:
        has_outbox, client = config.has_outbox(), config.client()
        check_queue(client)
    except StorageError as error:
        say(f"store {error}")
        return ExitStatus.CONFIGURATION if error.is_permanent else error.exit_status
    except ConfigurationError as error:
        say(str(error))
        return error.exit_status
    facts = _facts(client)
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    say(f"store {client.url}: ok{version and f', version {version}'}{', has the outbox' if has_outbox else ''}")
    for doubt in _doubts(facts) if has_outbox else ():
        say(f"warning: store {client.url} {doubt}")
    return ExitStatus.OK


def _facts(client: RedisClient) -> Mapping[str, Any]:
    """Return the server's INFO, as redis-py reads it; empty if its user may not ask."""
    try:
        answer = client.call("INFO")
    except StorageError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _doubts(facts: Mapping[str, Any]) -> Iterator[str]:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"throws messages away when it is full: set maxmemory-policy to noeviction (it is {policy})"
    if facts.get("aof_enabled") == 0:
        yield "does not write each message to its disk: with appendonly yes, a crash loses a second's at most"
