"""Stubs: what is read of a function as it was written."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator
from decimal import Decimal as Money
from pathlib import Path
from typing import Any

import pytest

from apothic import InvalidOption
from apothic.generation.stubs import Stub, stub_of

LIMIT = 3


class Thing:
    """A type of this module."""


def read(function: Callable[..., Any]) -> Stub:
    return stub_of(function, "app", "function")


def first(a: int, b: Money, *, most: int = LIMIT) -> list[Thing]:
    """Its docstring."""
    raise NotImplementedError


def test_it_has_the_source_from_def_on() -> None:
    source = read(first).source

    assert source.startswith("def first(a: int, b: Money, *, most: int = LIMIT) -> list[Thing]:\n")
    assert source.endswith("raise NotImplementedError")


def test_decorators_are_no_part_of_it() -> None:
    @pytest.mark.skip
    def decorated() -> None:
        raise NotImplementedError

    assert read(decorated).source.startswith("def decorated()")


def test_a_function_in_a_function_is_read_as_one_of_a_module() -> None:
    def inner() -> int:
        raise NotImplementedError

    assert read(inner).definition.name == "inner"


def test_names_of_the_signature_are_imported_from_where_they_are() -> None:
    assert read(first).imports == (
        f"from {__name__} import LIMIT",
        "from decimal import Decimal as Money",
        f"from {__name__} import Thing",
    )


def test_annotations_that_are_texts_are_read_too() -> None:
    def quoted(a: Thing, b: t.Literal["x", "LIMIT"]) -> Money:
        raise NotImplementedError

    assert "from decimal import Decimal as Money" in read(quoted).imports
    assert "import typing as t" in read(quoted).imports


def test_a_default_that_is_a_text_is_no_name() -> None:
    def greeting(word: str = "Thing of mine") -> str:
        raise NotImplementedError

    assert read(greeting).imports == ()


def test_a_name_of_a_surrounding_function_is_refused() -> None:
    here = 3

    def late(a: int = here) -> int:
        raise NotImplementedError

    with pytest.raises(InvalidOption, match=r"late\(\) needs 'here'"):
        read(late)


def test_what_yields_itself_is_a_generator() -> None:
    def items() -> Iterator[int]:
        raise NotImplementedError
        yield

    def outer() -> object:
        def inner() -> Iterator[int]:
            yield 1

        return inner

    assert read(items).is_generator
    assert not read(outer).is_generator


def test_what_has_no_source_is_refused() -> None:
    scope: dict[str, Any] = {}
    exec("def typed() -> int: ...", scope)

    with pytest.raises(InvalidOption, match="write it into a file"):
        read(scope["typed"])


def test_a_lambda_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"only such functions|cannot be read"):
        read(lambda: None)


def test_it_knows_where_its_module_is_imported_from() -> None:
    stub = read(first)

    assert Path(stub.root, *stub.module.split(".")).with_suffix(".py") == Path(stub.file)
