"""Everything that can go wrong, and the exit status each kind has.

    ChatpostError
    ├── UsageError             2   options that do not go together
    ├── DataError             65   the text is empty or too long
    ├── InputError            66   a file or stdin that cannot be read
    ├── ConfigurationError    78   profile file, webhook URL, environment
    ├── OutputError           74   stdout could not be written
    └── DeliveryError              what an attempt to post came to
        ├── InvalidMessage    65   Chat said INVALID_ARGUMENT
        ├── Refused           69   NOT_FOUND and the other final answers
        ├── Unavailable       75   quota, 5xx, network, deadline: retried
        │   └── SpaceBusy          its next free slot is past the deadline
        ├── ProtocolError     76   TLS, a redirect
        │   └── BrokenAnswer       a 2xx that makes no sense: retried
        ├── NotAllowed        77   key or token rejected
        └── UnusableRoute     78   the environment's proxy or CA bundle is no such thing

A message is one line for a person and holds no secret: whoever raises it has masked what it quotes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """The command's exit status: BSD ``sysexits.h``, and Click's own 2."""

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
    """Any failure that chatpost foresees; ``str()`` of it is one line for a person."""

    exit_status: ClassVar[ExitStatus]


class UsageError(ChatpostError):
    """Options that make no sense together, or a value that fits no webhook named."""

    exit_status = ExitStatus.USAGE


class DataError(ChatpostError):
    """The text cannot be a message: it is empty, or larger than Chat takes."""

    exit_status = ExitStatus.DATA


class InputError(ChatpostError):
    """A file, or stdin, that cannot be read."""

    exit_status = ExitStatus.NO_INPUT


class ConfigurationError(ChatpostError):
    """A profile, a webhook URL or an environment variable is wrong or missing."""

    exit_status = ExitStatus.CONFIGURATION


class OutputError(ChatpostError):
    """Stdout could not be written; a message it speaks of was posted all the same."""

    exit_status = ExitStatus.IO


class DeliveryError(ChatpostError):
    """An attempt to post failed.

    ``code`` is the HTTP status, ``status`` the name of the ``google.rpc.Code``; both are None where
    no answer came. ``retry_after`` is how many seconds the server asked to wait.
    ``maybe_posted``: the message may stand in the space all the same.
    """

    retryable: ClassVar[bool] = False
    is_passing: ClassVar[bool] = False
    """Whether another message, later, may meet with something else."""

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


class InvalidMessage(DeliveryError):
    """Chat found the message itself wrong."""

    exit_status = ExitStatus.DATA
    is_passing = True


class Refused(DeliveryError):
    """A final answer: no such space, webhook or thread, an id already taken."""

    exit_status = ExitStatus.REFUSED


class Unavailable(DeliveryError):
    """It may work later: quota, a server's fault, the network, the deadline."""

    exit_status = ExitStatus.TRY_LATER
    retryable = True
    is_passing = True


class SpaceBusy(Unavailable):
    """The space is free only in ``free_in`` seconds, which is too late."""

    retryable = False

    def __init__(self, free_in: float) -> None:
        super().__init__(f"the space takes one message at a time, and is free in {free_in:.1f} s")
        self.free_in = free_in


class ProtocolError(DeliveryError):
    """What is at the other end does not speak as Chat does: TLS, a redirect."""

    exit_status = ExitStatus.PROTOCOL


class BrokenAnswer(ProtocolError):
    """A success that names no message: cut short, or not JSON."""

    retryable = True
    is_passing = True


class NotAllowed(DeliveryError):
    """The webhook's key or token was rejected."""

    exit_status = ExitStatus.NOT_ALLOWED


class UnusableRoute(DeliveryError):
    """The environment names a proxy or a CA bundle that cannot be used as one."""

    exit_status = ExitStatus.CONFIGURATION
