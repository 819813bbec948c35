"""The options of `send`, `reply` and `thread`, and where their values come from.

An option's value is the first there is of: the command line, the environment (``CHATPOST_`` and the option's
name), the profile, the built-in default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from chatpost.cli.completion import complete_profile
from chatpost.cli.output import FORMATS
from chatpost.cli.types import (
    Language,
    Link,
    MessageId,
    Pair,
    RequestId,
    Seconds,
    ThreadKey,
    ThreadName,
    UserId,
    Words,
)
from chatpost.content.cards import STATUSES, QuickCard
from chatpost.delivery.pacing import DEFAULT_INTERVAL
from chatpost.delivery.retry import RetryPolicy
from chatpost.errors import ChatpostError, ConfigurationError, UsageError

if TYPE_CHECKING:
    from chatpost.chat.message import Thread
    from chatpost.profiles.file import Profile

_POLICY = RetryPolicy()


def environment_option(*declarations: str, **attributes: Any) -> click.Option:
    """Make an option that also has its environment variable."""
    name = declarations[-1].partition("/")[0].removeprefix("--")
    return click.Option(declarations, envvar=f"CHATPOST_{name.upper().replace('-', '_')}", **attributes)


CONFIG = environment_option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Read profiles from FILE."
)
PROFILE = click.Option(
    ["-p", "--profile"],
    multiple=True,
    metavar="NAME",
    shell_complete=complete_profile,
    help="Where to post; repeat it to post to several spaces at once.",
)

_DEFAULTABLE = {
    option.name: option
    for option in (
        environment_option("-k", "--thread-key", type=ThreadKey(), help="Your own name for a thread."),
        environment_option(
            "--thread", type=ThreadName(), help="A thread by the name Chat gave it, or by that of a message in it."
        ),
        environment_option(
            "--fallback-new-thread/--or-fail",
            default=True,
            help="Where there is no such thread: start one, or post nothing.  [default: fallback-new-thread]",
        ),
        environment_option(
            "-o",
            "--output",
            type=click.Choice(FORMATS),
            default="name",
            show_default=True,
            help="What stdout gets for each message.",
        ),
        environment_option(
            "--overflow",
            type=click.Choice(["split", "head", "tail", "fail"]),
            default="split",
            show_default=True,
            help="Text beyond 32,000 bytes: post it in parts, its beginning, its end, or nothing.",
        ),
        environment_option(
            "--max-parts",
            type=click.IntRange(1, 100),
            metavar="N",
            default=10,
            show_default=True,
            help="Parts that a long text may make.",
        ),
        environment_option(
            "--code",
            type=Language(),
            is_flag=False,
            flag_value="",
            metavar="[LANG]",
            help="Show the text as code, of a language if one is named; TEXT then goes behind --.",
        ),
        environment_option(
            "--markdown", is_flag=True, help="The text is Markdown (CommonMark), not Chat's own markup."
        ),
        environment_option(
            "--mention",
            type=UserId(),
            multiple=True,
            metavar="USER_ID|all",
            help="Mention somebody by their id, or all; repeatable.",
        ),
        environment_option("--title", type=Words(), help="Make a card with this title; the text is its paragraph."),
        environment_option("--subtitle", type=Words(), help="A line below the card's title."),
        environment_option("--icon", type=Link(), metavar="URL", help="An image beside the card's title."),
        environment_option(
            "--field", type=Pair("LABEL=VALUE"), multiple=True, help="A labelled value on the card; repeatable."
        ),
        environment_option(
            "--button", type=Pair("TEXT=URL", Link()), multiple=True, help="A link as a button on the card; repeatable."
        ),
        environment_option("--status", type=click.Choice(list(STATUSES)), help="A coloured status on the card."),
        environment_option("--silent", is_flag=True, help="Notify nobody."),
        environment_option(
            "--allow-mentions",
            is_flag=True,
            help="Let <users/...> in piped text mention people; typed text may anyway.",
        ),
        environment_option(
            "--timeout", type=Seconds(), default=_POLICY.timeout, show_default=True, help="Seconds for one attempt."
        ),
        environment_option(
            "--deadline", type=Seconds(), default=_POLICY.deadline, show_default=True, help="Seconds for all of it."
        ),
        environment_option(
            "--retries",
            type=click.IntRange(0, 100),
            metavar="N",
            default=_POLICY.retries,
            show_default=True,
            help="Attempts after the first.",
        ),
        environment_option(
            "--pacing/--no-pacing",
            default=True,
            help="Wait for the space's turn, which all processes here share, or do not.  [default: pacing]",
        ),
        environment_option("--skip-empty", is_flag=True, help="Where there is no text, post nothing and exit 0."),
        environment_option("--soft-fail", is_flag=True, help="Report a failure on stderr, but exit 0."),
        environment_option("-q", "--quiet", is_flag=True, help="Tell of no retries and no warnings."),
        environment_option("-v", "--verbose", is_flag=True, help="Tell of every attempt."),
    )
}
# What only a profile says.
_INTERVAL = click.Option(["--interval"], type=Seconds())
# A profile that gave every message one id would lose all but the first.
_FOR_ONE_MESSAGE = {
    option.name: option
    for option in (
        environment_option(
            "--request-id", type=RequestId(), help="Post once only, however often this id is used.  [default: made up]"
        ),
        environment_option(
            "--card",
            type=click.Path(allow_dash=True, dir_okay=False),
            metavar="FILE",
            help="Cards as JSON; - is stdin.",
        ),
        environment_option("--message-id", type=MessageId(), help="Your own id for the message."),
        environment_option("--dry-run", is_flag=True, help="Print the request, secrets masked, and send nothing."),
    )
}


FOLLOWING = (
    environment_option("--follow", is_flag=True, help="Post what stdin holds into the thread, as it comes."),
    environment_option("--tee", is_flag=True, help="With --follow: pass stdin on to stdout; names go to stderr."),
    environment_option("--last", type=Words(), help="With --follow: a message to close with."),
)
"""The options of `thread` alone."""


def post_parameters(*, without: tuple[str, ...] = ()) -> list[click.Parameter]:
    """Return the parameters of a command that posts."""
    options = [PROFILE, *_DEFAULTABLE.values(), *_FOR_ONE_MESSAGE.values(), CONFIG]
    return [*(option for option in options if option.name not in without), click.Argument(["text"], nargs=-1)]


class PostOptions(NamedTuple):
    """The values that hold for one profile. ``asked_or_fail``: ``--or-fail`` stands on the command line."""

    output: str
    markdown: bool
    mention: tuple[str, ...]
    field: tuple[tuple[str, str], ...]
    button: tuple[tuple[str, str], ...]
    silent: bool
    allow_mentions: bool
    pacing: bool
    timeout: float
    deadline: float
    retries: int
    skip_empty: bool
    soft_fail: bool
    quiet: bool
    verbose: bool
    dry_run: bool
    fallback_new_thread: bool
    asked_or_fail: bool
    code: str | None = None
    card: str | None = None
    title: str | None = None
    subtitle: str | None = None
    icon: str | None = None
    status: str | None = None
    thread_key: str | None = None
    thread: Thread | None = None
    request_id: str | None = None
    message_id: str | None = None
    interval: float = DEFAULT_INTERVAL
    overflow: str = "fail"
    max_parts: int = 10
    tee: bool = False

    @property
    def policy(self) -> RetryPolicy:
        """How often, and for how long, to try."""
        return RetryPolicy(self.timeout, self.deadline, self.retries)

    @property
    def quick_card(self) -> QuickCard:
        """The card that the options describe."""
        return QuickCard(self.title, self.subtitle, self.icon, self.status, self.field, self.button)

    @classmethod
    def of(cls, ctx: click.Context, profile: Profile | None = None) -> PostOptions:
        """Gather the values for a profile, or for none.

        Raises `ConfigurationError` for a wrong default in the profile, it or `UsageError` for two names of a thread.
        """
        values = dict(ctx.params)
        ranks = {name: _rank(ctx, name) for name in values}
        for name, default in read_defaults(profile).items() if profile else ():
            # What is no option of the command, as the thread's name is none of `thread`, does not concern it.
            if ranks.get(name) == _BUILT_IN or name == _INTERVAL.name:
                values[name], ranks[name] = default, _FROM_PROFILE
        if values.get("thread") is not None and values.get("thread_key") is not None:
            if ranks["thread"] == ranks["thread_key"]:
                raise _named_twice(ranks["thread"], profile)
            values["thread" if ranks["thread"] < ranks["thread_key"] else "thread_key"] = None
        asked_or_fail = not values["fallback_new_thread"] and ranks["fallback_new_thread"] == _FROM_COMMAND_LINE
        return cls(
            asked_or_fail=asked_or_fail, **{name: value for name, value in values.items() if name in cls._fields}
        )


_BUILT_IN, _FROM_PROFILE, _FROM_ENVIRONMENT, _FROM_COMMAND_LINE = range(4)


def _named_twice(rank: int, profile: Profile | None) -> ChatpostError:
    if rank == _FROM_PROFILE and profile is not None:
        return ConfigurationError(f"profile {profile.name} has both thread and thread_key: leave one of them out")
    names = "CHATPOST_THREAD and CHATPOST_THREAD_KEY" if rank == _FROM_ENVIRONMENT else "--thread and --thread-key"
    return UsageError(f"{names} name the thread twice: give one of them")


def _rank(ctx: click.Context, name: str) -> int:
    match ctx.get_parameter_source(name):
        case ParameterSource.COMMANDLINE:
            return _FROM_COMMAND_LINE
        case ParameterSource.ENVIRONMENT:
            return _FROM_ENVIRONMENT
    return _BUILT_IN


def read_defaults(profile: Profile) -> dict[str, Any]:
    """Check a profile's defaults as the options themselves are checked; raises `ConfigurationError` naming the key."""
    values = {}
    for key, value in profile.defaults.items():
        where = f"profiles.{profile.name}.{key}"
        option = _INTERVAL if key == _INTERVAL.name else _DEFAULTABLE.get(key)
        if option is None:
            msg = f"{where} is no option's default (there are: url, interval, {', '.join(map(str, _DEFAULTABLE))})"
            if key in _FOR_ONE_MESSAGE:
                msg = f"{where} cannot stand in a profile: it is for one message only"
            raise ConfigurationError(msg)
        expected = _toml_type(option)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            msg = f"{where} is not {_TOML_NAMES[expected]}"
            raise ConfigurationError(msg)
        try:
            values[key] = _convert(option, value)
        except click.BadParameter as error:
            msg = f"{where}: {error.message}"
            raise ConfigurationError(msg) from None
    return values


def _convert(option: click.Option, value: Any) -> Any:
    if not option.multiple:
        return option.type.convert(value, option, None)
    if not all(isinstance(item, str) for item in value):
        msg = "not all of it are strings"
        raise click.BadParameter(msg)
    return tuple(option.type.convert(item, option, None) for item in value)


_NUMBER = (int, float)
_TOML_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    _NUMBER: "a number",
    str: "a string",
    list: "a list of strings",
}


def _toml_type(option: click.Option) -> Any:
    if option.is_flag:
        return bool
    if option.multiple:
        return list
    if isinstance(option.type, click.IntRange):
        return int
    return _NUMBER if isinstance(option.type, Seconds) else str
