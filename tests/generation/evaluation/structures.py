"""Lists and dictionaries are rearranged."""

from __future__ import annotations

from typing import Any

from tests.generation.evaluation.cases import case


@case(
    examples=[(({"a": {"b": 1, "c": {}}},), {"a.b": 1})],
    hidden=[
        (({"a": {"b": {"c": [1]}}, "d": None}, "/"), {"a/b/c": [1], "d": None}),
        (({},), {}),
    ],
)
def flatten(nested: dict[str, Any], separator: str = ".") -> dict[str, Any]:
    """The values of dictionaries in dictionaries, by their keys joined; empty ones are left out."""
    raise NotImplementedError


@case(
    examples=[(([(1, 3), (2, 5), (8, 9)],), [(1, 5), (8, 9)])],
    hidden=[
        (([(8, 9), (1, 2), (2, 3)],), [(1, 3), (8, 9)]),
        (([(1, 9), (2, 3)],), [(1, 9)]),
        (([],), []),
    ],
)
def merge_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that touch or overlap; the result is sorted."""
    raise NotImplementedError


@case(
    examples=[(([{"k": "a", "n": 1}, {"k": "b"}, {"k": "a"}], "k"), {"a": 2, "b": 1})],
    hidden=[(([{"x": 1}, {}], "x"), {1: 1, None: 1}), (([], "x"), {})],
)
def count_by(records: list[dict[str, Any]], key: str) -> dict[Any, int]:
    """How many records have each value of a key; None for those that have none."""
    raise NotImplementedError


@case(
    examples=[(({"app": ["lib", "base"], "lib": ["base"]},), ["base", "lib", "app"])],
    hidden=[
        (({"b": [], "a": [], "c": ["a"]},), ["a", "b", "c"]),
        (({"a": ["b"], "b": ["a"]},), "raises ValueError"),
        (({"x": ["z", "y"]},), ["y", "z", "x"]),
        (({},), []),
    ],
)
def build_order(needs: dict[str, list[str]]) -> list[str]:
    """An order in which each thing comes after all that it needs, by name where there is a choice.

    At each step the first name of those that are ready comes next. A circle raises ValueError.
    """
    raise NotImplementedError


@case(
    examples=[((["a", "b", "a", "c"], 2), ["a", "c"])],
    hidden=[((["a", "a"], 5), ["a"]), ((["a", "b", "c"], 1), ["c"]), (([], 3), [])],
)
def still_cached(keys: list[str], size: int) -> list[str]:
    """What a cache of `size` keys holds after these were asked for, least recently used first."""
    raise NotImplementedError


@case(
    examples=[(("name,age\nAda,36\n",), [{"name": "Ada", "age": "36"}])],
    hidden=[
        (('a,b\n"x,y","1\n2"\n',), [{"a": "x,y", "b": "1\n2"}]),
        (("a,b\n",), []),
        (("",), []),
    ],
)
def read_table(text: str) -> list[dict[str, str]]:
    """The rows of a CSV text by the names of its first line."""
    raise NotImplementedError
