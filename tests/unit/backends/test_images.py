"""Recipes of images as records."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends import codec
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec, ImageStep

RECIPE = ImageSpec(
    base="python:3.11-slim",
    python="3.11",
    steps=(ImageStep("pip_install", ("numpy", "pandas")), ImageStep("env", ("A=1",))),
    context="0" * 64,
)

OTHERS: list[dict[str, Any]] = [
    {"base": "python:3.12-slim"},
    {"python": "3.12"},
    {"dockerfile": "FROM scratch"},
    {"steps": RECIPE.steps[::-1]},
    {"steps": (ImageStep("pip_install", ("numpy",)), ImageStep("pip_install", ("pandas",)))},
    {"context": "1" * 64},
    {"context": None},
]


def test_the_same_recipe_has_the_same_digest() -> None:
    assert RECIPE.digest == RECIPE.replace(base="python:3.11-slim").digest
    assert len(RECIPE.digest) == 64


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_recipe_has_another_digest(other: dict[str, Any]) -> None:
    assert RECIPE.replace(**other).digest != RECIPE.digest


def test_a_recipe_travels_in_what_a_backend_knows_of_a_function() -> None:
    spec = FunctionSpec("app", "f", image=RECIPE)

    assert codec.from_bytes(codec.to_bytes(spec, []), []) == spec
