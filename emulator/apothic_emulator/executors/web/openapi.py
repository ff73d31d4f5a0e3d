"""Describes an endpoint, as an OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from apothic_emulator.executors.web.binding import (
    MISSING,
    NotBindable,
    Parameter,
    Parameters,
    hints_of,
)
from apothic_emulator.executors.web.values import is_pydantic

_REFS = "#/components/schemas/{name}"
_WITH_BODY = ("PATCH", "POST", "PUT")
_PROBLEMS = {
    "type": "object",
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("where", "message", "expected", "got")
                },
            },
        }
    },
}


def document(
    function: Callable[..., Any], takes: Parameters, name: str, methods: tuple[str, ...]
) -> dict[str, Any]:
    """The document of an endpoint."""
    schemas = Schemas()
    operation = _operation(function, takes, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": "1"},
        "paths": {
            "/": {method.lower(): operation(method) for method in methods if method != "OPTIONS"}
        },
        "components": {"schemas": schemas.components},
    }


class Schemas:
    """The schemas of types, and those that they refer to."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        """The schema of a type; `{}` where none can be made."""
        try:
            if is_pydantic(hint):
                return self._of_pydantic(hint)
            (found,), components = msgspec.json.schema_components(
                (hint,), schema_hook=self._of_pydantic, ref_template=_REFS
            )
        except (TypeError, NotImplementedError):
            return {}
        self.components |= components
        return found

    def _of_pydantic(self, kind: Any) -> dict[str, Any]:
        if not is_pydantic(kind):
            raise NotImplementedError
        found: dict[str, Any] = kind.model_json_schema(ref_template=_REFS.replace("name", "model"))
        self.components |= found.pop("$defs", {})
        self.components[kind.__name__] = found
        return {"$ref": _REFS.format(name=kind.__name__)}

    def fields(self, hint: Any) -> tuple[Mapping[str, Any], list[str]]:
        """The fields of a record, by name, and which of them are required."""
        schema = self.of(hint)
        known = self.components.get(schema.get("$ref", "").rpartition("/")[2], schema)
        return known.get("properties", {}), known.get("required", [])


def _operation(
    function: Callable[..., Any], takes: Parameters, schemas: Schemas
) -> Callable[[str], dict[str, Any]]:
    said = inspect.cleandoc(function.__doc__ or "")
    returned = _returned(function, schemas)

    def of(method: str) -> dict[str, Any]:
        has_body = method in _WITH_BODY
        operation: dict[str, Any] = {
            "operationId": f"{function.__name__}_{method.lower()}",
            "summary": said.partition("\n")[0] or function.__name__,
            "responses": {"200": returned},
        }
        if said:
            operation["description"] = said
        parameters = _in_query(takes, schemas, has_body=has_body)
        if parameters:
            operation["parameters"] = parameters
        if has_body and (takes.whole or takes.fields):
            operation["requestBody"] = _body(takes, schemas)
        if takes.are_bound:
            operation["responses"]["422"] = {
                "description": "What is wrong with the request",
                "content": {"application/json": {"schema": _PROBLEMS}},
            }
        return operation

    return of


def _returned(function: Callable[..., Any], schemas: Schemas) -> dict[str, Any]:
    try:
        hint = hints_of(function).get("return", Any)
    except NotBindable:
        hint = Any
    schema = schemas.of(hint)
    return {
        "description": "What it returns",
        "content": {"application/json": {"schema": schema}},
    }


def _in_query(takes: Parameters, schemas: Schemas, *, has_body: bool) -> list[dict[str, Any]]:
    named: list[tuple[str, Any, bool]] = []
    if not has_body or takes.whole is not None:
        named = [
            (one.name, _with_default(one, schemas), one.default is MISSING) for one in takes.fields
        ]
    if takes.whole is not None and not has_body:
        fields, required = schemas.fields(takes.whole.hint)
        named += [(name, schema, name in required) for name, schema in fields.items()]
    return [
        {"name": name, "in": "query", "required": is_required, "schema": schema}
        for name, schema, is_required in named
    ]


def _body(takes: Parameters, schemas: Schemas) -> dict[str, Any]:
    if takes.whole is not None:
        schema, is_required = schemas.of(takes.whole.hint), takes.whole.default is MISSING
    else:
        required = [one.name for one in takes.fields if one.default is MISSING]
        schema = {
            "type": "object",
            "properties": {one.name: _with_default(one, schemas) for one in takes.fields},
        } | ({"required": required} if required else {})
        is_required = bool(required)
    return {"required": is_required, "content": {"application/json": {"schema": schema}}}


def _with_default(one: Parameter, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.of(one.hint)
    if one.default is MISSING:
        return schema
    try:
        return schema | {"default": msgspec.to_builtins(one.default)}
    except TypeError:
        return schema
