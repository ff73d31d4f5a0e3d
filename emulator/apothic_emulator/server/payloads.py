"""Payloads as plain JSON.

    {"codec": "json", "data": VALUE}            plain data, whichever side has made it
    {"codec": "ref", "data": "module:name"}     a function that workers can import
    {"codec": "pickle5", "data": BASE64, "buffers": [BASE64, ...]}
    {"items": [PAYLOAD, ...]}                   several

Between the control plane and Python programs values are pickles. The data of a `json` payload is
made one on the way in, and looked for in one on the way out (`plain`), so that what a shell puts
into a queue a worker takes out, and the other way round. The arguments of a call are
`{"args": [...], "kwargs": {...}}`, either of which may be left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any, cast

from apothic_backends.model.payloads import PICKLE, PICKLES, Payload
from apothic_backends.model.queues import joined, split
from apothic_emulator.server import plain

JSON = "json"
REF = "ref"

ARGUMENTS = "arguments"
"""The field that holds what a function is called with."""

_CODECS = frozenset({JSON, REF, PICKLE, PICKLES, "bytes"})
"""There are no others: what says to be of one is not read as if it were of another."""

_TEXTS = frozenset({"KeepSecret"})
"""Commands whose payload is the text of JSON, and no pickle."""


class NoPayload(ValueError):
    """It is no payload; the message says why."""


def read(told: Any, owner: str, field: str) -> Payload:
    """The payload that JSON says, for a field of a record of that name.

    Raises:
        NoPayload: it says none.
    """
    if not isinstance(told, dict):
        raise NoPayload('has to be an object such as {"codec": "json", "data": ...}')
    given = cast("dict[str, Any]", told)
    if "items" in given:
        return _several(given, owner, field)
    codec = _codec(given)
    if codec not in (JSON, REF):
        return Payload(_bytes(given["data"]), _buffers(given.get("buffers", [])), codec)
    if "buffers" in given:
        raise NoPayload(f"of codec {codec} has no buffers")
    if codec == REF:
        return _reference(given["data"])
    if owner in _TEXTS:
        return Payload(json.dumps(given["data"]).encode(), codec=JSON)
    data = _call(given["data"]) if field == ARGUMENTS else given["data"]
    return Payload(plain.dump(data))


def _codec(given: dict[str, Any]) -> str:
    codec = given.get("codec", JSON)
    unknown = given.keys() - {"codec", "data", "buffers"}
    if unknown or not isinstance(codec, str) or "data" not in given:
        raise NoPayload("has codec, data and, except for json and ref, buffers, and nothing else")
    if codec not in _CODECS:
        raise NoPayload(f"is of codec json, ref or pickle5, not {codec!r:.40}")
    return codec


def _several(given: dict[str, Any], owner: str, field: str) -> Payload:
    items: Any = given["items"]
    if given.keys() != {"items"} or not isinstance(items, list):
        raise NoPayload("of several items is {items: [...]}, and nothing else")
    pickles: list[bytes] = []
    for item in cast("list[Any]", items):
        one = read(item, owner, field)
        if one.codec != PICKLE or one.buffers:
            raise NoPayload("cannot have items with buffers, or of a codec other than json")
        pickles.append(one.data)
    return joined(pickles) if pickles else Payload(b"", (), PICKLES)


def _reference(data: Any) -> Payload:
    if not isinstance(data, str) or not all(data.partition(":")):
        raise NoPayload('of codec ref has data such as "module:name"')
    return Payload(data.encode(), codec=REF)


def _call(data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    given = cast("dict[str, Any]", data) if isinstance(data, dict) else {"": None}
    args: Any = given.get("args", [])
    kwargs: Any = given.get("kwargs", dict[str, Any]())
    if given.keys() - {"args", "kwargs"} or not isinstance(args, list):
        raise NoPayload('has data such as {"args": [...], "kwargs": {...}}')
    if not isinstance(kwargs, dict):
        raise NoPayload("has kwargs that are no object")
    return tuple(cast("list[Any]", args)), cast("dict[str, Any]", kwargs)


def _bytes(data: Any) -> bytes:
    try:
        return b64decode(data, validate=True)
    except (ValueError, TypeError):
        raise NoPayload("has data that is no base64") from None


def _buffers(told: Any) -> tuple[bytes, ...]:
    if not isinstance(told, list):
        raise NoPayload("has buffers that are no list")
    return tuple(_bytes(one) for one in cast("list[Any]", told))


def write(payload: Payload, field: str = "", count: int | None = None) -> dict[str, Any]:
    """A payload as JSON; `count` says how many values it holds, if it holds several."""
    if payload.codec == PICKLES and count is not None and not payload.buffers:
        try:
            return {"items": [write(Payload(bytes(one))) for one in split(payload, count)]}
        except ValueError:
            pass  # whoever has put it did not say how many there are
    if payload.codec == REF:
        return {"codec": REF, "data": bytes(payload.data).decode("utf-8", "replace")}
    if payload.codec == PICKLE and not payload.buffers:
        try:
            value = plain.read(payload.data)
        except plain.NotPlain:
            pass
        else:
            return {"codec": JSON, "data": _called(value) if field == ARGUMENTS else value}
    return _raw(payload.codec, payload.data, payload.buffers)


def _called(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    both = cast("tuple[Any, ...]", value)
    return {"args": both[0], "kwargs": both[1]} if len(both) == 2 else both  # noqa: PLR2004


def _raw(codec: str, data: bytes, buffers: Sequence[Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"codec": codec, "data": b64encode(data).decode()}
    if buffers:
        told["buffers"] = [b64encode(buffer).decode() for buffer in buffers]
    return told
