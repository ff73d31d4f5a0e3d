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
from apothic_backends.model.texts import decode, encode

_records: dict[str, type[Record]] = {}
"""The types of those modules that were needed so far, by name."""


def _known(name: str) -> type[Record]:
    """The type of that name.

    Raises:
        KeyError: there is none.
    """
    if not _records:
        for module in ("jobs", "functions", "images", "schedules", "events"):
            _records.update(records_in(f"apothic_backends.model.{module}"))
        _records.update(records_in("apothic_backends.commands.jobs"))
    if name not in _records:
        for module in SELDOM:
            _records.update(records_in(f"apothic_backends.model.{module}"))
            _records.update(records_in(f"apothic_backends.commands.{module}"))
    return _records[name]


_Buffers = Sequence[bytes | bytearray | memoryview]


_PLAIN = frozenset({type(None), bool, int, float, str})
"""What JSON has by itself."""


def to_bytes(value: Any, buffers: list[Any]) -> bytes:
    """A value as the text of JSON, its large parts in `buffers`."""
    return encode(to_json(value, buffers)).encode()


def from_bytes(text: bytes | bytearray | memoryview, buffers: _Buffers) -> Any:
    """What `to_bytes` made, rebuilt.

    Raises:
        UsageError: it is JSON, but not something that `to_bytes` makes.
        ValueError: it is no JSON.
        RecursionError: it is too deep to be a message of ours.
    """
    data = bytes(text)
    shape = _shapes.get(data)
    if shape is not None:
        return shape.fill(buffers)
    told = decode(str(data, "utf-8"))
    value = from_json(told, buffers)
    if isinstance(value, Record) and len(data) <= _MOST_TEXT:
        _remember(data, type(value), told)
    return value


_MOST_SHAPES = 256
_MOST_TEXT = 256


class _Shape:
    """What a text stands for that was read before: a record of plain values and payloads.

    Most texts are: a queue's items differ in their buffers alone.
    """

    __slots__ = ("kind", "payloads", "plain")

    def __init__(self, kind: type[Record]) -> None:
        self.kind = kind
        self.plain: dict[str, Any] = {}
        self.payloads: list[tuple[str, str, int, int]] = []

    def fill(self, buffers: _Buffers) -> Record:
        """The record with these buffers."""
        fields = self.plain.copy()
        try:
            for field, codec, first, end in self.payloads:
                fields[field] = _payload(codec, first, end, buffers)
        except IndexError as error:
            raise UsageError(f"not a message of ours: {error!r}") from error
        return self.kind(**fields)


_shapes: dict[bytes, _Shape] = {}
"""By text; each was read once as all are."""


def _remember(text: bytes, kind: type[Record], told: dict[str, Any]) -> None:
    """Note the shape of a text, if it has one."""
    shape = _Shape(kind)
    for field, value in told.items():
        if field == "$record":
            continue
        if type(value) in _PLAIN:
            shape.plain[field] = value
        elif type(value) is dict and [*value] == ["$payload"]:
            codec, first, end = cast("dict[str, Any]", value)["$payload"]
            shape.payloads.append((field, codec, first, end))
        else:
            return
    if len(_shapes) >= _MOST_SHAPES:
        _shapes.clear()
    _shapes[text] = shape


def _payload(codec: str, first: int, end: int, buffers: _Buffers) -> Payload:
    return Payload(bytes(buffers[first]), tuple(buffers[first + 1 : end]), codec)


def to_json(value: Any, buffers: list[Any]) -> Any:
    """A value as JSON's own types; payloads are appended to `buffers` and named by position.

    Fields of records that are as they are by default are left out.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Record):
        return _record_to_json(value, buffers)
    if isinstance(value, Payload):
        buffers.append(value.data)
        buffers.extend(value.buffers)
        return {"$payload": [value.codec, len(buffers) - len(value.buffers) - 1, len(buffers)]}
    return _other_to_json(value, buffers)


def _record_to_json(value: Record, buffers: list[Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"$record": type(value).__name__}
    for field, default in type(value).defaults.items():
        held = getattr(value, field)
        if held is not default:
            told[field] = held if type(held) in _PLAIN else to_json(held, buffers)
    return told


def _other_to_json(value: Any, buffers: list[Any]) -> Any:
    match value:
        case JobStatus():
            return {"$status": value.value}
        case None | bool() | int() | float() | str():
            return value
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
    if type(value) in _PLAIN:
        return value
    match value:
        case {"$record": str(name), **held}:
            return _rebuild_record(_known(name), held, buffers)
        case {"$payload": [str(codec), int(first), int(end)]}:
            return _payload(codec, first, end, buffers)
        case {"$status": str(status)}:
            return JobStatus(status)
        case {"$error": [str(code), str(message), data]}:
            return error_of(code, message, _rebuild(data, buffers))
        case {"$tuple": [*items]}:
            return tuple([_rebuild(item, buffers) for item in items])
        case {"$dict": {**entries}}:
            return {key: _rebuild(item, buffers) for key, item in entries.items()}
        case list():
            return [_rebuild(item, buffers) for item in cast("list[Any]", value)]
        case _:
            raise ValueError(f"an object with the keys {sorted(cast('dict[str, Any]', value))}")


def _rebuild_record(kind: type[Record], held: dict[str, Any], buffers: _Buffers) -> Record:
    """A record, each field of which holds what its annotation says."""
    fields = _accepted.get(kind)
    if fields is None:
        hints = get_type_hints(kind)
        fields = _accepted[kind] = {f: _accepted_by(hints[f]) for f in kind.fields}
    for field, told in held.items():
        types, of_items = fields[field]
        value = told if type(told) in _PLAIN else _rebuild(told, buffers)
        if value is not told:
            held[field] = value
        if not isinstance(value, types) or (
            of_items and not all(isinstance(item, of_items) for item in value)
        ):
            raise TypeError(f"{kind.__name__}.{field} cannot be {value!r:.100}")
    return kind(**held)


_Accepted = tuple[tuple[type, ...], tuple[type, ...]]
"""The types of a field, and those of what is in it if it is a tuple."""

_accepted: dict[type[Record], dict[str, _Accepted]] = {}


def _accepted_by(hint: Any) -> _Accepted:
    origin = get_origin(hint)
    if origin is None:
        return ((int, float) if hint is float else (hint,)), ()
    if origin is tuple:
        return (tuple,), _accepted_by(get_args(hint)[0])[0]
    if origin is dict:
        return (dict,), ()
    return tuple(kind for one in get_args(hint) for kind in _accepted_by(one)[0]), ()
