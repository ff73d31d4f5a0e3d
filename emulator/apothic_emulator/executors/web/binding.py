"""Takes the arguments of an endpoint from a request, by their type hints.

A parameter with the hint of a record (a dataclass, TypedDict, pydantic model, ... or a dictionary)
that is the only one of its kind is the whole body; the others are fields of it, or come from the
query. Without a body all come from the query.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request

from apothic_emulator.executors.web.faults import MISSING, faults
from apothic_emulator.executors.web.given import CannotServe
from apothic_emulator.executors.web.problems import Problem, told
from apothic_emulator.executors.web.values import (
    bare,
    converted,
    fields_of,
    is_many,
    is_pydantic,
    is_record,
)

_KEYWORDS = inspect.Parameter.VAR_KEYWORD


class NotBindable(CannotServe):
    """A parameter that no request can hold."""


class Parameter(NamedTuple):
    """One that is taken from a request."""

    name: str
    hint: Any
    default: Any = MISSING


class Parameters(NamedTuple):
    """What a function takes."""

    fields: tuple[Parameter, ...] = ()
    """By their names, from the body's fields or the query."""
    whole: Parameter | None = None
    """The whole body."""
    requests: tuple[str, ...] = ()
    """What gets the request itself."""
    rest: Parameter | None = None
    """`**rest`: what has no parameter of its own."""

    @property
    def are_bound(self) -> bool:
        """Whether there is anything to take out of a request."""
        return bool(self.fields or self.whole or self.rest)


Query = Mapping[str, Sequence[str]]


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """What a function takes, from its signature.

    Raises:
        NotBindable: it takes something that no request can hold.
    """
    hints = hints_of(function)
    fields: list[Parameter] = []
    requests: list[str] = []
    rest: Parameter | None = None
    for one in inspect.signature(function).parameters.values():
        found = Parameter(one.name, hints.get(one.name, Any), one.default)
        if isinstance(found.hint, type) and issubclass(found.hint, Request):
            requests.append(one.name)
        elif one.kind is _KEYWORDS:
            rest = found
        else:
            _check(function, found)
            fields.append(found)
    records = [field for field in fields if is_record(field.hint)]
    whole = records[0] if len(records) == 1 else None
    others = tuple(field for field in fields if field is not whole)
    return Parameters(others, whole, tuple(requests), rest)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a function.

    Raises:
        NotBindable: one names what is not there.
    """
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except NameError as error:
        raise NotBindable(
            f"a type hint of {function.__name__}() names what is not known where it runs: {error}"
        ) from error


def _check(function: Callable[..., Any], one: Parameter) -> None:
    name = f"the parameter {one.name} of {function.__name__}()"
    if is_pydantic(one.hint):
        return
    try:
        msgspec.json.Decoder(one.hint)
        kind = msgspec.inspect.type_info(bare(one.hint))
    except TypeError as error:
        raise NotBindable(f"{name} cannot be read from a request: {error}") from error
    if isinstance(kind, msgspec.inspect.CustomType):
        raise NotBindable(
            f"{name} is a {kind.cls.__name__}, which cannot be read from a request: use plain "
            "values, a dataclass, a TypedDict or a pydantic model; or take the request itself, "
            "with the hint starlette.requests.Request"
        )


# --- values -------------------------------------------------------------------------------------


class Bound:
    """What has been taken from one request."""

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}
        self.problems: list[Problem] = []

    def take(self, one: Parameter, value: Any, where: str, *, is_text: bool) -> None:
        """Convert a value, which is all text in a query, for a parameter."""
        try:
            self.arguments[one.name] = converted(value, one.hint, is_text=is_text)
        except ValueError as error:
            self.problems.extend(faults(error, value, one.hint, where, is_text=is_text))

    def lack(self, one: Parameter, where: str) -> None:
        """There is no value for a parameter."""
        if one.default is MISSING:
            self.problems.append(Problem(where, "is required", "a value", ""))


def bind(takes: Parameters, query: Query, body: Any, *, has_body: bool) -> Bound:
    """Take the arguments of a function; the body may be `MISSING`."""
    bound = Bound()
    whole = takes.whole
    if has_body:
        lone = _lone_list(takes, body)
        if lone is not None or (whole is not None and body is not MISSING):
            bound.take(lone or typing.cast("Parameter", whole), body, "body", is_text=False)
        elif whole is not None:
            bound.lack(whole, "body")
    elif whole is not None:
        _take_record(bound, whole, query)
    if not has_body or whole is not None or body is MISSING or _lone_list(takes, body) is not None:
        fields: Mapping[str, Any] = {}
    elif isinstance(body, dict):
        fields = typing.cast("dict[str, Any]", body)
    else:
        bound.problems.append(told("Expected `object`", body, "body"))
        return bound
    home = "body" if has_body and whole is None else "query"
    _take_fields(bound, takes, fields, query, home)
    return bound


def _lone_list(takes: Parameters, body: Any) -> Parameter | None:
    """The only parameter, if the body is a list and that takes one."""
    fields = takes.fields
    if isinstance(body, list) and takes.whole is None and len(fields) == 1:
        return fields[0] if is_many(fields[0].hint) else None
    return None


def _take_fields(
    bound: Bound, takes: Parameters, fields: Mapping[str, Any], query: Query, home: str
) -> None:
    for one in takes.fields:
        if one.name in bound.arguments:
            continue
        if one.name in fields:
            bound.take(one, fields[one.name], f"body.{one.name}", is_text=False)
        elif one.name in query:
            bound.take(one, _texts(one, query), f"query.{one.name}", is_text=True)
        else:
            bound.lack(one, f"{home}.{one.name}")
    if takes.rest is not None:
        own = {one.name for one in takes.fields}
        for name, value in {**{k: v[-1] for k, v in query.items()}, **fields}.items():
            if name not in own:
                place = f"{'body' if name in fields else 'query'}.{name}"
                one = takes.rest._replace(name=name)
                bound.take(one, value, place, is_text=name not in fields)


def _texts(one: Parameter, query: Query) -> Any:
    return list(query[one.name]) if is_many(one.hint) else query[one.name][-1]


def _take_record(bound: Bound, one: Parameter, query: Query) -> None:
    """A record whose fields are keys of the query."""
    kind = bare(one.hint)
    hints = {} if issubclass(typing.get_origin(kind) or kind, Mapping) else fields_of(kind)
    names = hints or dict.fromkeys(query, str)
    found = {
        name: _texts(Parameter(name, hint), query) for name, hint in names.items() if name in query
    }
    if found or one.default is MISSING:
        bound.take(one, found, "query", is_text=True)
