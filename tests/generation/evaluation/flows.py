"""Generators, coroutines, and both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from tests.generation.evaluation.cases import case


@case(
    examples=[(([1, 2, 3], 2), [[1, 2], [3]])],
    hidden=[(([], 2), []), (([1, 2], 2), [[1, 2]]), (([1], 0), "raises ValueError")],
)
def chunks(items: list[int], size: int) -> Iterator[list[int]]:
    """Give the items in lists of `size`, at last what is left; sizes below 1 raise ValueError."""
    raise NotImplementedError
    yield


@case(
    examples=[((["a", "bcd"],), [1, 3])],
    hidden=[(([],), []), ((["é" * 9],), [9])],
)
async def lengths(texts: list[str]) -> list[int]:
    """How long each text is; each is measured in a coroutine of its own, all at once."""
    raise NotImplementedError


@case(
    examples=[((3,), [3, 2, 1])],
    hidden=[((0,), []), ((1,), [1])],
)
async def countdown(start: int) -> AsyncIterator[int]:
    """Count down from `start` to 1, and let others run before each."""
    raise NotImplementedError
    yield


@case(
    examples=[((["b", "a"],), "7e18f7")],
    hidden=[(([],), "e3b0c4"), ((["a", "b"],), "7e18f7")],
)
def fingerprint(tags: list[str]) -> str:
    """The first 6 hexadecimal digits of the SHA-256 of the sorted tags, joined by newlines."""
    raise NotImplementedError
