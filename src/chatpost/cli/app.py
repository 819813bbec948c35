"""Runs a command line: commands are imported when they are used, and every error becomes a line and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatpost import __version__
from chatpost.errors import ChatpostError, ExitStatus, InputError
from chatpost.processes import reraise_signal
from chatpost.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from chatpost.cli.settings import Section


class LazyGroup(click.Group):
    """Imports a command when it is run, and none to list them: a start costs no more than its own command.

    ``lines`` says of each command, by name, what the list of commands shows; each is in the module of its name in
    ``package``.
    """

    def __init__(self, name: str | None = None, *, package: str, lines: Mapping[str, str], **attributes: Any) -> None:
        # The commands given to Click only stand for the real ones.
        attributes["commands"] = {command: click.Command(command) for command in lines}
        super().__init__(name, **attributes)
        self._package = package
        self._lines = lines

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are shown."""
        return list(self._lines)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in self._lines:
            return None
        command: click.Command = getattr(import_module(f"{self._package}.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that its parser raises is about that command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            name = ctx.invoked_subcommand
            command = self.get_command(ctx, name) if name is not None else None
            if error.ctx is None and command is not None:
                error.ctx = click.Context(command, info_name=name, parent=ctx)
            raise

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))


class SectionedCommand(click.Command):
    """A command whose options come in sections, and whose `-h` is a page of its own.

    ``short`` names the options of that page; ``examples`` are lines of shell.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        sections: Sequence[Section[Any]],
        short: Sequence[str],
        examples: str,
        **attributes: Any,
    ) -> None:
        self._short_help_option = click.Option(
            ["-h", "short_help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_short_page,
            help="Show the options that most people need, and exit.",
        )
        options = chain.from_iterable(section.options for section in sections)
        attributes["params"] = [*options, self._short_help_option, *(attributes.get("params") or [])]
        super().__init__(name, **attributes)
        self.sections = sections
        self._short = short
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option below its section's heading."""
        from chatpost.cli.help import write_sections

        write_sections(ctx, formatter, self.sections, [self._short_help_option, self.get_help_option(ctx)])

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the note about variables."""
        from chatpost.cli.help import write_examples, write_variables

        write_examples(formatter, self.examples)
        write_variables(formatter)

    def short_page(self, ctx: click.Context) -> str:
        """Return the page that `-h` shows."""
        from chatpost.cli.help import write_examples, write_short_options

        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        write_examples(formatter, self.examples)
        write_short_options(ctx, formatter, self._short)
        return formatter.getvalue().rstrip("\n")


def _show_short_page(ctx: click.Context, _param: click.Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing and isinstance(ctx.command, SectionedCommand):
        click.echo(ctx.command.short_page(ctx), color=ctx.color)
        ctx.exit()


def run(command: click.Command) -> int:
    """Run the command line; return its exit status, after a line on stderr if it failed."""
    surroundings = Surroundings(os.environ, sys.stdin, sys.stdout, sys.stderr)
    try:
        return _run(command, surroundings)
    except KeyboardInterrupt:
        reraise_signal(signal.SIGINT)


def _run(command: click.Command, surroundings: Surroundings) -> int:
    try:
        return int(command.main(prog_name="chatpost", standalone_mode=False, obj=surroundings) or ExitStatus.OK)
    except click.exceptions.NoArgsIsHelpError as help_page:
        help_page.show()
        return ExitStatus.USAGE
    except click.UsageError as error:
        _say(_usage_line(error))
        if _was_to_follow(sys.argv[1:], surroundings.environment):
            drain(surroundings.stdin)
        return ExitStatus.USAGE
    except ChatpostError as error:
        _say(str(error))
        return error.exit_status
    except click.Abort:
        reraise_signal(signal.SIGINT)
    except SystemExit:  # Click's way to say that nobody reads its help page
        return ExitStatus.OK
    except OSError as failure:
        # Click writes help pages and the version itself.
        full = failure.errno == errno.ENOSPC
        _say("stdout could not be written: no space left on device" if full else bug_line(failure))
        return ExitStatus.IO if full else ExitStatus.BUG
    except Exception as bug:  # noqa: BLE001 - a traceback could hold a secret
        _say(bug_line(bug))
        return ExitStatus.BUG


def _say(line: str) -> None:
    from chatpost.cli.console import say  # not for --help

    say(line)


def _was_to_follow(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a command line that is wrong meant to read a job's output: the job must not die of it."""
    options = words[: words.index("--")] if "--" in words else words
    in_environment = environment.get("CHATPOST_FOLLOW", "").lower() not in {"", "0", "false", "no", "off", "f", "n"}
    return "thread" in options and (in_environment or any(word.startswith("--follow") for word in options))


def drain(stdin: TextIO | None) -> None:
    """Read stdin to its end, unless a person types it: its writer must not die of a closed pipe."""
    if stdin is not None and not stdin.isatty():
        from chatpost.content.source import read_chunks

        with suppress(InputError):
            for _ in read_chunks(stdin.fileno(), "stdin"):
                pass


def _usage_line(error: click.UsageError) -> str:
    """Return a usage error as one line for a person, with a hint where to read on."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.BadParameter) and error.param is not None and error.ctx is not None:
        source = error.ctx.get_parameter_source(error.param.name or "")
        if source is click.core.ParameterSource.ENVIRONMENT:
            message = f"{error.param.envvar}: {error.message}"
    if _has_url_too_many(error):
        message = "The webhook's URL is asked for, or read from a pipe: on the command line, others could see it"
    if isinstance(error, click.NoSuchOption):
        message = f"No such option {error.option_name!r}. {_option_hint(error)}"
    command = error.ctx.command_path if error.ctx is not None else "chatpost"
    return f"{message.strip().rstrip('.')} (see {command} --help)"


def _has_url_too_many(error: click.UsageError) -> bool:
    """Return whether the URL stands behind the name of a new profile."""
    return error.ctx is not None and error.ctx.command.name == "add" and "://" in error.message


def _option_hint(error: click.NoSuchOption) -> str:
    from difflib import get_close_matches  # only for a mistake

    name, ctx = error.option_name, error.ctx
    if ctx is not None and ctx.parent is None:
        return "Options go after the command, as in chatpost send -p ops"
    options = [parameter for parameter in ctx.command.params if isinstance(parameter, click.Option)] if ctx else []
    known = [name for option in options for name in option.opts]
    nearest = get_close_matches(name, known, 1, cutoff=0.75)
    if nearest:
        return f"Did you mean {nearest[0]}?"
    if ctx is not None and ctx.command.name in _RUN_COMMANDS:
        return f"Put -- before the command to run: {ctx.command_path} -- COMMAND"
    return "Text that begins with a dash goes after --" if not name.startswith("--") else ""


_RUN_COMMANDS = {"emulator", "run"}
"""The commands that run another, whose options they do not know."""


def bug_line(bug: Exception) -> str:
    """Name a bug's kind and place, but not its message, which could quote a secret."""
    frame = bug.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "an unknown place"
    return f"this is a bug in chatpost {__version__}: {type(bug).__name__} at {place}; please report it"
