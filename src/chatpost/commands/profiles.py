"""`chatpost profiles`: list, add and check them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from chatpost.chat.webhook import Webhook
from chatpost.cli.completion import complete_profile
from chatpost.cli.console import as_json, print_table, say, write_data
from chatpost.cli.sections import CONFIG, defaults_of
from chatpost.cli.signals import raising_interrupt
from chatpost.errors import ConfigurationError, ExitStatus
from chatpost.profiles.file import NO_WEBHOOK, PROFILE_NAME, find_profile_file, load_profiles, user_profile_file
from chatpost.profiles.url_source import SIZE_LIMIT, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from chatpost.profiles.file import Profile

EPILOG = """\b
Examples:
  chatpost profiles                     list them, and show the default
  chatpost profiles add ops             add one, and ask for its URL
  pass show ops | chatpost profiles add ops
  chatpost profiles check               check that all of them work
"""


@click.group(invoke_without_command=True, params=[CONFIG], epilog=EPILOG)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Format of the list.",
)
@click.pass_context
def profiles(ctx: click.Context, config: Path | None, output: str) -> None:
    """List, add and check profiles.

    Keys and tokens are never shown.
    """
    if ctx.invoked_subcommand is not None:
        return
    path = find_profile_file(config)
    if path is None:
        say("there are no profiles yet: `chatpost profiles add NAME` makes one")
        return
    file = load_profiles(path)
    rows = [(profile.name, profile.known_space(), str(profile.source)) for profile in file.profiles.values()]
    if output == "json":
        for name, space, source in rows:
            entry = {"profile": name, "space": space, "source": source, "default": name == file.default}
            write_data(as_json(entry))
    else:
        print_table(
            ("PROFILE", "SPACE", "URL FROM", ""),
            [(name, space or "-", source, "default" if name == file.default else "") for name, space, source in rows],
        )
    if os.environ.get("CHATPOST_URL"):
        say("CHATPOST_URL is set: without -p, messages go there")


@profiles.command(params=[CONFIG])
@click.argument("name")
@click.option("--replace", is_flag=True, help="Replace the URL of a profile that exists.")
@click.pass_context
def add(ctx: click.Context, name: str, config: Path | None, *, replace: bool) -> None:
    """Add a profile. Asks for its webhook URL, or reads it from a pipe.

    The URL is checked, but nothing is posted. The file becomes readable by you only. The rest of it stays as it is.
    The first profile becomes the default.
    """
    from chatpost.profiles.writer import add_profile  # tomlkit, for this command only

    if not PROFILE_NAME.fullmatch(name):
        msg = "a profile's name has letters, digits, and . _ - between them"
        raise click.BadParameter(msg, ctx, param_hint="NAME")
    url = _read_url()
    webhook = Webhook.parse(url)
    file = add_profile(_config(ctx, config) or user_profile_file(), name, url, replace=replace)
    default = ", the default" if file.default == name else ""
    say(f"profile {name}{default}, posts to {webhook.space} ({file.path}); try: chatpost send -p {name} Hello")


@profiles.command(params=[CONFIG], short_help="Check each profile's URL and options, and the file.")
@click.argument("name", required=False, shell_complete=complete_profile)
@click.pass_context
def check(ctx: click.Context, name: str | None, config: Path | None) -> int:
    """Check each profile's URL and options, and the file's permissions. Nothing is posted."""
    path = find_profile_file(_config(ctx, config))
    if path is None:
        raise ConfigurationError(NO_WEBHOOK)
    file = load_profiles(path)
    named = [file.profile(name)] if name else list(file.profiles.values())
    problems = [problem for problem in (file.permission_error(), file.permission_warning()) if problem]
    for problem in problems:
        say(problem)
    rows = [_checked(profile) for profile in named]
    print_table(("PROFILE", "SPACE", ""), rows)
    fit = all(verdict == "ok" for *_, verdict in rows) and file.permission_error() is None
    return ExitStatus.OK if fit else ExitStatus.CONFIGURATION


def _checked(profile: Profile) -> tuple[str, str, str]:
    try:
        defaults_of(profile)
        return profile.name, profile.webhook().space, "ok"
    except ConfigurationError as error:
        return profile.name, "-", str(error)


def _config(ctx: click.Context, config: Path | None) -> Path | None:
    """Return ``--config``, whether it stands before the subcommand or after it."""
    return config or (ctx.parent.params["config"] if ctx.parent else None)


def _read_url() -> str:
    if sys.stdin is not None and sys.stdin.isatty():
        with raising_interrupt():  # the prompt has to show again what is typed
            return str(click.prompt("The webhook's URL (it is not shown)", hide_input=True, err=True)).strip()
    url = first_line(sys.stdin.buffer.read(SIZE_LIMIT)) if sys.stdin is not None else ""
    if not url:
        msg = "no URL on stdin: pipe the webhook's URL in, or run this at a terminal to be asked for it"
        raise ConfigurationError(msg)
    return url
