"""What a trial makes of what a function returns; nothing generated runs here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Optional, TypedDict, TypeVar

import pytest

from apothic.generation import trial_run
from apothic.generation.trial_run import misfit, tried

T = TypeVar("T")


class Named(TypedDict):
    name: str


class Person(Named, total=False):
    age: int


@dataclass
class Point:
    x: int


class Opaque:
    def __repr__(self) -> str:
        raise ValueError


FIT: list[tuple[Any, Any]] = [
    ("a", str),
    (1, float),
    (1, int | None),
    (None, None),
    (None, Optional[int]),  # noqa: UP045 - people write it
    ([1, 2], list[int]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ((), tuple[int, ...]),
    ({"a": [1]}, dict[str, list[int]]),
    ({"a": 1}, Mapping[str, Any]),
    (["a"], Sequence[str]),
    ({1}, set[int]),
    ("b", Literal["a", "b"]),
    ({"name": "a"}, Person),
    ({"name": "a", "age": 1}, Person),
    (Point(1), Point),
    (Decimal(1), Decimal),
    (print, Callable[[str], None]),
    (object(), Any),
    (1, T),
    (1, "not a type"),
]

MISFIT: list[tuple[Any, Any, str]] = [
    (1, str, "it returned 1, which is no str"),
    (1.5, int, "it returned 1.5, which is no int"),
    (1, None, "it returned 1, which is no None"),
    ("a", int | None, "it returned 'a', which is no int | None"),
    ([1, "a"], list[int], "it returned: item 1 is 'a', which is no int"),
    ((1, 2), tuple[int], "it returned (1, 2), which has 2 items, not 1"),
    ({1: 2}, dict[str, int], "it returned: it has the key 1, which is no str"),
    ({"a": ["b"]}, dict[str, list[int]], "it returned: ['a']: item 0 is 'b', which is no int"),
    ("c", Literal["a", "b"], "it returned 'c', which is no Literal['a', 'b']"),
    (True, Literal[1], "it returned True, which is no Literal[1]"),
    ([], Person, "it returned [], which is no Person"),
    ({}, Person, "it returned {}, a Person without name"),
    ({"name": 1}, Person, "it returned: ['name'] is 1, which is no str"),
    ({"name": "a", "b": 1}, Person, "a Person with {'b'} beside its own"),
    (Opaque(), int, "it returned <Opaque whose repr() raises ValueError>, which is no int"),
    ("x" * 1_000, int, "xxx..., which is no int"),
]


@pytest.mark.parametrize(("value", "hint"), FIT)
def test_a_value_fits_its_annotation(value: Any, hint: Any) -> None:
    assert misfit(value, hint, "it returned") is None


@pytest.mark.parametrize(("value", "hint", "said"), MISFIT)
def test_what_does_not_fit_is_told_with_its_place(value: Any, hint: Any, said: str) -> None:
    assert said in str(misfit(value, hint, "it returned"))


def counts(to: int) -> Iterator[int]:
    yield from range(to)


async def counts_later(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


async def later(value: int) -> int:
    return value


def wrong_items() -> Iterator[str]:
    yield from [1, 2]  # type: ignore[misc]


def wrong_kind() -> list[int]:
    return iter([1])  # type: ignore[return-value]


def unreadable() -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return 1


@pytest.mark.parametrize(
    ("function", "args", "expected", "wrong"),
    [
        (later, (1,), (1,), None),
        (later, (1,), (2,), "it returned 1, but 2 is expected"),
        (counts, (3,), ([0, 1, 2],), None),
        (counts, (2,), ([0],), "it returned [0, 1], but [0] is expected"),
        (counts, (10**9,), ([*range(trial_run.MOST_ITEMS)],), None),
        (counts_later, (3,), ([0, 1, 2],), None),
        (counts_later, (10**9,), ([*range(trial_run.MOST_ITEMS)],), None),
        (wrong_items, (), (), "it yielded: item 0 is 1, which is no str"),
        (wrong_kind, (), (), "which is no list[int]"),
        (unreadable, (), (), None),
        (lambda: [1], (), ([1],), None),
    ],
)
def test_a_call_is_awaited_or_iterated_and_compared(
    function: Any, args: tuple[Any, ...], expected: tuple[Any, ...], wrong: str | None
) -> None:
    assert (wrong or "None") in str(tried(function, args, {}, expected))


@pytest.mark.parametrize("line", ["from nowhere import Thing", "import nowhere as Thing"])
def test_a_module_is_missing_where_it_is_used_and_no_earlier(line: str) -> None:
    code = line + "\ndef f(x: Thing) -> Thing:\n    return {}"

    assert tried(trial_run.load(code.format("x"), "f"), (1,), {}, (1,)) is None
    for use in ("Thing(x)", "Thing.x"):
        error = trial_run.outcome(code.format(use), "f", "((1,), {}, 1, True)")["error"]
        assert error.startswith("it raised ModuleNotFoundError: No module named 'nowhere' - it is")
        assert error.endswith(f"sandbox=False\n  line 3, in f: return {use}")


def test_the_program_needs_the_standard_library_alone() -> None:
    wanted = {"code": "def f(x):\n    return x", "name": "f", "example": "((1,), {}, 2, True)"}
    program = Path(trial_run.__file__).read_text("utf-8")
    command = [sys.executable, "-I", "-S", "-c", program]

    ran = subprocess.run(
        command, input=json.dumps(wanted).encode(), capture_output=True, check=True
    )

    assert json.loads(ran.stderr) == {
        "is_loaded": True,
        "error": "it returned 1, but 2 is expected",
    }
