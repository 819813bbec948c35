"""Help in two pages: `-h` shows the usual options, `--help` every option, in sections."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import click

    from chatpost.cli.settings import Section

_ENVIRONMENT = "Every option can be set in the environment, as CHATPOST_ and its name: CHATPOST_DEADLINE=10."
_SPEC_WIDTH = 24


def write_sections(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    sections: Sequence[Section[Any]],
    help_options: Iterable[click.Parameter | None],
) -> None:
    """Write every option below its section's heading."""
    for heading, its in groupby(sections, lambda section: section.heading):
        _write_options(ctx, formatter, heading, [option for section in its for option in section.options])
    _write_options(ctx, formatter, "Help", help_options)


def write_short_options(ctx: click.Context, formatter: click.HelpFormatter, names: Iterable[str]) -> None:
    """Write the options of these names."""
    options = {option.name: option for option in ctx.command.params}
    _write_options(ctx, formatter, "Options", [options[name] for name in names])
    formatter.write_paragraph()
    formatter.write_text("--help lists all options.")


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """Write lines of shell."""
    formatter.write_paragraph()
    formatter.write_text("\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()))


def write_variables(formatter: click.HelpFormatter) -> None:
    """Write the note about variables."""
    formatter.write_paragraph()
    formatter.write_text(_ENVIRONMENT)


def _write_options(
    ctx: click.Context, formatter: click.HelpFormatter, heading: str, options: Iterable[click.Parameter | None]
) -> None:
    rows = [row for option in options if option is not None and (row := option.get_help_record(ctx)) is not None]
    with formatter.section(heading):
        # One width for all sections, so that the descriptions stand below each other.
        formatter.write_dl([(f"{spec:{_SPEC_WIDTH}}", text) for spec, text in rows], col_max=_SPEC_WIDTH)
