"""The command line. Click ends here, and every error becomes a line and an exit status here."""

from __future__ import annotations

import errno
import signal
from importlib import import_module
from pathlib import Path

import click

from chatpost import __version__
from chatpost.cli.signals import die_of
from chatpost.errors import ChatpostError, ExitStatus

EPILOG = """\b
Start with:
  chatpost profiles add ops          keep a webhook's URL under a name
  chatpost send -p ops "Hello"       post through it
  chatpost COMMAND --help            learn a command by examples
"""


COMMANDS = {
    "send": "Post a message, and print its name.",
    "reply": "Post into a thread, and print the message's name.",
    "thread": "Open a thread, and print the name of its first message.",
    "profiles": "List the profiles; add and check them.",
    "emulator": "Serve a local Google Chat, to try things on.",
}
"""The commands, each in the module of its name, with what the list of commands says of it."""


class _LazyGroup(click.Group):
    """Imports a command when it is run, and none to list them: a start costs what its own command costs.

    The commands it is made with only stand for the real ones.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.commands:
            return None
        command: click.Command = getattr(import_module(f"chatpost.commands.{name}"), name)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    commands={name: click.Command(name) for name in COMMANDS},
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="chatpost", message="%(prog)s %(version)s")
def chatpost() -> None:
    """Post to a Google Chat space through its incoming webhook."""


def run() -> int:
    """Run the command line; return its exit status, after one line on stderr for what went wrong."""
    try:
        return int(chatpost.main(prog_name="chatpost", standalone_mode=False) or ExitStatus.OK)
    except click.exceptions.NoArgsIsHelpError as help_page:
        help_page.show()
        return ExitStatus.USAGE
    except click.UsageError as error:
        _say(_usage_line(error))
        return ExitStatus.USAGE
    except ChatpostError as error:
        _say(str(error))
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        die_of(signal.SIGINT)
    except OSError as failure:
        # Click's own writing, of a help page or the version; ours is handled where it is done.
        full = failure.errno == errno.ENOSPC
        _say("stdout could not be written: no space left on device" if full else _bug_line(failure))
        return ExitStatus.IO if full else ExitStatus.BUG
    except Exception as bug:  # noqa: BLE001 - nobody is to see a traceback, which could hold a secret
        _say(_bug_line(bug))
        return ExitStatus.BUG


def _say(line: str) -> None:
    from chatpost.cli.output import say  # not for --help

    say(line)


def _usage_line(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.BadParameter) and error.param is not None and error.ctx is not None:
        source = error.ctx.get_parameter_source(error.param.name or "")
        if source is click.core.ParameterSource.ENVIRONMENT:
            message = f"{error.param.envvar}: {error.message}"
    if isinstance(error, click.NoSuchOption):
        hint = "Text that begins with a dash goes behind --"
        if error.ctx is not None and error.ctx.parent is None:
            hint = "Options stand behind the command, as in chatpost send -p ops"
        message = f"{message} {hint}"
    command = error.ctx.command_path if error.ctx is not None else "chatpost"
    return f"{message.rstrip('.')} (see {command} --help)"


def _bug_line(bug: Exception) -> str:
    """Name the place of a bug and its kind; what it says could quote a secret."""
    frame = bug.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "nowhere"
    return f"this is a bug in chatpost {__version__}: {type(bug).__name__} at {place}; please report it"
