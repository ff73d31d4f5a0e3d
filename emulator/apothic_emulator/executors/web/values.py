"""Type hints, and values that are made by them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_MANY = (list, set, frozenset, tuple, Sequence)


def bare(hint: Any) -> Any:
    """A hint without what `Annotated` and `| None` add."""
    if typing.get_origin(hint) is typing.Annotated:
        return bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        others = [one for one in typing.get_args(hint) if one is not type(None)]
        return bare(others[0]) if len(others) == 1 else hint
    return hint


def is_pydantic(hint: Any) -> bool:
    """Whether it is a pydantic model."""
    return isinstance(hint, type) and hasattr(hint, "__pydantic_validator__")


def is_record(hint: Any) -> bool:
    """Whether values of it are objects in JSON."""
    kind: Any = class_of(hint)
    return kind is not None and bool(
        issubclass(kind, Mapping | msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or typing.is_typeddict(kind)
        or is_pydantic(kind)
        or hasattr(kind, "__attrs_attrs__")
    )


def is_many(hint: Any) -> bool:
    """Whether a key of the query may come more than once."""
    kind = class_of(hint)
    return kind is not None and issubclass(kind, _MANY) and not issubclass(kind, str | bytes)


def class_of(hint: Any) -> Any:
    """What values of it are instances of; None where there is no one class."""
    kind: Any = bare(hint)
    kind = typing.get_origin(kind) or kind
    return kind if isinstance(kind, type) else None


def fields_of(kind: Any) -> dict[str, Any]:
    """The hints of the fields of a record."""
    return typing.get_type_hints(kind, include_extras=True)


def converted(value: Any, hint: Any, *, is_text: bool) -> Any:
    """A value as a hint says, of JSON or, as it is in a query, of text.

    Raises:
        ValueError: it is none; the error is msgspec's or pydantic's.
    """
    if is_pydantic(hint):
        return hint.model_validate(value)
    made = msgspec.convert(value, hint, strict=not is_text, str_keys=True, dec_hook=_of_other)
    fill(made)
    return made


def fill(value: Any) -> None:
    """Give dataclasses the fields that they have by default.

    msgspec leaves those to the class, and then leaves them out where it writes such a value.
    """
    if isinstance(value, Mapping):
        value = list(typing.cast("Mapping[Any, Any]", value).values())
    if isinstance(value, list | tuple | set | frozenset):
        for one in typing.cast("Sequence[Any]", value):
            fill(one)
    elif dataclasses.is_dataclass(value) and hasattr(value, "__dict__"):
        for each in dataclasses.fields(value):
            part = getattr(value, each.name)
            vars(value).setdefault(each.name, part)
            fill(part)


def _of_other(kind: Any, value: Any) -> Any:
    """What msgspec knows nothing of."""
    if is_pydantic(kind):
        return kind.model_validate(value)
    raise NotImplementedError(f"{kind.__name__} cannot be read from a request")
