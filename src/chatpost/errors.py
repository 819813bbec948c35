"""The errors and their exit statuses.

    ChatpostError
    ├── UsageError             2   options that cannot be used together
    ├── DataError             65   the text is empty or too long
    ├── InputError            66   a file, or stdin, cannot be read
    ├── ConfigurationError    78   profile file, webhook URL, environment
    ├── OutputError           74   cannot write to stdout
    ├── StorageError          75   a state file, or Redis, cannot be used
    │   └── OutboxFull
    └── DeliveryError              an attempt to post failed
        ├── InvalidMessage    65   Chat said INVALID_ARGUMENT
        ├── Refused           69   NOT_FOUND and other permanent errors
        ├── Unavailable       75   quota, 5xx, network, deadline: retried
        │   ├── SpaceBusy          the space's turn comes after the deadline
        │   └── Offline            no network: the name is not resolved, or there is no route
        ├── ProtocolError     76   TLS, a redirect
        │   └── BrokenAnswer       an invalid 2xx response: retried
        ├── NotAllowed        77   key or token rejected
        └── UnusableRoute     78   the environment's proxy or CA bundle is unusable

A message is one line for people without secrets: the code that raises it masks the text that it quotes.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """Exit statuses: those of ``sysexits.h``, and Click's 2."""

    OK = 0
    USAGE = 2
    DATA = 65
    NO_INPUT = 66
    REFUSED = 69
    BUG = 70
    IO = 74
    TRY_LATER = 75
    PROTOCOL = 76
    NOT_ALLOWED = 77
    CONFIGURATION = 78


class ChatpostError(Exception):
    """Base class of chatpost's errors; ``str()`` is one line for people."""

    exit_status: ClassVar[ExitStatus]

    def __init_subclass__(cls, exit_status: ExitStatus | None = None) -> None:
        if exit_status is not None:  # else inherited
            cls.exit_status = exit_status


class UsageError(ChatpostError, exit_status=ExitStatus.USAGE):
    """Options that exclude each other, or a value that does not fit the webhook."""


class VariablesClash(UsageError):
    """Environment variables that exclude each other."""


class DataError(ChatpostError, exit_status=ExitStatus.DATA):
    """The text is empty, or larger than Chat accepts."""


class InputError(ChatpostError, exit_status=ExitStatus.NO_INPUT):
    """A file, or stdin, cannot be read."""


class ConfigurationError(ChatpostError, exit_status=ExitStatus.CONFIGURATION):
    """A profile, a webhook URL or an environment variable is invalid or missing."""


class OutputError(ChatpostError, exit_status=ExitStatus.IO):
    """Stdout could not be written; the message may have been posted."""


class StorageError(ChatpostError, exit_status=ExitStatus.TRY_LATER):
    """A state file, or Redis, cannot be used, for this ``reason``.

    ``is_permanent``: retries would fail too: the file is corrupt or not chatpost's. ``maybe_done``: the change may have
    been made.
    """

    is_permanent = False
    maybe_done = False

    def __init__(self, where: object, reason: str, *, is_permanent: bool = False, maybe_done: bool = False) -> None:
        super().__init__(f"{where} cannot be used: {reason}")
        self.reason = reason
        self.is_permanent = is_permanent
        self.maybe_done = maybe_done


class OutboxFull(StorageError):
    """The outbox has reached its limit of messages or bytes, with ``count`` messages."""

    def __init__(self, count: int) -> None:
        ChatpostError.__init__(
            self, f"the outbox is full ({count:,} messages): flush it, or delete rejected and expired messages"
        )
        self.reason = "it is full"


class DeliveryError(ChatpostError):
    """An attempt to post failed.

    ``code``: the HTTP status. ``status``: the name of the ``google.rpc.Code``. Both are None without a response.
    ``retry_after``: the server's Retry-After, in seconds. ``maybe_posted``: the message may have been posted.
    """

    retryable: ClassVar[bool] = False
    is_transient: ClassVar[bool] = False
    """Whether another message may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status: str | None = None,
        retry_after: float | None = None,
        maybe_posted: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.maybe_posted = maybe_posted


class InvalidMessage(DeliveryError, exit_status=ExitStatus.DATA):
    """Chat rejected the message, or its thread."""

    is_transient = True


class Refused(DeliveryError, exit_status=ExitStatus.REFUSED):
    """A permanent error: the space, webhook or thread does not exist, or an ID is taken."""


class Unavailable(DeliveryError, exit_status=ExitStatus.TRY_LATER):
    """A transient error: quota, a server error, the network, the deadline."""

    retryable = True
    is_transient = True


class SpaceBusy(Unavailable):
    """The message's turn in its space would come after the deadline."""

    retryable = False

    def __init__(self, free_in: float) -> None:
        super().__init__(f"the space is busy for another {free_in:.1f} s")


class Offline(Unavailable):
    """There is no network: the server's name cannot be resolved, or there is no route to it."""


class ProtocolError(DeliveryError, exit_status=ExitStatus.PROTOCOL):
    """The server does not behave like Chat: TLS, a redirect."""


class BrokenAnswer(ProtocolError):
    """A 2xx response without a message name: truncated, or not JSON."""

    retryable = True
    is_transient = True


class NotAllowed(DeliveryError, exit_status=ExitStatus.NOT_ALLOWED):
    """The webhook's key or token was rejected."""


class UnusableRoute(DeliveryError, exit_status=ExitStatus.CONFIGURATION):
    """The proxy or CA bundle that the environment names cannot be used."""


def system_reason(failure: OSError) -> str:
    """Return the system's message for an error, such as ``no space left on device``."""
    if failure.errno == errno.ELOOP:  # for O_NOFOLLOW too, where "too many levels" would be misleading
        return "the path contains a symbolic link that cannot be followed"
    return os.strerror(failure.errno or 0).lower()
