"""Options, the sections that bind them to a value, and where their values come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from chatpost.cli.types import Seconds
from chatpost.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


class Option(click.Option):
    """An option of the command line and of the environment (``CHATPOST_`` and its name).

    ``in_profile``: a profile can set a default for it.
    """

    def __init__(self, *declarations: str, in_profile: bool = True, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.in_profile = in_profile
        if "envvar" not in attributes:
            self.envvar = f"CHATPOST_{self.key.upper()}"

    @property
    def key(self) -> str:
        """The option's name in Python and in a profile."""
        return str(self.name)

    def read_toml(self, value: Any) -> Any:
        """Convert a value from a profile.

        Raises `ValueError` if its TOML type does not fit, `click.BadParameter` if the value does not.
        """
        expected = self._toml_type()
        is_list_of_strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if (
            not isinstance(value, expected)
            or (isinstance(value, bool) and expected is not bool)
            or (expected is list and not is_list_of_strings)
        ):
            msg = f"is not {_TOML_NAMES[expected]}"
            raise ValueError(msg)
        if self.multiple:
            return tuple(self.type.convert(item, self, None) for item in value)
        return self.type.convert(value, self, None)

    def _toml_type(self) -> Any:
        if self.is_flag:
            return bool
        if self.multiple:
            return list
        if isinstance(self.type, click.IntRange):
            return int
        return _NUMBER if isinstance(self.type, Seconds) else str


_NUMBER = (int, float)
_TOML_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    _NUMBER: "a number",
    str: "a string",
    list: "a list of strings",
}


class Section(NamedTuple, Generic[T]):
    """A heading of the help page with its options, and the value that they make.

    ``make`` is called with the options' values by name. ``one_of`` names options that exclude each other: the one from
    the nearest source wins, and two from the same source are an error.
    """

    heading: str
    make: Callable[..., T]
    options: tuple[Option, ...]
    one_of: tuple[str, ...] = ()


class Defaults(NamedTuple):
    """The defaults that a profile sets: converted values by the options' names."""

    profile: str
    values: Mapping[str, Any]


NO_DEFAULTS = Defaults("", {})


def read_defaults(profile: str, table: Mapping[str, object], options: Mapping[str, Option]) -> Defaults:
    """Convert the options in a profile's table; raises `ConfigurationError` that names the key that is wrong."""
    values = {}
    for key, value in table.items():
        where = f"profiles.{profile}.{key}"
        option = options.get(key)
        if option is None:
            known = ", ".join(option.key for option in options.values() if option.in_profile)
            msg = f"{where} is not an option (a profile can have url, {known})"
            raise ConfigurationError(msg)
        if not option.in_profile:
            msg = f"{where} cannot be set in a profile: it is for one command only"
            raise ConfigurationError(msg)
        try:
            values[key] = option.read_toml(value)
        except ValueError as error:
            msg = f"{where} {error}"
            raise ConfigurationError(msg) from None
        except click.BadParameter as error:
            msg = f"{where}: {error.message}"
            raise ConfigurationError(msg) from None
    return Defaults(profile, values)


class Settings:
    """The values of a command's options, with a profile's defaults or without any.

    A value is the first of these that is set: command line, environment, profile, built-in default.
    """

    def __init__(self, ctx: click.Context, defaults: Defaults = NO_DEFAULTS) -> None:
        self._ctx = ctx
        self._defaults = defaults

    def __getitem__(self, section: Section[T]) -> T:
        """Return the section's value.

        Raises `UsageError`, or `ConfigurationError` if the profile is at fault, for options that exclude each other.
        """
        values = {option.key: self._value(option.key) for option in section.options}
        rivals = [option for option in section.options if option.key in section.one_of and values[option.key]]
        if len(rivals) > 1:
            winner = self._nearest(rivals)
            values |= {option.key: None for option in rivals if option is not winner}
        return section.make(**values)

    def is_typed(self, name: str) -> bool:
        """Return whether the option stands on the command line."""
        return self._source(name) == _COMMAND_LINE

    def _value(self, name: str) -> Any:
        return self._defaults.values[name] if self._source(name) == _PROFILE else self._ctx.params[name]

    def _source(self, name: str) -> int:
        match self._ctx.get_parameter_source(name):
            case ParameterSource.COMMANDLINE:
                return _COMMAND_LINE
            case ParameterSource.ENVIRONMENT:
                return _ENVIRONMENT
        return _PROFILE if name in self._defaults.values else _BUILT_IN

    def _nearest(self, rivals: list[Option]) -> Option:
        nearest = max(self._source(option.key) for option in rivals)
        first, *others = [option for option in rivals if self._source(option.key) == nearest]
        if not others:
            return first
        second = others[0]
        if nearest == _PROFILE:
            msg = f"profile {self._defaults.profile} sets both {first.key} and {second.key}: remove one of them"
            raise ConfigurationError(msg)
        if nearest == _ENVIRONMENT:
            msg = f"{first.envvar} and {second.envvar} are both set: unset one of them"
        else:
            msg = f"{first.opts[-1]} and {second.opts[-1]} cannot be used together: remove one of them"
        raise UsageError(msg)


_BUILT_IN, _PROFILE, _ENVIRONMENT, _COMMAND_LINE = range(4)
