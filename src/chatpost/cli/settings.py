"""Options, the sections that group them, and the sources of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Generic, TypeVar

import click
from click.core import ParameterSource

from chatpost.cli.types import Duration, Flag
from chatpost.errors import UsageError, VariablesClash

T = TypeVar("T")


class Option(click.Option):
    """An option on the command line and in the environment (``CHATPOST_`` and its name).

    ``key``: its name in Python and in profiles. ``built_in``: its built-in default. ``in_profile``: whether a profile
    can set it. ``field``: its name in the section's value, if that differs from its key.
    """

    def __init__(
        self, *declarations: str, in_profile: bool = True, field: str | None = None, **attributes: Any
    ) -> None:
        super().__init__(declarations, show_default=True, **attributes)
        self.key = str(self.name)
        self.field = field or self.key
        self.in_profile = in_profile
        self.built_in: Any = attributes.get("default", () if self.multiple else False if self.is_flag else None)
        self.envvar = attributes.get("envvar", f"CHATPOST_{self.key.upper()}")
        if self.is_flag:
            self.type = Flag()

    def read_toml(self, value: Any) -> Any:
        """Convert a value from a profile.

        Raises `ValueError`, whose message is a predicate and does not quote the value, which may be a secret.
        """
        name, types = self._toml_types()
        items = value if self.multiple and isinstance(value, list) else [value]
        if self.multiple is not isinstance(value, list) or any(type(item) not in types for item in items):
            raise ValueError(f"is not {name}")
        try:
            converted = tuple(self.type.convert(item, self, None) for item in items)
        except click.BadParameter:
            kind: Any = self.type
            allowed = f"one of {', '.join(kind.choices)}" if isinstance(kind, click.Choice) else kind.allowed
            raise ValueError(f"is not {allowed}") from None
        return converted if self.multiple else converted[0]

    def _toml_types(self) -> tuple[str, tuple[type, ...]]:
        """Return the option's type in TOML, for people, and its Python types, or those of its items."""
        if self.is_flag:
            return "true or false", (bool,)
        if self.multiple:
            return "a list of strings", (str,)
        if isinstance(self.type, click.IntRange):
            return "a whole number", (int,)
        return ("a duration", (int, float, str)) if isinstance(self.type, Duration) else ("a string", (str,))


class Section(Generic[T]):
    """Options under a heading of the help page, and the function ``make`` that takes their values by keyword.

    ``one_of`` are groups of options that exclude each other: the group with the source of the highest precedence wins,
    and two groups from the same source are an error. ``requires`` lists pairs of options:
    on the command line, the first is a usage error without the second.
    """

    def __init__(
        self,
        heading: str,
        make: Callable[..., T],
        *options: Option,
        one_of: tuple[tuple[str, ...], ...] = (),
        requires: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.heading = heading
        self.make = make
        self.options = options
        self.one_of = one_of
        self.requires = requires

    def without(self, *keys: str) -> Section[T]:
        """Return the section without these options."""
        return Section(self.heading, self.make, *(option for option in self.options if option.key not in keys))

    def replacing(self, option: Option) -> Section[T]:
        """Return the section with ``option`` replacing the one with the same key."""
        options = (option if its.key == option.key else its for its in self.options)
        return Section(self.heading, self.make, *options, one_of=self.one_of)


class Settings:
    """The values of a command's options: from the command line, else the environment, a profile, or the default."""

    def __init__(
        self,
        ctx: click.Context,
        defaults: Mapping[str, Any] | None = None,
        resolve: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        """``defaults``: the profile's, from `load_defaults`. ``resolve``: functions that convert values, by option."""
        self._ctx = ctx
        self._resolve = resolve or {}
        # A profile can set an option for some commands only.
        own = {option.name for option in ctx.command.params if isinstance(option, Option) and not option.in_profile}
        self._defaults = {name: value for name, value in (defaults or {}).items() if name not in own}

    def __getitem__(self, section: Section[T]) -> T:
        """Return the section's value; raises `UsageError` for options that exclude each other."""
        values = {option.key: self._value_of(option) for option in section.options}
        groups = [[option for option in section.options if option.key in keys] for keys in section.one_of]
        rivals = [its for group in groups if (its := [option for option in group if values[option.key]])]
        if len(rivals) > 1:
            winner = self._nearest(rivals)
            values |= {option.key: option.built_in for option in chain(*rivals) if option not in winner}
        for name, other in section.requires:
            if self.from_command_line(name) and not values[other]:
                raise UsageError(f"--{name} requires --{other}".replace("_", "-"))
        return section.make(**{option.field: values[option.key] for option in section.options})

    def values(self, sections: Iterable[Section[Any]]) -> list[Any]:
        """Return the values of several sections."""
        return [self[section] for section in sections]

    def check(self, sections: Iterable[Section[Any]]) -> None:
        """Raise `UsageError` for options of these sections that exclude each other."""
        for section in sections:
            if section.one_of:
                self[section]

    def is_set(self, name: str) -> bool:
        """Return whether the option is set in any source."""
        return self._source(name) is not ParameterSource.DEFAULT

    def from_command_line(self, name: str) -> Any:
        """Return the option's value if it is on the command line, else None."""
        return self._value(name) if self._source(name) is ParameterSource.COMMANDLINE else None

    def _value_of(self, option: Option) -> Any:
        if option.key not in self._ctx.params:  # the command does not have this option
            return option.built_in
        value = self._value(option.key)
        return self._resolve[option.key](value) if value and option.key in self._resolve else value

    def _value(self, name: str) -> Any:
        return self._defaults[name] if self._source(name) is ParameterSource.DEFAULT_MAP else self._ctx.params[name]

    def _source(self, name: str) -> ParameterSource:
        """Return the source of an option's value; DEFAULT_MAP is a profile."""
        source = self._ctx.get_parameter_source(name) or ParameterSource.DEFAULT
        is_of_profile = source is ParameterSource.DEFAULT and name in self._defaults
        return ParameterSource.DEFAULT_MAP if is_of_profile else source

    def _nearest(self, rivals: list[list[Option]]) -> list[Option]:
        options = list(chain(*rivals))
        nearest = min(self._source(option.key) for option in options)
        first, *others = (option for option in options if self._source(option.key) is nearest)
        winner = next(group for group in rivals if first in group)
        second = next((option for option in others if option not in winner), None)
        if second is None:
            return winner
        if nearest is ParameterSource.ENVIRONMENT:
            raise VariablesClash(f"{first.envvar} and {second.envvar} are both set: unset one of them")
        raise UsageError(f"{first.opts[-1]} and {second.opts[-1]} cannot be used together: remove one of them")
