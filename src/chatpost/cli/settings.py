"""Options, the sections that make a value of them, and the sources of their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from chatpost.cli.types import Flag, Seconds
from chatpost.errors import ConfigurationError, UsageError, VariablesClash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")


class Option(click.Option):
    """An option of the command line and of the environment (``CHATPOST_`` and its name).

    ``in_profile``: a profile can set a default for it.
    """

    def __init__(self, *declarations: str, in_profile: bool = True, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.in_profile = in_profile
        if self.is_flag:
            self.type = Flag()
        if "envvar" not in attributes:
            self.envvar = f"CHATPOST_{self.key.upper()}"

    @property
    def key(self) -> str:
        """The option's name in Python and in a profile."""
        return str(self.name)

    def read_toml(self, value: Any) -> Any:
        """Convert a value from a profile.

        Raises `ValueError` with a predicate that names what is allowed, and does not quote the value: it may be a
        secret.
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
        try:
            if self.multiple:
                return tuple(self.type.convert(item, self, None) for item in value)
            return self.type.convert(value, self, None)
        except click.BadParameter:
            msg = f"is not {_allowed(self.type)}"
            raise ValueError(msg) from None

    def _toml_type(self) -> Any:
        if self.is_flag:
            return bool
        if self.multiple:
            return list
        if isinstance(self.type, click.IntRange):
            return int
        return _NUMBER if isinstance(self.type, Seconds) else str


def _allowed(kind: click.ParamType[Any]) -> str:
    """Return, for a person, the values that a type allows."""
    if isinstance(kind, click.Choice):
        return f"one of {', '.join(map(str, kind.choices))}"
    return str(getattr(kind, "allowed", kind.name))


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

    ``make`` is called with the options' values by name. ``one_of`` groups options that exclude those of the other
    groups: the group with the nearest source wins, and two groups from the same source are an error.
    """

    heading: str
    make: Callable[..., T]
    options: tuple[Option, ...]
    one_of: tuple[tuple[str, ...], ...] = ()


def read_defaults(where: str, table: Mapping[str, object], sections: Iterable[Section[Any]]) -> dict[str, Any]:
    """Convert the options in a profile's table, and return their values by the options' names.

    ``where`` is the table's place, for a person. Raises `ConfigurationError` that names the key that is wrong.
    """
    sections = tuple(sections)
    options = {option.key: option for section in sections for option in section.options}
    values = {}
    for key, value in table.items():
        option = options.get(key)
        if option is None:
            shown = f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) else ": a key"
            msg = f"{where}{shown} is not an option{_nearest_key(key, options)}"
            raise ConfigurationError(msg)
        if not option.in_profile:
            msg = f"{where}.{key} cannot be set in a profile: it is for one message only"
            raise ConfigurationError(msg)
        try:
            values[key] = option.read_toml(value)
        except ValueError as error:
            msg = f"{where}.{key} {error}"
            raise ConfigurationError(msg) from None
    for section in sections:
        rivals = [[key for key in group if key in values] for group in section.one_of]
        firsts = [keys[0] for keys in rivals if keys]
        if len(firsts) > 1:
            msg = f"{where} sets both {firsts[0]} and {firsts[1]}: remove one of them"
            raise ConfigurationError(msg)
    return values


def _nearest_key(key: str, options: Mapping[str, Option]) -> str:
    from difflib import get_close_matches  # only for a mistake

    names = ["url", *(name for name, option in options.items() if option.in_profile)]
    nearest = get_close_matches(key, names, 1)
    return f": did you mean {nearest[0]}?" if nearest else " of a profile: its keys are the long options, with _ for -"


class Settings:
    """The values of a command's options, with a profile's defaults or without any.

    A value is the first of these that is set: command line, environment, profile, built-in default.
    """

    def __init__(
        self,
        ctx: click.Context,
        defaults: Mapping[str, Any] | None = None,
        meanings: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """``defaults`` are those of a profile, from `read_defaults`; ``meanings`` change options' values."""
        self._ctx = ctx
        self._meanings = meanings or {}
        # A command can have an option of its own that takes no default from a profile.
        own = {option.name for option in ctx.command.params if isinstance(option, Option) and not option.in_profile}
        self._defaults = {name: value for name, value in (defaults or {}).items() if name not in own}

    def __getitem__(self, section: Section[T]) -> T:
        """Return the section's value.

        Raises `UsageError` for two options that exclude each other. (A profile cannot set both: see `read_defaults`.)
        """
        values = {option.key: self._value_of(option) for option in section.options}
        options = [option for option in section.options if values[option.key]]
        groups = [[option for option in options if option.key in group] for group in section.one_of]
        rivals = [group for group in groups if group]
        if len(rivals) > 1:
            winner = self._nearest(rivals)
            values |= {
                option.key: () if option.multiple else None
                for group in rivals
                if group is not winner
                for option in group
            }
        return section.make(**values)

    def check(self, sections: Iterable[Section[Any]]) -> None:
        """Raise `UsageError` for two options of these sections that exclude each other."""
        for section in sections:
            if section.one_of:
                self[section]

    def is_set(self, name: str) -> bool:
        """Return whether the option has a value other than its built-in default."""
        return self._source(name) != _BUILT_IN

    def typed(self, name: str) -> Any:
        """Return the option's value if it is on the command line, else None."""
        return self._value(name) if self._source(name) == _COMMAND_LINE else None

    def _value_of(self, option: Option) -> Any:
        """Return the value; of an option that the command does not have, the built-in default."""
        if option.key in self._ctx.params:
            value = self._value(option.key)
            return self._meanings[option.key](value) if option.key in self._meanings else value
        return () if option.multiple else option.get_default(self._ctx)

    def _value(self, name: str) -> Any:
        return self._defaults[name] if self._source(name) == _PROFILE else self._ctx.params[name]

    def _source(self, name: str) -> int:
        match self._ctx.get_parameter_source(name):
            case ParameterSource.COMMANDLINE:
                return _COMMAND_LINE
            case ParameterSource.ENVIRONMENT:
                return _ENVIRONMENT
        return _PROFILE if name in self._defaults else _BUILT_IN

    def _nearest(self, rivals: list[list[Option]]) -> list[Option]:
        nearest = max(self._source(option.key) for group in rivals for option in group)
        near = [(group, option) for group in rivals for option in group if self._source(option.key) == nearest]
        winner, first = near[0]
        second = next((option for group, option in near if group is not winner), None)
        if second is None:
            return winner
        if nearest == _ENVIRONMENT:
            msg = f"{first.envvar} and {second.envvar} are both set: unset one of them"
            raise VariablesClash(msg)
        msg = f"{first.opts[-1]} and {second.opts[-1]} cannot be used together: remove one of them"
        raise UsageError(msg)


_BUILT_IN, _PROFILE, _ENVIRONMENT, _COMMAND_LINE = range(4)
