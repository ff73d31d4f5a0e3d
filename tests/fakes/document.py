"""Requests, checked against an OpenAPI document that says what may be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema


class Operation:
    """One call of a document: `places` are what stands in its path, by name."""

    def __init__(self, told: dict[str, Any], path: str, places: dict[str, str]) -> None:
        self.told, self.path, self.places = told, path, places

    @property
    def id(self) -> str:
        return str(self.told["operationId"])


class Document:
    """An OpenAPI document of ours."""

    def __init__(self, path: Path) -> None:
        self.told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self._paths = {path: _pattern_of(path) for path in self.told["paths"]}

    def operation(self, method: str, path: str) -> Operation | None:
        """The call that a request is; None if there is none."""
        for template, pattern in self._paths.items():
            match, its = pattern.fullmatch(path), self.told["paths"][template]
            if match and method.lower() in its:
                return Operation(its[method.lower()], template, match.groupdict())
        return None

    def problems(self, operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
        """What the document has against a request; `body` is None where there is none."""
        known = {
            it["name"]: it["schema"]
            for it in operation.told.get("parameters", [])
            if it["in"] == "query"
        }
        found = [f"query {name!r} is unknown" for name in query if name not in known]
        for name in query.keys() & known.keys():
            found += self.wrong(known[name], _typed(known[name], query[name]), f"query {name}")
        content = operation.told.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            found += self.wrong(content["application/json"]["schema"], body, "body")
        elif not content and body is not None:
            found.append("there must be no body")
        return found

    def wrong(self, schema: dict[str, Any], value: Any, what: str) -> list[str]:
        """How a value is not as a schema has it."""
        whole = {**schema, "components": self.told["components"]}
        validator = jsonschema.Draft202012Validator(whole)
        return [f"{what}: {it.json_path}: {it.message}" for it in validator.iter_errors(value)]

    def answer_problems(self, operation: Operation, status: int, body: Any) -> list[str]:
        """What the document has against an answer."""
        responses = operation.told["responses"]
        told = responses.get(str(status), responses.get("default"))
        if told is None:
            return [f"{status} is not in the document"]
        content = told.get("content", {})
        if "application/json" not in content:
            return []
        return self.wrong(content["application/json"]["schema"], body, f"answer {status}")


def _pattern_of(path: str) -> re.Pattern[str]:
    """A template, as what matches its paths: `{name}` is one part of a path."""
    escaped = re.escape(path)
    escaped = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", escaped)
    return re.compile(escaped)


def _typed(schema: dict[str, Any], text: str) -> Any:
    kind = schema.get("type")
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text
