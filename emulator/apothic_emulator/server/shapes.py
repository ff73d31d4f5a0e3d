"""Records as plain JSON: read by what their annotations say, and described by the same.

A record is an object of its fields; those that are as they are by default may be left out. Where
one of several records may stand, `"type"` names it. A cursor is its text.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from apothic_backends.model.errors import UsageError
from apothic_backends.model.events import Cursor
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record
from apothic_emulator.server import payloads

Read = Callable[[Any, str], Any]
"""Gives the value that JSON says at a place, which is for messages."""

TYPE = "type"


def wrong(where: str, what: str) -> UsageError:
    """An error that says what is wrong with which field."""
    return UsageError(f"{where or 'the body'}: {what}", field=where)


def hints_of(kind: type[Record]) -> dict[str, Any]:
    """The types of a record's fields."""
    hints = get_type_hints(kind)
    return {field: hints[field] for field in kind.fields}


_readers: dict[Any, Read] = {}


def reader(kind: type[Record]) -> Read:
    """What reads a record of that kind."""
    found = _readers.get(kind)
    if found is None:
        found = _readers[kind] = _record_reader(kind)
    return found


def _record_reader(kind: type[Record]) -> Read:
    owner = kind.__name__
    fields = {field: _reader(hint, owner, field) for field, hint in hints_of(kind).items()}
    required = frozenset(required_of(kind))

    def read(told: Any, where: str) -> Any:
        if not isinstance(told, dict):
            raise wrong(where, "has to be an object")
        given = cast("dict[str, Any]", told)
        unknown = [name for name in given if name not in fields and name != TYPE]
        missing = [name for name in required if name not in given]
        if unknown or missing:
            raise wrong(where, _misfit(unknown, missing, list(fields)))
        at = f"{where}." if where else ""
        held = {name: fields[name](given[name], at + name) for name in given if name != TYPE}
        return kind(**held)

    return read


def required_of(kind: type[Record]) -> list[str]:
    """The fields that have to be said."""
    return [field for field, default in kind.defaults.items() if type(default) is object]


def _misfit(unknown: list[str], missing: list[str], known: list[str]) -> str:
    if missing:
        return f"{', '.join(sorted(missing))} is missing"
    return f"there is no field {unknown[0]!r:.80}; there are: {', '.join(known) or 'none'}"


def _reader(hint: Any, owner: str, field: str) -> Read:
    """What reads a value of that type."""
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    if hint is Payload:
        return lambda told, where: _payload(told, where, owner, field)
    if isinstance(hint, type) and issubclass(hint, Record):
        return reader(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union_reader(inner, owner, field)
    if origin is tuple:
        return _tuple_reader(_reader(inner[0], owner, field))
    if origin is dict:
        return _dict_reader(_reader(inner[1], owner, field))
    raise TypeError(f"{owner}.{field} is of a type that JSON has no form for: {hint}")


def _payload(told: Any, where: str, owner: str, field: str) -> Payload:
    try:
        return payloads.read(told, owner, field)
    except payloads.NoPayload as error:
        raise wrong(where, f"a payload {error}") from None


def _tuple_reader(item: Read) -> Read:
    def read(told: Any, where: str) -> Any:
        if not isinstance(told, list):
            raise wrong(where, "has to be a list")
        return tuple([item(one, f"{where}[{i}]") for i, one in enumerate(cast("list[Any]", told))])

    return read


def _dict_reader(item: Read) -> Read:
    def read(told: Any, where: str) -> Any:
        if not isinstance(told, dict):
            raise wrong(where, "has to be an object")
        entries = cast("dict[str, Any]", told)
        return {key: item(one, f"{where}.{key!s:.40}") for key, one in entries.items()}

    return read


def _union_reader(options: tuple[Any, ...], owner: str, field: str) -> Read:
    may_be_null = type(None) in options
    rest = [option for option in options if option is not type(None)]
    records = {
        kind.__name__: reader(kind)
        for kind in rest
        if isinstance(kind, type) and issubclass(kind, Record)
    }
    if len(rest) == 1:
        only = _reader(rest[0], owner, field)
    elif len(records) == len(rest):
        only = _one_of(records)
    elif all(_json_of(kind) for kind in rest):
        only = _by_type({_json_of(kind): _reader(kind, owner, field) for kind in rest})
    else:
        raise TypeError(f"{owner}.{field} may be of types that JSON cannot tell apart")
    if not may_be_null:
        return only
    return lambda told, where: None if told is None else only(told, where)


_JSON: dict[Any, type] = {bool: bool, str: str, float: float, tuple: list}
"""What JSON has for a type, by which a value is told from others."""


def _json_of(hint: Any) -> type | None:
    return _JSON.get(get_origin(hint) or hint)


def _by_type(readers: dict[type | None, Read]) -> Read:
    def read(told: Any, where: str) -> Any:
        kind: Any = type(told)  # pyright: ignore[reportUnknownVariableType]
        one = readers.get(float if kind is int else kind)
        if one is None:
            raise wrong(where, "has to be a number, a text, true or false, or a list of these")
        return one(told, where)

    return read


def _one_of(records: dict[str, Read]) -> Read:
    def read(told: Any, where: str) -> Any:
        name = cast("dict[str, Any]", told).get(TYPE) if isinstance(told, dict) else None
        if not isinstance(name, str) or name not in records:
            raise wrong(where, f'has to be an object with a "type": {", ".join(records)}')
        return records[name](told, where)

    return read


def _exactly(kind: type, what: str) -> Read:
    def read(told: Any, where: str) -> Any:
        if type(told) is not kind:
            raise wrong(where, f"has to be {what}")
        return told

    return read


def _float(told: Any, where: str) -> float:
    if type(told) not in (int, float):
        raise wrong(where, "has to be a number")
    try:
        value = float(told)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise wrong(where, "has to be a number of a fair size")
    return value


def _cursor(told: Any, where: str) -> Cursor:
    if not isinstance(told, str):
        raise wrong(where, 'has to be a position such as "5f2c9a:17"')
    return Cursor.parse(told)


_MOST_INT = 1 << 63


def _int(told: Any, where: str) -> int:
    if type(told) is not int or not -_MOST_INT <= told < _MOST_INT:
        raise wrong(where, "has to be a whole number of 64 bits")
    return told


def _any(told: Any, _: str) -> Any:
    return told


_SIMPLE: dict[Any, Read] = {
    bool: _exactly(bool, "true or false"),
    int: _int,
    float: _float,
    str: _exactly(str, "a text"),
    type(None): _exactly(type(None), "null"),
    Any: _any,
    object: _any,
    Cursor: _cursor,
}


def write(value: Any, field: str = "", count: int | None = None) -> Any:
    """A value as plain JSON; `count` of a record says how many values its payload holds."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode()
    if isinstance(value, Payload):
        return payloads.write(value, field, count)
    return _write_several(value, field)


def _write_several(value: Any, field: str) -> Any:
    match value:
        case Cursor():
            return str(value)
        case Record():
            return _record(value)
        case tuple() | list():
            return [write(item, field) for item in cast("list[Any]", value)]
        case dict():
            entries = cast("dict[Any, Any]", value)
            return {str(key): write(item, str(key)) for key, item in entries.items()}
        case _:
            raise TypeError(f"{type(value).__name__} is not a value that is told")


def _record(value: Record) -> dict[str, Any]:
    count = _count_in(value)
    return {field: write(getattr(value, field), field, count) for field in type(value).fields}


def _count_in(value: Record) -> int | None:
    """How many values are in the payload of a record that says so, or has as many things beside."""
    held: Any = getattr(value, "count", None)
    if held is None:
        beside: Any = getattr(value, "letters", getattr(value, "keys", None))
        held = len(cast("tuple[Any, ...]", beside)) if isinstance(beside, tuple) else None
    return held if isinstance(held, int) else None
