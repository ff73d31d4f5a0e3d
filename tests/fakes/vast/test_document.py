"""The document of the calls that are made: it is one, and says what the published one says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

from tests.fakes.document import Document
from tests.fakes.vast.fake import DOCUMENT

UNPUBLISHED = "x-unpublished"


def test_it_is_a_document_of_openapi() -> None:
    openapi_spec_validator.validate(json.loads(DOCUMENT.read_text("utf-8")))


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "problem"),
    [
        ("GET", "/api/v1/instances/", {"page": "2"}, None, "'page' is unknown"),
        ("GET", "/api/v1/instances/", {"limit": "100"}, None, "100 is greater"),
        ("POST", "/api/v0/bundles/", {}, {"gpu": {"eq": "L4"}}, "'gpu' was unexpected"),
        ("POST", "/api/v0/bundles/", {}, {"gpu_ram": {"gte": "24"}}, "'24' is not of type"),
        ("POST", "/api/v0/bundles/", {}, {"gpu_ram": {"$gte": 24}}, "'$gte' was unexpected"),
        ("PUT", "/api/v0/asks/5/", {}, {"env": "-e A=1"}, "is not of type 'object'"),
        ("PUT", "/api/v0/asks/5/", {}, {"env": {}, "price": 0.2}, "'price' was unexpected"),
    ],
)
def test_what_it_does_not_allow_is_a_problem(
    method: str, path: str, query: dict[str, str], body: Any, problem: str
) -> None:
    document = Document(DOCUMENT)
    operation = document.operation(method, path)
    assert operation is not None

    assert problem in "; ".join(document.problems(operation, query, body))


@pytest.mark.parametrize("path", ["/api/v0/instances/", "/api/v0/asks/5"])
def test_a_path_that_is_not_there_is_none(path: str) -> None:
    assert Document(DOCUMENT).operation("GET", path) is None


# --- beside the published one ----------------------------------------------------------------


@pytest.fixture
def published() -> dict[str, Any]:
    folder = os.environ.get("APOTHIC_CLOUD_SPECS")
    if not folder:
        pytest.skip("APOTHIC_CLOUD_SPECS does not name the folder of the published documents")
    return json.loads((Path(folder) / "vast-openapi.json").read_text("utf-8"))


def test_every_call_and_field_is_published_with_its_type_or_says_that_it_is_not(
    published: dict[str, Any],
) -> None:
    ours = json.loads(DOCUMENT.read_text("utf-8"))
    wrong = [
        f"{method} {path}: {it}"
        for path, operations in ours["paths"].items()
        for method, operation in operations.items()
        for it in _differences(
            ours, operation, published, published["paths"].get(path.rstrip("/"), {}).get(method)
        )
    ]

    assert wrong == []


def _differences(ours: Any, mine: Any, theirs: Any, its: Any) -> Iterator[str]:
    """What is said of a call by one document alone, without a mark that says so."""
    if its is None:
        yield "is not published"
        return
    mine_in, its_in = _inputs(ours, mine), _inputs(theirs, its)
    mine_out, its_out = _output(ours, mine), _output(theirs, its)
    for where, here, there in (("in", mine_in, its_in), ("out", mine_out, its_out)):
        for name, schema in here.items():
            is_marked = UNPUBLISHED in schema
            same = name in there and _type(ours, schema) & _type(theirs, there[name])
            if bool(same) is is_marked:
                yield f"{where} {name}: {'is published by now' if is_marked else 'is another'}"


def _inputs(document: Any, operation: Any) -> dict[str, Any]:
    known = {
        it["name"]: {**it["schema"], **{k: v for k, v in it.items() if k == UNPUBLISHED}}
        for it in operation.get("parameters", [])
    }
    body = operation.get("requestBody", {})
    if UNPUBLISHED in body or not body:
        return known
    return known | _properties(document, body["content"]["application/json"]["schema"])


def _output(document: Any, operation: Any) -> dict[str, Any]:
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    found = _properties(document, answer)
    for name, schema in list(found.items()):
        inner = _whole(document, schema.get("items", schema))
        if name == "instances":
            found |= {f"instances.{k}": v for k, v in _properties(document, inner).items()}
    return found


def _properties(document: Any, schema: Any) -> dict[str, Any]:
    return _whole(document, schema).get("properties", {})


def _whole(document: Any, schema: Any) -> Any:
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    return {**document["components"]["schemas"][name], **schema}


def _type(document: Any, schema: Any) -> set[str]:
    """Its types; whole numbers are numbers."""
    said = _whole(document, schema).get("type", "any")
    types = {said} if isinstance(said, str) else set(said)
    return types | ({"number"} if "integer" in types else set())
