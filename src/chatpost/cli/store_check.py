"""`chatpost profiles check`: whether a fleet's store can be used, and what speaks against keeping messages there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatpost.cli.console import say
from chatpost.errors import ConfigurationError, ExitStatus, StorageError
from chatpost.pacing.redis import check_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatpost.cli.store import Store
    from chatpost.delivery.redis_server import RedisServer


def check_store(store: Store) -> ExitStatus:
    """Take a place in a queue of the store, give it up, and say what was found."""
    try:
        has_outbox, server = store.has_outbox(), store.server()
        check_queue(server)
    except StorageError as error:
        say(f"store {error}")
        return ExitStatus.CONFIGURATION if error.is_permanent else error.exit_status
    except ConfigurationError as error:
        say(str(error))
        return error.exit_status
    facts = _facts(server)
    version = facts.get("valkey_version") or facts.get("redis_version", "")
    say(f"store {server.url}: ok{version and f', version {version}'}{', has the outbox' if has_outbox else ''}")
    for doubt in _doubts(facts) if has_outbox else ():
        say(f"warning: store {server.url} {doubt}")
    return ExitStatus.OK


def _facts(server: RedisServer) -> dict[str, str]:
    """Return what the server says of itself; nothing if its user may not ask."""
    try:
        answer = server.call("INFO")
    except StorageError:
        return {}
    # redis-py has read the lines already.
    lines = answer.decode(errors="replace").splitlines() if isinstance(answer, bytes) else ()
    known = dict(answer) if isinstance(answer, dict) else {}
    return {name: str(value) for name, value in known.items()} | dict(
        line.split(":", 1) for line in lines if ":" in line
    )


def _doubts(facts: dict[str, str]) -> Iterator[str]:
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield f"throws messages away when it is full: set maxmemory-policy to noeviction (it is {policy})"
    if facts.get("aof_enabled") == "0":
        yield "does not write each message to its disk: with appendonly yes, a crash loses a second's at most"
