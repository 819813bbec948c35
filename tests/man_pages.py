"""Writes docs/man and docs/completions, which the wheel installs, of the same source as --help (`make docs`)."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import ShellComplete, get_completion_class

from chatpost.cli.help import SectionedCommand
from chatpost.commands import chatpost as group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCS = Path(__file__).parent.parent / "docs"
_FILES = {"bash": "chatpost", "zsh": "_chatpost", "fish": "chatpost.fish"}


def man_pages() -> dict[str, str]:
    """Return the pages by the names of their files: chatpost.1, and one for each command."""
    settings: dict[str, Any] = dict(group.context_settings)
    top = click.Context(group, info_name="chatpost", **settings)
    pages = {"chatpost.1": _page("chatpost", group, top)}
    for name in group.list_commands(top):
        command = group.get_command(top, name)
        assert command is not None
        pages[f"chatpost-{name}.1"] = _page(
            f"chatpost-{name}", command, click.Context(command, parent=top, info_name=name, **settings)
        )
    return pages


def completions() -> dict[str, str]:
    """Return the scripts that complete words, by the names of the files that each shell looks for."""
    scripts = {}
    for shell, name in _FILES.items():
        kind = get_completion_class(shell)
        assert kind is not None
        script = ShellComplete.source(kind(click.Group(), {}, "chatpost", "_CHATPOST_COMPLETE")).strip()
        scripts[name] = f"{script}\n"
    return scripts


def _page(name: str, command: click.Command, ctx: click.Context) -> str:
    help_text = (command.help or "").replace("\b\n", "").strip()
    line = command.get_short_help_str(200).rstrip(".")
    lines = [f'.TH {name.upper()} 1 "" chatpost chatpost', ".SH NAME", f"{_plain(name)} \\- {_plain(line)}"]
    usage = " ".join(command.collect_usage_pieces(ctx))
    lines += [".SH SYNOPSIS", f".B {_plain(ctx.command_path)}", _plain(usage), ".SH DESCRIPTION", *_text(help_text)]
    if isinstance(command, SectionedCommand):
        for heading, sections in groupby(command.sections, lambda section: section.heading):
            lines += [f".SH {heading.upper()}", *_options(ctx, (o for its in sections for o in its.options))]
    elif isinstance(command, click.Group):
        lines += [".SH COMMANDS"]
        for its_name in command.list_commands(ctx):
            its = command.get_command(ctx, its_name)
            assert its is not None
            lines += [".TP", f".B {_plain(its_name)}", _plain(its.get_short_help_str(200))]
        for its_name in command.list_commands(ctx) if command is not group else ():
            its = command.get_command(ctx, its_name)
            assert its is not None
            inner = click.Context(its, parent=ctx, info_name=its_name, help_option_names=ctx.help_option_names)
            usage = _plain(" ".join(its.collect_usage_pieces(inner)))
            its_text = _text((its.help or "").replace("\b\n", "").strip())
            lines += [f".SH {inner.command_path.upper()}", f".B {_plain(inner.command_path)}", usage, *its_text]
            lines += _options(inner, its.params)
    else:
        lines += [".SH OPTIONS", *_options(ctx, command.params)]
    lines += _examples(command)
    lines += [".SH ENVIRONMENT", "Every option can be set by a variable: CHATPOST_ and its name.", ".SH SEE ALSO"]
    others = ["chatpost", *(f"chatpost\\-{other}" for other in group.list_commands(ctx))]
    lines += [", ".join(f"{other} (1)" for other in others if other != _plain(name))]
    return "\n".join(line for line in lines if line) + "\n"


def _options(ctx: click.Context, options: Iterable[click.Parameter]) -> Iterator[str]:
    for option in options:
        record = option.get_help_record(ctx)
        if record is not None and isinstance(option, click.Option):
            yield from (".TP", f".B {_plain(record[0])}", _plain(" ".join(record[1].split())))


def _examples(command: click.Command) -> list[str]:
    if isinstance(command, SectionedCommand):
        lines = command.examples.splitlines()
    else:
        lines = [line.strip() for line in (command.epilog or "").replace("\b\n", "").splitlines() if line[:1] == " "]
    return [".SH EXAMPLES", ".nf", *map(_plain, lines), ".fi"] if lines else []


def _text(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Return a line of text that troff takes as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


def main() -> None:
    """Write them all."""
    for folder, files in (("man", man_pages()), ("completions", completions())):
        (DOCS / folder).mkdir(exist_ok=True)
        for name, text in files.items():
            (DOCS / folder / name).write_text(text)


if __name__ == "__main__":
    main()
