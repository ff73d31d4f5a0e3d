"""The document of the calls that are made: it is one, and says what the published one says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

from tests.fakes.document import Document
from tests.fakes.fly.calls import CALLS
from tests.fakes.fly.fake import DOCUMENT

OURS: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
METHODS = ("get", "post", "put", "delete")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, its in OURS["paths"].items():
        for method in METHODS:
            if method in its:
                yield method, path, its[method]


def test_it_is_a_document_of_openapi() -> None:
    openapi_spec_validator.validate(OURS)


def test_the_fake_answers_every_call_of_it_and_no_other() -> None:
    assert {its["operationId"] for _, _, its in operations()} == {*CALLS, "wait"}


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "problem"),
    [
        ("GET", "/v1/apps/a/machines", {"page": "2"}, None, "'page' is unknown"),
        ("GET", "/v1/apps/a/machines/1/wait", {"timeout": "1m"}, None, "'1m' is not of type"),
        ("GET", "/v1/apps/a/machines", {}, {"a": 1}, "there must be no body"),
        ("POST", "/v1/apps", {}, {"app_name": "a", "org_slug": "b"}, "'app_name' was unexpected"),
        ("POST", "/v1/apps/a/machines", {}, {"config": {}}, "'image' is a required"),
        (
            *("POST", "/v1/apps/a/machines", {}, {"config": {"image": "a", "kill_signal": "b"}}),
            "'kill_signal' was unexpected",
        ),
        (
            *("POST", "/v1/apps/a/machines", {}, {"config": {"image": "a", "env": {"A": 1}}}),
            "1 is not of type 'string'",
        ),
        (
            *("POST", "/v1/apps/a/machines", {}),
            {"config": {"image": "a", "mounts": [{"volume": "v", "path": "/"}] * 2}},
            "is too long",
        ),
    ],
)
def test_what_it_does_not_allow_is_a_problem(
    method: str, path: str, query: dict[str, str], body: Any, problem: str
) -> None:
    document = Document(DOCUMENT)
    operation = document.operation(method, path)
    assert operation is not None

    assert problem in "; ".join(document.problems(operation, query, body))


# --- beside the published one ----------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    folder = os.environ.get("APOTHIC_CLOUD_SPECS")
    if not folder:
        pytest.skip("APOTHIC_CLOUD_SPECS does not name the folder of the published documents")
    # That one, as it was published, is no valid document and lacks what is only in its prose.
    path = Path(folder) / "fly-machines-openapi.2026-09-overlay.json"
    return json.loads(path.read_text("utf-8"))


def test_calls_arguments_and_fields_are_published_with_their_types(
    published: dict[str, Any],
) -> None:
    theirs = {_nameless(path.removeprefix("/v1")): its for path, its in published["paths"].items()}
    wrong = [
        f"{method} {path}: {it}"
        for method, path, mine in operations()
        if not mine.get("x-unpublished")
        for it in _differences(
            mine, theirs.get(_nameless(path.removeprefix("/v1")), {}).get(method), published
        )
    ]

    assert wrong == []


def _nameless(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def _differences(mine: Any, its: Any, theirs: Any) -> Iterator[str]:
    if its is None:
        yield "is not published"
        return
    known = {it["name"] for it in its.get("parameters", []) if it["in"] == "query"}
    asked = {it["name"] for it in mine.get("parameters", []) if it["in"] == "query"}
    yield from (f"query {name} is not published" for name in asked - known)
    yield from _other(_schema(mine, OURS), _schema(its, theirs), theirs, "body")


def _schema(operation: Any, document: Any) -> Any:
    body = _whole(operation.get("requestBody", {}), document)
    return body.get("content", {}).get("application/json", {}).get("schema", {})


def _other(mine: Any, its: Any, theirs: Any, where: str) -> Iterator[str]:
    """Fields of ours that the other schema lacks, or has as something else."""
    mine, its = _whole(mine, OURS), _whole(its, theirs)
    said = {mine["type"]} if isinstance(mine.get("type"), str) else {*mine.get("type", [])}
    if "type" in its and said and its["type"] not in said:
        yield f"{where} is {its['type']}"
    for name, schema in mine.get("properties", {}).items():
        if name not in its.get("properties", {}):
            yield f"{where}.{name} is not published"
        else:
            yield from _other(schema, its["properties"][name], theirs, f"{where}.{name}")
    for part in ("items", "additionalProperties"):
        inner, other = mine.get(part), its.get(part)
        if isinstance(inner, dict) and isinstance(other, dict):
            yield from _other(inner, other, theirs, f"{where}[]")


def _whole(schema: Any, document: Any) -> Any:
    """What references and lists of one stand for."""
    if "$ref" in schema:
        found = document
        for part in schema["$ref"].split("/")[1:]:
            found = found[part]
        return _whole(found, document)
    if len(schema.get("allOf", [])) == 1:
        return _whole(schema["allOf"][0], document)
    return schema
