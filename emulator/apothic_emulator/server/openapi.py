"""The OpenAPI document, made from the same records that requests are read by."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from inspect import getdoc
from typing import Any, Union, cast, get_args, get_origin

from apothic_backends.model.events import Cursor
from apothic_backends.model.jobs import JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record
from apothic_emulator.server import shapes
from apothic_emulator.server.catalog import Offer
from apothic_emulator.server.payloads import ARGUMENTS

Schema = dict[str, Any]

_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}

_CALL: Schema = {
    "type": "object",
    "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
}

_SIMPLE: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    Cursor: {"type": "string", "examples": ["5f2c9a:17"]},
    JobStatus: {"type": "string", "enum": [status.value for status in JobStatus]},
}

_FIXED: dict[str, Schema] = {
    "Payload": {
        "description": "A value: plain data, or a pickle in base64; or several of them.",
        "oneOf": [
            {
                "type": "object",
                "required": ["data"],
                "properties": {"codec": {"const": "json"}, "data": {}},
            },
            {
                "type": "object",
                "required": ["codec", "data"],
                "properties": {
                    "codec": {"type": "string", "not": {"const": "json"}},
                    "data": {"type": "string"},
                    "buffers": {"type": "array", "items": _BASE64},
                },
            },
            {
                "type": "object",
                "required": ["items"],
                "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Payload"}}
                },
            },
        ],
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "data"],
                "properties": {
                    "code": {"type": "string", "description": "It never changes."},
                    "message": {"type": "string"},
                    "data": {"type": "object"},
                },
            }
        },
    },
}


def document(offers: Iterable[Offer], version: str) -> dict[str, Any]:
    """The whole document."""
    schemas = _Schemas()
    paths = {offer.path: {"post": _operation(offer, schemas)} for offer in offers}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Apothic",
            "version": version,
            "description": "Every command is one POST. Replies that take longer than 20 seconds "
            "come with status 200 and line breaks before them: then `error` in the body tells.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"key": []}],
        "paths": {**paths, **_OTHERS},
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "apk_..."}
            },
            "schemas": {**_FIXED, **schemas.made},
        },
    }


class _Schemas:
    """The schemas of records, by name, made when they are first named."""

    def __init__(self) -> None:
        self.made: dict[str, Schema] = {}

    def of(self, hint: Any, field: str = "") -> Schema:
        """The schema of a type."""
        simple = _SIMPLE.get(hint)
        if simple is not None:
            return simple
        if hint is Payload:
            return _payload(field)
        if isinstance(hint, type) and issubclass(hint, Record):
            return self._record(hint)
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(option, field) for option in inner]}
        if origin is tuple:
            return {"type": "array", "items": self.of(inner[0], field)}
        assert origin is dict, hint
        return {"type": "object", "additionalProperties": self.of(inner[1], field)}

    def _record(self, kind: type[Record]) -> Schema:
        name = kind.__name__
        if name not in self.made:
            self.made[name] = {}  # it may hold others of itself
            self.made[name] = self.object(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def object(self, kind: type[Record]) -> Schema:
        """The schema of a record's own fields."""
        hints = shapes.hints_of(kind)
        required = shapes.required_of(kind)
        schema: Schema = {
            "type": "object",
            "description": getdoc(kind) or "",
            "properties": {field: self.of(hint, field) for field, hint in hints.items()},
        }
        return {**schema, "required": required} if required else schema


def _payload(field: str) -> Schema:
    payload = {"$ref": "#/components/schemas/Payload"}
    if field != ARGUMENTS:
        return payload
    call = {
        "type": "object",
        "description": "What a function is called with.",
        "properties": {"codec": {"const": "json"}, "data": _CALL},
    }
    return {"anyOf": [call, payload]}


def _operation(offer: Offer, schemas: _Schemas) -> dict[str, Any]:
    summary, _, rest = offer.text.partition("\n")
    asked = schemas.object(offer.kind)
    asked.pop("description")
    reply = {
        "type": "object",
        "required": ["reply"],
        "properties": {"reply": _reply(offer, schemas)},
    }
    return {
        "operationId": offer.kind.__name__,
        "summary": summary,
        "description": f"{rest.strip()}\n\nScopes: {', '.join(sorted(offer.scopes))}.".strip(),
        "requestBody": {"required": False, "content": _json(asked)},
        "responses": {
            "200": {"description": "The reply.", "content": _json(reply)},
            "default": _ERROR,
        },
    }


def _reply(offer: Offer, schemas: _Schemas) -> Schema:
    reply = offer.reply
    return schemas.of(type(None) if reply is None else reply)


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_ERROR: Mapping[str, Any] = {
    "description": "What is wrong, and the way out.",
    "content": _json({"$ref": "#/components/schemas/Error"}),
}


def _get(what: str, kind: str, parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": what,
        "responses": {
            "200": {"description": what, "content": {kind: {"schema": {"type": "string"}}}},
            "default": _ERROR,
        },
    }
    return {"get": {**operation, "parameters": parameters} if parameters else operation}


def _query(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": what, "schema": {"type": "string"}}


_OTHERS: dict[str, Any] = {
    "/v1/events": _get(
        "Follow a topic as server-sent events; `Last-Event-ID` goes on where one was.",
        "text/event-stream",
        [
            _query("topic", "jobs, jobs:N, apps:NAME, queues:NAME or dicts:NAME."),
            _query("after", "The position after which to begin: the id of an event."),
            _query("snapshot", "true: begin with what is now."),
            _query("key", "Of dicts: only this key, as JSON; may stand several times."),
            _query("prefix", "Of dicts: only keys that begin so."),
        ],
    ),
    "/healthz": {
        "get": {
            **cast("dict[str, Any]", _get("Whether it serves.", "application/json")["get"]),
            "security": [],
        }
    },
    "/metrics": _get("Figures, as Prometheus reads them.", "text/plain"),
    "/openapi.json": _get("This document.", "application/json"),
}
