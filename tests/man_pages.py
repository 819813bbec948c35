"""Generates docs/man and docs/completions from the same source as --help (`make docs`). The wheel installs both."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import ShellComplete, get_completion_class

from chatpost.cli.app import SectionedCommand
from chatpost.commands import chatpost as group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DOCS = Path(__file__).parent.parent / "docs"
_FILES = {"bash": "chatpost", "zsh": "_chatpost", "fish": "chatpost.fish"}
# zsh runs the file as the completion function on every Tab. Click's last lines would register it again and then fail.
_ZSH_END = re.compile(r"if \[\[ \$zsh_eval_context.*", re.DOTALL)

_VARIABLES = {
    "CHATPOST_URL": "URL of the webhook. It overrides the default profile, and -p overrides it.",
    "CHATPOST_URL_FILE": "Path of a file that contains the URL of the webhook.",
    "CHATPOST_PROFILE": "Profiles to post to, separated by spaces.",
    "CHATPOST_CONFIG": "Path of the profile file.",
    "CHATPOST_REDIS_URL": "URL of the Redis that a fleet shares.",
    "CHATPOST_OUTBOX": "Location of the outbox: local, the default, or redis, for that Redis.",
    "HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE": "Proxy, hosts to reach without it, and certificate authorities.",
}
_USED_FILES = {
    "~/.config/chatpost/profiles.toml": "The user's profiles: webhooks, defaults for options, and names to mention.",
    "/etc/xdg/chatpost/profiles.toml": "The system's profiles, for users without a profile file.",
    "~/.local/state/chatpost/outbox.sqlite3": "The outbox.",
    "~/.local/state/chatpost/pacing.sqlite3": "Turns of the user's processes in each space.",
    "~/.local/state/chatpost/jobs.sqlite3": "Job history, for run --on change.",
}


def man_pages() -> dict[str, str]:
    """Return the man pages by file name: chatpost.1 and one page per command."""
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
    """Return the completion scripts by the file names that each shell expects."""
    scripts = {}
    for shell, name in _FILES.items():
        kind = get_completion_class(shell)
        assert kind is not None
        script = ShellComplete.source(kind(click.Group(), {}, "chatpost", "_CHATPOST_COMPLETE")).strip()
        scripts[name] = _ZSH_END.sub('_chatpost_completion "$@"', script) + "\n"
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
    elif options := list(_options(ctx, command.params)):
        lines += [".SH OPTIONS", *options]
    lines += _examples(command)
    lines += _surroundings(command)
    lines += [".SH SEE ALSO"]
    others = ["chatpost", *(f"chatpost-{other}" for other in group.list_commands(ctx))]
    *first, last = (_reference(other) for other in others if other != name)
    lines += [*(f"{line}," for line in first), last]
    return "\n".join(line for line in lines if line) + "\n"


def _options(ctx: click.Context, options: Iterable[click.Parameter]) -> Iterator[str]:
    for option in options:
        record = option.get_help_record(ctx)
        if record is not None and isinstance(option, click.Option):
            yield from (".TP", f".B {_plain(record[0])}", _plain(" ".join(record[1].split())))


def _examples(command: click.Command) -> list[str]:
    if isinstance(command, SectionedCommand):
        return [".SH EXAMPLES", ".nf", *map(_plain, command.examples.splitlines()), ".fi"]
    lines = [".SH EXAMPLES"]
    for block in (command.epilog or "").split("\b\n"):
        heading, *rest = block.strip().splitlines() or [""]
        if rest:
            lines += [] if heading == "Examples:" else [".PP", _plain(heading)]
            lines += [".nf", *(_plain(line.strip()) for line in rest), ".fi"]
    return lines if len(lines) > 1 else []


def _surroundings(command: click.Command) -> list[str]:
    """Return the sections about environment, files and exit statuses.

    The top page lists those shared by all commands.
    """
    if command is group:
        lines = [".SH ENVIRONMENT", *_described(_VARIABLES), ".SH FILES", *_described(_USED_FILES)]
        statuses = re.findall(r"^\| (\d+) \| \w+ \| (.*?) \|", (DOCS / "exit-status.md").read_text(), re.MULTILINE)
        return [*lines, ".SH EXIT STATUS", *_described({status: text.replace("`", "") for status, text in statuses})]
    lines = [".SH ENVIRONMENT", "See", _reference("chatpost"), "for variables, files and exit statuses."]
    if command.name == "run":
        lines.append(
            "The exit status is the job\\(aqs, 124 after the time limit, or 126 or 127 if the job cannot be started."
        )
    if isinstance(command, SectionedCommand):
        lines.append("Set any option in the environment as CHATPOST_ and its name, for example CHATPOST_DEADLINE=10s.")
    return lines


def _reference(page: str) -> str:
    return f".BR \\%{_plain(page)} (1)"


def _described(table: Mapping[str, str]) -> Iterator[str]:
    for name, text in table.items():
        yield from (".TP", f".B {_plain(name)}", _plain(text))


def _text(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield ".PP"
        yield _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Return a line of text, escaped for troff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


def main() -> None:
    """Write all files."""
    for folder, files in (("man", man_pages()), ("completions", completions())):
        (DOCS / folder).mkdir(exist_ok=True)
        for name, text in files.items():
            (DOCS / folder / name).write_text(text)


if __name__ == "__main__":
    main()
