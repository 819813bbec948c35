"""`chatpost profiles`: list, add, check and delete profiles, and set the default."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TextIO

import click

from chatpost.chat.webhook import Webhook
from chatpost.cli.command_options import LIST_FORMAT
from chatpost.cli.completion import complete_profile
from chatpost.cli.console import as_json, print_table, say, write_data
from chatpost.cli.options import CONFIG
from chatpost.cli.profile_defaults import load_defaults
from chatpost.content.source import read_chunks
from chatpost.directories import find_profile_file
from chatpost.errors import ConfigurationError, ExitStatus
from chatpost.processes import Surroundings, handling_ends, reraise_signal
from chatpost.profiles.file import PROFILE_NAME, ProfileFile, load_profiles, load_trusted_profiles, user_profile_file
from chatpost.profiles.sources import WEBHOOK, WEBHOOK_FILE, RedisConfig
from chatpost.profiles.url_source import SIZE_LIMIT, first_line

EPILOG = """\b
Examples:
  chatpost profiles                     list the profiles and the default
  chatpost profiles add ops             add a profile; asks for its URL
  pass show ops | chatpost profiles add ops
  chatpost profiles default ops         set the default profile
  chatpost profiles check               check URLs and options without posting
"""

_NO_PROFILES = "there are no profiles in {}: create one with `chatpost profiles add NAME`"


@click.group(invoke_without_command=True, params=[CONFIG, LIST_FORMAT], epilog=EPILOG)
@click.pass_context
def profiles(ctx: click.Context, config: Path | None, output: str) -> None:
    """Manage profiles.

    A profile stores a webhook URL under a name, with defaults for options. Keys and tokens are never shown.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, config=config, output=output)


@profiles.command("list", params=[CONFIG, LIST_FORMAT])
@click.pass_obj
def list_(surroundings: Surroundings, config: Path | None, output: str) -> None:
    """List the profiles and the default."""
    path = find_profile_file(config)
    if path is None:
        say(_NO_PROFILES.format(user_profile_file()))
        return
    file = load_profiles(path)
    if not file.profiles:
        say(_NO_PROFILES.format(path))
    rows = [
        (name, its.known_space(surroundings.environment), str(its.source), name == file.default)
        for name, its in file.profiles.items()
    ]
    if output == "json":
        for row in rows:
            write_data(as_json(dict(zip(("profile", "space", "source", "default"), row, strict=True))))
    else:
        shown = [(name, space or "-", source, "default" if chosen else "") for name, space, source, chosen in rows]
        print_table(("PROFILE", "SPACE", "URL FROM", ""), shown)
    if variable := next((name for name in (WEBHOOK, WEBHOOK_FILE) if surroundings.environment.get(name)), None):
        say(f"{variable} is set: without -p, messages go there")


@profiles.command(params=[CONFIG])
@click.argument("name")
@click.option("--replace", is_flag=True, help="Replace the URL of an existing profile.")
@click.pass_context
def add(ctx: click.Context, name: str, config: Path | None, *, replace: bool) -> None:
    """Add a profile.

    Prompts for its webhook URL, or reads it from a pipe.

    The URL is checked without posting. The file becomes readable only by you, and the rest of it is preserved. The
    first profile becomes the default.
    """
    from chatpost.profiles.writer import add_profile, check_before_adding  # tomlkit, for these commands only

    if not PROFILE_NAME.fullmatch(name):
        raise click.BadParameter(
            "a profile name consists of letters and digits, with . _ - between them", ctx, param_hint="NAME"
        )
    path = config or user_profile_file()
    check_before_adding(path, name, replace=replace)
    url = _read_url(ctx.obj.stdin)
    webhook = Webhook.parse(url)
    file = add_profile(path, name, webhook.request_url({}), replace=replace)
    default = ", the default," if file.default == name else ""
    say(f"profile {name}{default} posts to {webhook.space} ({file.path}); try: chatpost send -p {name} Hello")


@profiles.command(params=[CONFIG])
@click.argument("name", shell_complete=complete_profile)
def delete(name: str, config: Path | None) -> None:
    """Delete a profile. The webhook still exists in Chat."""
    from chatpost.profiles.writer import delete_profile

    before = _existing_file(config)
    after = delete_profile(before.path, name)
    say(f"profile {name} was deleted from {before.path}")
    if before.default == name and after.profiles:
        say(f"the default is now {after.default or 'not set'} (change it with `chatpost profiles default NAME`)")


@profiles.command(params=[CONFIG])
@click.argument("name", required=False, shell_complete=complete_profile)
def default(name: str | None, config: Path | None) -> int:
    """Show or set the default profile."""
    file = _existing_file(config)
    if name is not None:
        from chatpost.profiles.writer import set_default

        set_default(file.path, name)
        say(f"profile {name} is now the default ({file.path})")
    elif file.default is None:
        raise ConfigurationError(f"{file.path} sets no default: set one with `chatpost profiles default NAME`")
    else:
        write_data(file.default)
    return ExitStatus.OK


@profiles.command(params=[CONFIG], short_help="Print the path of the profile file.")
def path(config: Path | None) -> None:
    """Print the path of the profile file, even if it does not exist yet."""
    write_data(str(find_profile_file(config) or user_profile_file()))


@profiles.command(params=[CONFIG], short_help="Check profiles without posting.")
@click.argument("name", required=False, shell_complete=complete_profile)
@click.pass_obj
def check(surroundings: Surroundings, name: str | None, config: Path | None) -> int:
    """Check profiles without posting.

    Checks each profile's URL and options, the file's owner and permissions, and the fleet's Redis.
    """
    path = find_profile_file(config)
    file = None if path is None else load_trusted_profiles(path)
    redis = RedisConfig(None if file is None else file.sharing, surroundings.environment)
    status = of_redis = ExitStatus.OK
    if file is not None and file.profiles:
        named = [file.profile(name, advises_to_add=False)] if name else list(file.profiles.values())
        if warning := file.permission_warning():
            say(warning, "warning")
        rows = []
        for profile in named:
            try:
                load_defaults(profile)
                rows.append((profile.name, profile.webhook(surroundings.environment).space, "ok"))
            except ConfigurationError as error:
                rows.append((profile.name, "-", str(error)))
                status = ExitStatus.CONFIGURATION
        print_table(("PROFILE", "SPACE", ""), rows)
    elif not redis.is_configured:
        raise ConfigurationError(_NO_PROFILES.format(path or user_profile_file()))
    if redis.is_configured:
        from chatpost.commands.redis_check import check_redis  # few have a Redis

        of_redis = check_redis(redis)
    return status or of_redis


def _existing_file(config: Path | None) -> ProfileFile:
    path = find_profile_file(config)
    if path is None:
        raise ConfigurationError(_NO_PROFILES.format(user_profile_file()))
    return load_profiles(path)


def _read_url(stdin: TextIO | None) -> str:
    """Prompt for the URL at a terminal, else read the first line of stdin. Ctrl-C raises `KeyboardInterrupt`."""
    if stdin is not None and stdin.isatty():
        import termios  # for the prompt only

        found = termios.tcgetattr(stdin)

        def end(number: int, _before: object) -> None:
            termios.tcsetattr(stdin, termios.TCSANOW, found)  # the prompt turns the echo off
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            reraise_signal(number)

        with handling_ends(end):
            return str(click.prompt("Webhook URL (input is hidden)", hide_input=True, err=True)).strip()
    read = b""
    for chunk in read_chunks(stdin.fileno(), "stdin") if stdin is not None else ():
        read += chunk
        if b"\n" in read or len(read) > SIZE_LIMIT:
            break
    url = first_line(read)
    if not url:
        raise ConfigurationError(
            "no URL on stdin: pipe the webhook URL in, or run this command at a terminal, where it asks for the URL"
        )
    return url
