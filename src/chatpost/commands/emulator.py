"""`chatpost emulator`."""

from __future__ import annotations

import signal
import subprocess
import warnings
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any

import click

from chatpost.cli.completion import complete_file
from chatpost.cli.console import is_terminal, say, write_data
from chatpost.cli.tables import draw_trees
from chatpost.cli.types import Parsed, Whole
from chatpost.concurrency import LONGEST_WAIT, sleep
from chatpost.errors import ConfigurationError, ExitStatus, InputError, system_reason
from chatpost.formatting import one_line
from chatpost.processes import Surroundings, handling_ends

if TYPE_CHECKING:
    from chatpost.emulator import Emulator, Fault
    from chatpost.emulator.server import Received

_WIDTH = 44  # characters of a message that are shown

EPILOG = """\b
Examples:
  chatpost emulator                    serve until Ctrl-C and print a webhook URL
  chatpost emulator -- ./notify.sh     run a command against the emulator
  chatpost emulator --fault '503*2' -- chatpost send Hi

\b
Faults, each for one request (*N: for N requests):
  503  429,retry-after=2    return this status; do not store the message
  delay=1.5s                store the message; respond after this long
  drop-before  drop-after   close the connection before or after storing
  truncate  drip            store; truncate the response, or never end it
  ok                        no fault
"""


def _parse_faults(value: str) -> list[Fault]:
    _check_extra()
    from chatpost.emulator.faults import parse_faults  # needs the extra

    try:
        return parse_faults(value)
    except ValueError as error:
        raise ValueError(f"{value!r}: {error}") from None


@click.command(epilog=EPILOG)
@click.option("--port", type=Whole(0, 65535), default=0, metavar="PORT", help="Port to listen on.  [default: any]")
@click.option("--open", is_flag=True, help="Open the page of messages in a browser.")
@click.option("--no-quota", is_flag=True, help="Disable the limit of one request per second and space.")
@click.option(
    "--fault",
    type=Parsed("FAULT", _parse_faults),
    multiple=True,
    help="Fault to inject into the next request. Repeatable.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_file)
@click.pass_obj
def emulator(surroundings: Surroundings, /, port: int, command: Sequence[str], **options: Any) -> int:
    """Run a local Google Chat for testing.

    The emulator accepts webhook requests as Chat does, on loopback, and deletes all messages when it stops. With
    COMMAND, it runs the command with CHATPOST_URL set to a webhook, then shows the messages on stderr. A command that
    uses -p still posts to its profile's webhook.
    """
    _check_extra()
    from chatpost.emulator import Emulator  # needs the extra

    def log(received: Received) -> None:
        if not command:
            say(f"{received.method} {received.path}: {received.status or 'dropped'}")

    try:
        chat = Emulator(
            port=port, quota=0.0 if options["no_quota"] else 1.0, faults=chain(*options["fault"]), on_received=log
        )
    except OSError as failure:
        reason = f"cannot serve on port {port}: {system_reason(failure)}"
        raise ConfigurationError(f"{reason}; use another --port, or omit the option") from None
    with chat:
        if options["open"]:
            webbrowser.open(chat.page)
        status = _run(command, chat, surroundings) if command else _serve(chat, surroundings)
    trees = {
        space.name: {
            name: [f"{one_line(message.summary, _WIDTH)}  ({message.name.rpartition('/')[2]})" for message in thread]
            for name, thread in space.threads().items()
        }
        for space in chat.spaces.values()
    }
    count = sum(len(space.messages) for space in chat.spaces.values())
    draw_trees(f"The emulator holds {count} message{'' if count == 1 else 's'}.", trees)
    return status


def _check_extra() -> None:
    # Google's libraries warn on stderr of Python versions that they will no longer support.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    try:
        import flask  # noqa: F401 - only whether it is installed

        import chatpost.emulator.types  # noqa: F401 - see above
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in {"flask", "google"}:
            raise
        raise ConfigurationError(
            "the emulator needs Flask and Google's types: in a checkout, run pipx install --force '.[emulator]'"
        ) from None


def _serve(chat: Emulator, surroundings: Surroundings) -> int:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        if is_terminal(surroundings.stdout):
            # In quotes, because a shell would cut it at the &.
            write_data(f"export CHATPOST_URL='{chat.url()}'")
            say("serving until Ctrl-C; paste the line above into another shell to post here")
        else:
            write_data(chat.url())
            say("serving until Ctrl-C; set CHATPOST_URL to this URL to post here")
        say(f"view the messages at {chat.page}")
        sleep(inf)
    return ExitStatus.OK


def _run(command: Sequence[str], chat: Emulator, surroundings: Surroundings) -> int:
    """Run the command with the emulator's webhook; return its exit status, as a shell would for a signal."""
    process: subprocess.Popen[bytes] | None = None
    is_ended = False

    def end(number: int, _before: object) -> None:
        nonlocal is_ended
        if number == signal.SIGINT:  # Ctrl-C also reaches the command, which decides whether to stop
            return
        is_ended = True
        if process is not None:
            process.terminate()

    with handling_ends(end):  # before the command starts, so that no signal leaves it running
        try:
            environment = {**surroundings.environment, "CHATPOST_URL": chat.url()}
            environment.pop("CHATPOST_URL_FILE", None)
            process = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own command
        except OSError as failure:
            raise InputError(f"{command[0]} cannot be run: {system_reason(failure)}") from None
        if is_ended:
            process.terminate()
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LONGEST_WAIT)
        status = process.returncode
    return status if status >= 0 else 128 - status
