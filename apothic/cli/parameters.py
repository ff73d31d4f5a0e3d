"""Command line options for the parameters of a function, after their type hints."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from apothic._values import is_tuple
from apothic_backends.model.errors import UsageError

Reader = Any
"""What click takes as the type of an option: one of its own, or a function of the text."""

PLAIN: dict[Any, Reader] = {
    str: click.STRING,
    int: click.INT,
    float: click.FLOAT,
    bool: click.BOOL,
    Path: click.Path(path_type=Path),
}


PLACES = "[values]"
"""What click calls the values that stand by place; no parameter can have this name."""


def moment(text: str) -> datetime:
    """Read a moment as ISO 8601 writes it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a moment such as 2026-01-31T12:00:00+00:00"
        ) from None


def json_for(hint: Any) -> Reader:
    """Read what no plain value can say."""
    shown = getattr(hint, "__name__", hint)

    def read_json(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise click.BadParameter(
                f"{text!r} is not JSON ({error}); {shown} is given as JSON"
            ) from None

    read_json.__name__ = "json"
    return read_json


def one_of(values: dict[str, Any]) -> Reader:
    """Read one of some values by the name that is typed."""

    def choice(text: str) -> Any:
        if text not in values:
            raise click.BadParameter(f"{text!r} is none of {', '.join(values)}")
        return values[text]

    choice.__name__ = "|".join(values)
    return choice


def reader_of(hint: Any) -> Reader:
    """How a value of that type is written on a command line."""
    if hint is Parameter.empty or hint is Any:
        return click.STRING
    if get_origin(hint) in (Union, UnionType):
        inner = [part for part in get_args(hint) if part is not NoneType]
        return reader_of(inner[0]) if len(inner) == 1 else json_for(hint)
    if get_origin(hint) is Literal:
        return one_of({str(value): value for value in get_args(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return one_of({member.name: member for member in hint})
    return moment if hint is datetime else PLAIN.get(hint) or json_for(hint)


def read(hint: Any, text: str) -> Any:
    """Read one value that stands by place."""
    return click.Argument(["value"], type=reader_of(hint)).type.convert(text, None, None)


def element_of(hint: Any) -> Any:
    """The type of the elements, where the parameter takes a list; else None."""
    if hint is list:
        return str
    return get_args(hint)[0] if get_origin(hint) is list else None


class Signature:
    """The parameters of a function, and how to read them off a command line."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            hints = get_type_hints(function)
        except Exception as error:  # a hint may be any expression of the user's
            raise UsageError(
                f"the type hints of {function.__name__}() do not resolve: {error}"
            ) from error
        everything = signature(function).parameters.values()
        self.rest = [hints.get(p.name, str) for p in everything if p.kind is p.VAR_POSITIONAL]
        variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        self.parameters = [p for p in everything if p.kind not in variable]
        self.hints = {p.name: hints.get(p.name, _hint_of_default(p)) for p in self.parameters}

    def options(self) -> list[click.Parameter]:
        """An option for each parameter, and room for values that stand by place."""
        made: list[click.Parameter] = [self._option(p) for p in self.parameters]
        return [*made, click.Argument([PLACES], nargs=-1, metavar="[VALUES]...")]

    def _option(self, parameter: Parameter) -> click.Option:
        hint, name = self.hints[parameter.name], spelled(parameter)
        is_flag, element = hint is bool, element_of(hint)
        is_required = parameter.default is Parameter.empty
        reader = None if is_flag else reader_of(element or hint)
        choices = getattr(reader, "__name__", "")
        return click.Option(
            [f"--{name}/--no-{name}" if is_flag else f"--{name}", parameter.name],
            type=reader,
            metavar=f"[{choices}]" if "|" in choices else None,
            multiple=element is not None,
            default=None,
            help="required" if is_required else f"[default: {parameter.default!r}]",
        )

    def read(self, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of the call; values by place fill what no option gave, in order.

        Raises:
            click.UsageError: one is missing, or there are too many.
        """
        places: list[str] = list(given.pop(PLACES))
        found = {name: value for name, value in given.items() if value not in (None, ())}
        for parameter in self.parameters:
            if parameter.name in found:
                continue
            if places and parameter.kind is not Parameter.KEYWORD_ONLY:
                found[parameter.name] = self._by_place(parameter.name, places)
            elif parameter.default is Parameter.empty:
                raise click.UsageError(f"missing --{spelled(parameter)}")
        if places and not self.rest:
            raise click.UsageError(f"too many values: {' '.join(places)}")
        found = {k: [*v] if is_tuple(v) else v for k, v in found.items()}
        by_place = [p for p in self.parameters if p.kind is Parameter.POSITIONAL_ONLY]
        if places:
            by_place = [p for p in self.parameters if p.kind is not Parameter.KEYWORD_ONLY]
        while by_place and by_place[-1].name not in found:
            by_place.pop()
        args = [found.pop(p.name, p.default) for p in by_place]
        return [*args, *(read(hint, value) for hint in self.rest for value in places)], found

    def _by_place(self, name: str, places: list[str]) -> Any:
        element = element_of(self.hints[name])
        if element is None:
            return read(self.hints[name], places.pop(0))
        taken, places[:] = places[:], []
        return [read(element, value) for value in taken]


def spelled(parameter: Parameter) -> str:
    """The name of a parameter as an option has it."""
    return parameter.name.strip("_").replace("_", "-") or parameter.name


def _hint_of_default(parameter: Parameter) -> Any:
    """What a parameter without a hint takes: the type of its default, else a string."""
    kinds = [kind for kind in PLAIN if type(parameter.default) is kind]
    return kinds[0] if kinds else str
