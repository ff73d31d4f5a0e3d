"""The document that describes an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openapi_spec_validator import validate
from pydantic import BaseModel

from apothic_emulator.executors.web.binding import parameters_of
from apothic_emulator.executors.web.openapi import document


@dataclass
class Item:
    name: str
    count: int = 1


class Inner(BaseModel):
    n: int


class Model(BaseModel):
    inner: Inner


def described(function: Callable[..., Any], *methods: str) -> dict[str, Any]:
    return document(function, parameters_of(function), "it", methods or ("GET", "POST"))


def ask(n: int, tags: list[str] = []) -> list[Item]:  # noqa: B006
    """Say what there is.

    At length.
    """
    return []


def put(item: Item, times: int = 1) -> None:
    pass


def model(model: Model) -> Model:
    return model


def test_what_is_made_keeps_to_the_specification() -> None:
    for function in (ask, put, model):
        validate(described(function, "GET", "POST", "PUT"))


def test_parameters_of_a_query_are_described() -> None:
    operation = described(ask)["paths"]["/"]["get"]

    assert [(one["name"], one["required"]) for one in operation["parameters"]] == [
        ("n", True),
        ("tags", False),
    ]


def test_the_default_of_a_parameter_is_shown() -> None:
    assert described(put)["paths"]["/"]["post"]["parameters"][0]["schema"]["default"] == 1


def test_fields_of_a_body_are_described() -> None:
    body = described(ask)["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]

    assert body["schema"]["required"] == ["n"]


def test_a_record_is_described_once_and_referred_to() -> None:
    found = described(put)
    body = found["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]

    assert body["schema"] == {"$ref": "#/components/schemas/Item"}
    assert found["components"]["schemas"]["Item"]["required"] == ["name"]


def test_without_a_body_the_fields_of_a_record_are_parameters() -> None:
    names = [one["name"] for one in described(put)["paths"]["/"]["get"]["parameters"]]

    assert names == ["times", "name", "count"]


def test_models_of_pydantic_are_described_with_those_within() -> None:
    assert set(described(model)["components"]["schemas"]) == {"Inner", "Model"}


def test_what_is_returned_is_described() -> None:
    returned = described(ask)["paths"]["/"]["get"]["responses"]["200"]

    assert returned["content"]["application/json"]["schema"]["type"] == "array"


def test_the_first_line_of_a_docstring_sums_up() -> None:
    operation = described(ask)["paths"]["/"]["get"]

    assert operation["summary"] == "Say what there is."


def test_a_type_that_has_no_schema_is_left_open() -> None:
    def odd() -> Callable[[], int]:
        raise NotImplementedError

    assert described(odd)["paths"]["/"]["get"]["responses"]["200"]["content"] == {
        "application/json": {"schema": {}}
    }
