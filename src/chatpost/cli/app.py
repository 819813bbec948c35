"""Runs the command line: imports the command, and turns each error into a line on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from chatpost import __version__
from chatpost.errors import ChatpostError, ExitStatus, InputError
from chatpost.processes import Surroundings, reraise_signal

if TYPE_CHECKING:
    from chatpost.cli.settings import Section

_SPEC_WIDTH = 24


class LazyGroup(click.Group):
    """Imports a command when it is run, and none to list them, for a fast start-up.

    ``lines`` maps the commands to their lines in the list. Each is in the module of its name in ``package``.
    """

    def __init__(self, name: str | None = None, *, package: str, lines: Mapping[str, str], **attributes: Any) -> None:
        # Click gets placeholders for the commands.
        super().__init__(name, commands={command: click.Command(command) for command in lines}, **attributes)
        self._package = package
        self._lines = lines

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the given order."""
        return list(self._lines)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        return getattr(import_module(f"{self._package}.{name}"), name, None) if name in self._lines else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and add its name to errors of its parser, which Click leaves out."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if error.ctx is None and (name := ctx.invoked_subcommand):
                error.ctx = click.Context(self.commands[name], info_name=name, parent=ctx)
            raise

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))


class SectionedCommand(click.Command):
    """A command with its options in sections, and a short page for `-h`.

    ``short`` lists the options on that page; ``examples`` are lines of shell.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        sections: Sequence[Section[Any]],
        short: Sequence[str],
        examples: str,
        params: Sequence[click.Parameter] | None = None,
        **attributes: Any,
    ) -> None:
        self._short_help_option = click.Option(
            ["-h", "short_help"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=self._show_short_page,
            help="Show the most common options, and exit.",
        )
        options = [option for section in sections for option in section.options]
        super().__init__(name, params=[*options, self._short_help_option, *(params or ())], **attributes)
        self.sections = sections
        self._short = short
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options below the headings of their sections."""
        for heading, its in groupby(self.sections, lambda section: section.heading):
            _write_options(ctx, formatter, heading, [option for section in its for option in section.options])
        _write_options(ctx, formatter, "Help", [self._short_help_option, self.get_help_option(ctx)])

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and a note about variables."""
        self._write_examples(formatter)
        formatter.write_paragraph()
        formatter.write_text("Set any option in the environment, for example CHATPOST_THREAD_KEY for --thread-key.")

    def short_page(self, ctx: click.Context) -> str:
        """Return the page for `-h`."""
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self._write_examples(formatter)
        options = {option.name: option for option in self.params}
        _write_options(ctx, formatter, "Options", [options[name] for name in self._short])
        formatter.write_paragraph()
        formatter.write_text("Use --help to list all options.")
        return formatter.getvalue().rstrip("\n")

    def _write_examples(self, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text("\b\nExamples:\n  " + self.examples.replace("\n", "\n  "))

    def _show_short_page(self, ctx: click.Context, _param: click.Parameter, value: object) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(self.short_page(ctx), color=ctx.color)
            ctx.exit()


def _write_options(
    ctx: click.Context, formatter: click.HelpFormatter, heading: str, options: Iterable[click.Parameter | None]
) -> None:
    rows = [row for option in options if option and (row := option.get_help_record(ctx))]
    with formatter.section(heading):
        # All sections have the same width, so that their descriptions are aligned.
        formatter.write_dl([(f"{spec:{_SPEC_WIDTH}}", text) for spec, text in rows], col_max=_SPEC_WIDTH)


def run(command: click.Command) -> int:
    """Run the command line; return its exit status, after a line on stderr if it failed."""
    surroundings = _surroundings()
    try:
        return int(command.main(prog_name="chatpost", standalone_mode=False, obj=surroundings) or ExitStatus.OK)
    except click.exceptions.NoArgsIsHelpError as help_page:
        return _show_help(help_page, surroundings.stdin)
    except click.UsageError as error:
        from chatpost.cli.mistakes import usage_line  # only for a mistake

        _say(usage_line(error))
        _drain_followed(surroundings)
        return ExitStatus.USAGE
    except ChatpostError as error:
        from chatpost.cli.messages import see_also  # not for --help

        _say(f"{error}{see_also(error)}")
        return error.exit_status
    except click.Abort as abort:  # Click raises it for KeyboardInterrupt, and for an EOFError, which is a bug
        if isinstance(abort.__cause__, EOFError):
            _say(bug_line(abort.__cause__))
            return ExitStatus.BUG
        if isinstance(abort.__context__, EOFError):  # at a prompt
            _say("cancelled: there is no more input")
            return ExitStatus.NO_INPUT
        reraise_signal(signal.SIGINT)
    except SystemExit:  # Click raises it for a help page whose reader has closed the pipe
        return ExitStatus.OK
    except OSError as failure:
        # Click itself writes help pages and the version.
        full = failure.errno == errno.ENOSPC
        _say("cannot write to stdout: no space left on device" if full else bug_line(failure))
        return ExitStatus.IO if full else ExitStatus.BUG
    except Exception as bug:  # noqa: BLE001 - a traceback could hold a secret
        _say(bug_line(bug))
        return ExitStatus.BUG


def _surroundings() -> Surroundings:
    """Return the surroundings, and trim chatpost's variables for Click: env files from Windows end lines with CR."""
    given = dict(os.environ)  # which a job gets unchanged
    os.environ.update({name: value.strip() for name, value in given.items() if name.startswith("CHATPOST_")})
    return Surroundings(given, sys.stdin, sys.stdout, sys.stderr)


def _show_help(help_page: click.exceptions.NoArgsIsHelpError, stdin: TextIO | None) -> ExitStatus:
    """Show the group's help page. If text is piped in, name the command that posts it instead."""
    if help_page.ctx is not None and help_page.ctx.parent is None and _is_piped(stdin):
        _say("no command given: to post piped text, use `chatpost send` (see chatpost --help)")
    else:
        help_page.show()
    return ExitStatus.USAGE


def _is_piped(stdin: TextIO | None) -> bool:
    """Return whether stdin is a pipe or a file."""
    mode = 0
    with suppress(OSError):
        mode = 0 if stdin is None else os.fstat(stdin.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _say(line: str) -> None:
    from chatpost.cli.console import say  # not for --help

    say(line, "error")


def _drain_followed(surroundings: Surroundings) -> None:
    """Read stdin to its end if an invalid command line was meant to follow it, so that its writer gets no SIGPIPE."""
    options = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    variable = surroundings.environment.get("CHATPOST_FOLLOW", "")
    follows = any(word.startswith("--follow") for word in options) or click.BOOL.str_to_bool(variable) is not False
    if "thread" in options and follows and surroundings.stdin is not None and not surroundings.stdin.isatty():
        from chatpost.content.source import read_chunks

        with suppress(InputError):
            for _ in read_chunks(surroundings.stdin.fileno(), "stdin"):
                pass


def bug_line(bug: Exception) -> str:
    """Return the type and place of a bug, without its message, which could quote a secret."""
    from traceback import walk_tb

    *_, (frame, line) = walk_tb(bug.__traceback__)
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return f"this is a bug in chatpost {__version__}: {type(bug).__name__} at {place}; please report it"
