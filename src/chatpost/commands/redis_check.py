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
        say(f"store {error}")
        return ExitStatus.CONFIGURATION if error.is_permanent else error.exit_status
    except ConfigurationError as error:
        say(str(error))
        return error.exit_status
    try:
        answer = client.call("INFO")
    except StorageError:  # the user has no permission
        answer = None
    facts = answer if isinstance(answer, dict) else {}
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    say(f"store {client.url}: ok{version and f', version {version}'}{', has the outbox' if has_outbox else ''}")
    policy, warning = facts.get("maxmemory_policy", "noeviction"), f"warning: store {client.url}"
    if has_outbox and policy != "noeviction":
        say(f"{warning} throws messages away when it is full: set maxmemory-policy to noeviction (it is {policy})")
    if has_outbox and facts.get("aof_enabled") == 0:
        say(f"{warning} does not write each message to its disk: with appendonly yes, a crash loses a second's at most")
    return ExitStatus.OK
