"""Values with named fields: what `dataclasses` gives, at a tenth of its start-up time.

Importing `dataclasses` costs more than two bare interpreter starts and each frozen class another
0.7 ms; a program that declares one function would pay more for its values than for Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, TypeVar, dataclass_transform

T = TypeVar("T")

Aside = Annotated[T, "aside"]
"""What a record carries beside its fields: it is not compared, shown, copied or sent."""

_MISSING: Any = object()


class _RecordType(type):
    """Builds `__slots__` and a keyword `__init__` from a class body's annotations."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        own = list(body.get("__annotations__", {})) if bases else []
        defaults = {field: body.pop(field) for field in own if field in body}
        body.setdefault("__slots__", tuple(own))
        made: Any = super().__new__(mcs, name, bases, body)
        fields: dict[str, Any] = {}
        for base in reversed(made.__mro__[1:]):
            fields |= base.__dict__.get("_own_fields", {})
        made._own_fields = {field: defaults.get(field, _MISSING) for field in own}
        fields |= made._own_fields
        hints = body.get("__annotations__", {})
        aside = {field for field in own if hints[field].startswith("Aside[")}
        made.defaults = {field: fields[field] for field in fields if field not in aside}
        made.fields = tuple(made.defaults)
        if fields:
            made.__init__ = _init_of(fields)
        return made


def _init_of(fields: dict[str, Any]) -> Any:
    """Write the `__init__` that a person would: required fields first, all by keyword or place."""
    ordered = sorted(fields, key=lambda field: fields[field] is not _MISSING)
    names = [f if fields[f] is _MISSING else f"{f}=_default_{f}" for f in ordered]
    lines = "".join(f"\n    self.{field} = {field}" for field in ordered)
    scope = {f"_default_{field}": value for field, value in fields.items()}
    exec(f"def __init__(self, {', '.join(names)}):{lines}", scope)  # noqa: S102 - our own names
    return scope["__init__"]


@dataclass_transform(kw_only_default=False)
class Record(metaclass=_RecordType):
    """A value with named fields, compared and shown by them; treat it as frozen."""

    fields: tuple[str, ...]
    """The names of the fields, in order; on the class."""

    defaults: Mapping[str, Any]
    """What each field is unless it is said; of one that has to be, an object like no other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Equal when the type and every field are."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, f) == getattr(other, f) for f in type(self).fields)

    __hash__ = None  # type: ignore[assignment]  # fields may be lists; ids are the keys

    def __repr__(self) -> str:
        """Every field by name, so that a failing test shows what it got."""
        shown = ", ".join(f"{f}={getattr(self, f, '?')!r}" for f in type(self).fields)
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Any:
        """Give a copy with some fields changed."""
        kept = {f: getattr(self, f) for f in type(self).fields}
        return type(self)(**(kept | changes))


def records_in(module: str) -> dict[str, type[Record]]:
    """The records that a module defines, by name; the module is loaded for it."""
    found = vars(import_module(module)).items()
    return {name: it for name, it in found if _is_record(it) and it.__module__ == module}


def _is_record(it: object) -> bool:
    return isinstance(it, _RecordType)
