"""Options, the sections that make a value of them, and the sources of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from chatpost.cli.types import Flag, Seconds
from chatpost.errors import UsageError, VariablesClash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")


class Option(click.Option):
    """An option of the command line and of the environment (``CHATPOST_`` and its name).

    ``key`` is its name in Python and in a profile, ``built_in`` its built-in default. ``in_profile``: a profile can set
    a default for it.
    """

    def __init__(self, *declarations: str, in_profile: bool = True, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.key = str(self.name)
        self.in_profile = in_profile
        self.built_in: Any = attributes.get("default", () if self.multiple else False if self.is_flag else None)
        if self.is_flag:
            self.type = Flag()
        if "envvar" not in attributes:
            self.envvar = f"CHATPOST_{self.key.upper()}"

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

    def without(self, *keys: str) -> Section[T]:
        """Return the section for a command that does not have these options."""
        options = tuple(option for option in self.options if option.key not in keys)
        return self._replace(options=options, one_of=())


class Settings:
    """The values of a command's options, with a profile's defaults or without any.

    A value is the first of these that is set: command line, environment, profile, built-in default.
    """

    def __init__(
        self,
        ctx: click.Context,
        defaults: Mapping[str, Any] | None = None,
        resolve: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """``defaults`` are those of a profile, from `read_defaults`.

        ``resolve`` maps an option's name to the function that turns its value, unless empty, into the one to use.
        """
        self._ctx = ctx
        self._resolve = resolve or {}
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

    def values(self, sections: Iterable[Section[Any]]) -> list[Any]:
        """Return the values of several sections."""
        return [self[section] for section in sections]

    def check(self, sections: Iterable[Section[Any]]) -> None:
        """Raise `UsageError` for two options of these sections that exclude each other."""
        for section in sections:
            if section.one_of:
                self[section]

    def is_set(self, name: str) -> bool:
        """Return whether the option has a value other than its built-in default."""
        return self._source(name) != _BUILT_IN

    def from_command_line(self, name: str) -> Any:
        """Return the option's value if it is on the command line, else None."""
        return self._value(name) if self._source(name) == _COMMAND_LINE else None

    def _value_of(self, option: Option) -> Any:
        """Return the value; of an option that the command does not have, the built-in default."""
        if option.key in self._ctx.params:
            value = self._value(option.key)
            return self._resolve[option.key](value) if value and option.key in self._resolve else value
        return option.built_in

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
