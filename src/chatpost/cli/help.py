"""Help in two pages: `-h` shows the usual options, `--help` every option, in sections."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatpost.cli.settings import Section

_ENVIRONMENT = "Every option can be set in the environment, as CHATPOST_ and its name: CHATPOST_DEADLINE=10."


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
        options = [option for section in sections for option in section.options]
        self._short_help_option = _short_help_option()
        attributes["params"] = [*options, self._short_help_option, *(attributes.get("params") or [])]
        super().__init__(name, **attributes)
        self.sections = sections
        self._short = short
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every option below its section's heading."""
        for heading, sections in groupby(self.sections, lambda section: section.heading):
            self._write_options(ctx, formatter, heading, [option for its in sections for option in its.options])
        self._write_options(ctx, formatter, "Help", [self._short_help_option, self.get_help_option(ctx)])

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the note about variables."""
        self._write_examples(formatter)
        formatter.write_paragraph()
        formatter.write_text(_ENVIRONMENT)

    def short_page(self, ctx: click.Context) -> str:
        """Return the page that `-h` shows."""
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self._write_examples(formatter)
        options = {option.name: option for option in self.params}
        self._write_options(ctx, formatter, "Options", [options[name] for name in self._short])
        formatter.write_paragraph()
        formatter.write_text("--help lists all options.")
        return formatter.getvalue().rstrip("\n")

    def _write_options(
        self,
        ctx: click.Context,
        formatter: click.HelpFormatter,
        heading: str,
        options: Iterable[click.Parameter | None],
    ) -> None:
        rows = [row for option in options if option is not None and (row := option.get_help_record(ctx)) is not None]
        with formatter.section(heading):
            # One width for all sections, so that the descriptions stand below each other.
            formatter.write_dl([(f"{spec:{_SPEC_WIDTH}}", text) for spec, text in rows], col_max=_SPEC_WIDTH)

    def _write_examples(self, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text("\b\nExamples:\n" + "\n".join(f"  {line}" for line in self.examples.splitlines()))


_SPEC_WIDTH = 24


def _short_help_option() -> click.Option:
    def show(ctx: click.Context, _param: click.Parameter, value: object) -> None:
        if value and not ctx.resilient_parsing and isinstance(ctx.command, SectionedCommand):
            click.echo(ctx.command.short_page(ctx), color=ctx.color)
            ctx.exit()

    return click.Option(
        ["-h", "short_help"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the options that most people need, and exit.",
    )
