"""`chatpost profiles check`: whether a fleet's Redis can be used, and is configured not to lose messages."""

from __future__ import annotations

from chatpost.cli.console import say
from chatpost.errors import ConfigurationError, ExitStatus, StorageError
from chatpost.pacing.redis import check_queue
from chatpost.profiles.sources import RedisConfig


def check_redis(config: RedisConfig) -> ExitStatus:
    """Poll a turn in a queue of the Redis, and print the outcome."""
    try:
        has_outbox, client = config.has_outbox(), config.client()
        check_queue(client)
    except StorageError as error:
        say(str(error), "error")
        return ExitStatus.CONFIGURATION if error.is_permanent else error.exit_status
    except ConfigurationError as error:
        say(str(error), "error")
        return error.exit_status
    try:
        answer = client.call("INFO")
    except StorageError:  # the user has no permission
        answer = None
    facts = answer if isinstance(answer, dict) else {}
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    say(f"{client.url}: ok{version and f', version {version}'}{', holds the outbox' if has_outbox else ''}")
    policy = facts.get("maxmemory_policy", "noeviction")
    if has_outbox and policy != "noeviction":
        advice = f"set maxmemory-policy to noeviction (now {policy})"
        say(f"{client.url} evicts messages when it is full: {advice}", "warning")
    if has_outbox and facts.get("aof_enabled") == 0:
        advice = "set appendonly to yes, so that a crash loses at most one second of messages"
        say(f"{client.url} does not persist each message: {advice}", "warning")
    return ExitStatus.OK
