"""Explains mistakes on the command line: what is wrong, and the likely command or option."""

from __future__ import annotations

import re
import shlex
import sys
from difflib import get_close_matches

import click
from click.core import ParameterSource

_TEXT = 'Pass the text as an argument: {path} "Hello"'
_URL = "No option takes a URL: store it with `chatpost profiles add NAME`, or set CHATPOST_URL"
_PLACE = "To choose the space, use its profile: -p NAME"
_FILE = "To post a text file, redirect it: {path} < FILE. To post a card, use --card FILE"
_OMIT_URL = "Omit the URL: chatpost asks for it, or reads it from a pipe; other users can see command lines"
_OPTIONS = {
    **dict.fromkeys(("-m", "--message", "--text", "--msg", "--body"), _TEXT),
    **dict.fromkeys(("-u", "--url", "--webhook", "--webhook-url", "--token"), _URL),
    **dict.fromkeys(("--channel", "--to", "--space", "--room"), _PLACE),
    **dict.fromkeys(("-f", "--file"), _FILE),
    **dict.fromkeys(("--attach", "--attachment"), "Webhooks cannot post attachments: post a link"),
    "--key": "Did you mean --thread-key?",
    "-V": "Did you mean `chatpost --version`?",
}
"""Options of other tools, and advice."""

_COMMANDS = {
    "help": "chatpost --help",
    "version": "chatpost --version",
    **dict.fromkeys(("flush", "show", "retry"), "chatpost outbox {name}"),
    **dict.fromkeys(("list", "delete"), "chatpost outbox {name} or chatpost profiles {name}"),
    **dict.fromkeys(("add", "check", "default", "path"), "chatpost profiles {name}"),
    **dict.fromkeys(("ls",), "chatpost outbox list or chatpost profiles list"),
    **dict.fromkeys(("rm", "remove", "del", "drop"), "chatpost outbox delete or chatpost profiles delete"),
    **dict.fromkeys(("post", "message", "msg", "say", "notify"), "chatpost send"),
    "watch": "chatpost outbox flush --watch",
}
"""Guessed names of commands, and the real commands."""

_SUBCOMMANDS = {
    "ls": "list",
    "resend": "retry",
    "watch": "flush --watch",
    "post": "flush",
    "cat": "show",
    "help": "--help",
}
_SUBCOMMANDS |= dict.fromkeys(("rm", "remove", "del", "drop", "clear"), "delete")


def usage_line(error: click.UsageError) -> str:
    """Return a usage error as one line, with the command's help as a hint."""
    ctx, message = error.ctx, " ".join(error.format_message().split())
    if ctx is not None:
        message = _explained(error, ctx, message)
    return f"{message.strip().rstrip('.')} (see {ctx.command_path if ctx is not None else 'chatpost'} --help)"


def _explained(error: click.UsageError, ctx: click.Context, message: str) -> str:
    param = error.param if isinstance(error, click.BadParameter) else None
    if isinstance(error, click.NoSuchOption):
        return f"No such option {error.option_name!r}. {_option_hint(error.option_name, ctx)}"
    if isinstance(error, click.exceptions.NoSuchCommand):
        name = error.command_name
        quoted = "of this name" if "://" in name else f"{name!r:.60}"  # a URL can have secrets
        return f"No such command {quoted}. {_command_hint(name, ctx)}"
    if ctx.command.name == "add" and "://" in error.message:
        return _OMIT_URL
    if param and ctx.get_parameter_source(param.name or "") is ParameterSource.ENVIRONMENT:
        return f"{param.envvar}: {error.message}"
    if text := _text_with_dash():
        return f"{message.rstrip('.')}. {_after_dashes(ctx.command_path, text)}"
    return message


def _option_hint(name: str, ctx: click.Context) -> str:
    if ctx.parent is None:
        if name == "-V":
            return _OPTIONS[name]
        if _OPTIONS.get(name) == _TEXT:
            return 'To post text, use `chatpost send "Hello"`'
        text = _text_with_dash()
        return _after_dashes("chatpost send", text) if text else "Options go after the command: `chatpost send -p ops`"
    if text := _text_with_dash():
        return _after_dashes(ctx.command_path, text)
    if ctx.command.name == "add":
        return _OMIT_URL
    takes_text = any(parameter.name == "text" for parameter in ctx.command.params)
    if name in _OPTIONS and (takes_text or _OPTIONS[name] in {_URL, _PLACE}) and ctx.command.name != "flush":
        return _OPTIONS[name].format(path=ctx.command_path)
    if ctx.command.name == "run" and _OPTIONS.get(name) == _TEXT:
        return "run posts the outcome of the job: to post text, use `chatpost send`"
    known = [option for parameter in ctx.command.params for option in parameter.opts if option.startswith("-")]
    nearest = get_close_matches(name, known, 1, cutoff=0.75)
    if nearest:
        return f"Did you mean {nearest[0]}?"
    if ctx.command.name in {"emulator", "run"}:  # they run a command with its own options
        return "" if "--" in sys.argv else f"Put -- before the command to run: `{ctx.command_path} -- COMMAND`"
    return _after_dashes(ctx.command_path, "-5 degrees") if takes_text and not name.startswith("--") else ""


def _text_with_dash() -> str | None:
    """Return the first argument that looks like options but has a space, so that it is probably text."""
    words = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    return next((word for word in words if re.match(r"-[^=]*\s", word) and "://" not in word), None)


def _after_dashes(command: str, text: str) -> str:
    return f"Put -- before text that begins with a dash: `{command} -- {shlex.quote(text[:60])}`"


def _command_hint(name: str, ctx: click.Context) -> str:
    if ctx.parent is not None:
        meant = _SUBCOMMANDS.get(name, "")
        meant = meant if meant.partition(" ")[0] in {*getattr(ctx.command, "commands", {}), "--help"} else ""
        return f"Did you mean `{ctx.command_path} {meant}`?" if meant else _nearest_command(name, ctx)
    if name in _COMMANDS:
        meant = _COMMANDS[name].format(name=name).replace(" or ", "` or `")
        return f"Did you mean `{meant}`?"
    if "://" in name:
        return _URL
    return _nearest_command(name, ctx) or f"To post text, use `chatpost send {shlex.quote(name[:60])}`"


def _nearest_command(name: str, ctx: click.Context) -> str:
    nearest = get_close_matches(name, getattr(ctx.command, "commands", {}), 1)
    return f"Did you mean `{ctx.command_path} {nearest[0]}`?" if nearest else ""
