"""Values as JSON, with their large buffers beside it: for every border that is not a call.

Only the types that are listed can be named, and nothing is ever unpickled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

from apothic_backends.commands import SELDOM
from apothic_backends.model.errors import ApothicError, UsageError, error_of
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record, records_in

_records: dict[str, type[Record]] = {}
"""The types of those modules that were needed so far, by name."""


def _known(name: str) -> type[Record]:
    """The type of that name.

    Raises:
        KeyError: there is none.
    """
    if not _records:
        for module in ("jobs", "functions", "schedules", "events"):
            _records.update(records_in(f"apothic_backends.model.{module}"))
        _records.update(records_in("apothic_backends.commands.jobs"))
    if name not in _records:
        for module in SELDOM:
            _records.update(records_in(f"apothic_backends.model.{module}"))
            _records.update(records_in(f"apothic_backends.commands.{module}"))
    return _records[name]


_Buffers = Sequence[bytes | bytearray | memoryview]


def to_json(value: Any, buffers: list[Any]) -> Any:
    """A value as JSON's own types; payloads are appended to `buffers` and named by position."""
    match value:
        case JobStatus():
            return {"$status": value.value}
        case None | bool() | int() | float() | str():
            return value
        case Payload():
            buffers.append(value.data)
            buffers.extend(value.buffers)
            return {"$payload": [value.codec, len(buffers) - len(value.buffers) - 1, len(buffers)]}
        case Record():
            held = {field: to_json(getattr(value, field), buffers) for field in value.fields}
            return {"$record": type(value).__name__, **held}
        case ApothicError():
            return {"$error": [value.code, value.message, to_json(value.data, buffers)]}
        case tuple():
            return {"$tuple": [to_json(item, buffers) for item in cast("tuple[Any, ...]", value)]}
        case list():
            return [to_json(item, buffers) for item in cast("list[Any]", value)]
        case dict():
            entries = cast("dict[str, Any]", value)
            return {"$dict": {key: to_json(item, buffers) for key, item in entries.items()}}
        case _:
            raise TypeError(f"{type(value).__name__} is not a value that travels")


def from_json(value: Any, buffers: _Buffers) -> Any:
    """What `to_json` made, rebuilt.

    Raises:
        UsageError: it is not something that `to_json` makes.
    """
    try:
        return _rebuild(value, buffers)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not a message of ours: {error!r}") from error


def _rebuild(value: Any, buffers: _Buffers) -> Any:
    match value:
        case {"$record": str(name), **held}:
            record = _known(name)(**{k: _rebuild(v, buffers) for k, v in held.items()})
            _check(record)
            return record
        case {"$payload": [str(codec), int(first), int(end)]}:
            return Payload(bytes(buffers[first]), tuple(buffers[first + 1 : end]), codec)
        case {"$status": str(status)}:
            return JobStatus(status)
        case {"$error": [str(code), str(message), data]}:
            return error_of(code, message, _rebuild(data, buffers))
        case {"$tuple": [*items]}:
            return tuple(_rebuild(item, buffers) for item in items)
        case {"$dict": {**entries}}:
            return {key: _rebuild(item, buffers) for key, item in entries.items()}
        case list():
            return [_rebuild(item, buffers) for item in cast("list[Any]", value)]
        case dict():
            raise ValueError(f"an object with the keys {sorted(cast('dict[str, Any]', value))}")
        case _:
            return value


_Accepted = tuple[tuple[type, ...], tuple[type, ...]]
"""The types of a field, and those of what is in it if it is a tuple."""

_accepted: dict[type[Record], dict[str, _Accepted]] = {}


def _check(record: Record) -> None:
    """See to it that every field holds what its annotation says."""
    kind = type(record)
    fields = _accepted.get(kind)
    if fields is None:
        hints = get_type_hints(kind)
        fields = _accepted[kind] = {f: _accepted_by(hints[f]) for f in kind.fields}
    for field, (types, of_items) in fields.items():
        value = getattr(record, field)
        is_good = isinstance(value, types)
        if is_good and of_items:
            is_good = all(isinstance(item, of_items) for item in value)
        if not is_good:
            raise TypeError(f"{kind.__name__}.{field} cannot be {value!r:.100}")


def _accepted_by(hint: Any) -> _Accepted:
    origin = get_origin(hint)
    if origin is None:
        return ((int, float) if hint is float else (hint,)), ()
    if origin is tuple:
        return (tuple,), _accepted_by(get_args(hint)[0])[0]
    if origin is dict:
        return (dict,), ()
    return tuple(kind for one in get_args(hint) for kind in _accepted_by(one)[0]), ()
