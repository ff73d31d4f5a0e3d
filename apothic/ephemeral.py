"""Things that are there for one block."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from apothic._twins import awaited, blocking

T = TypeVar("T")


class Ephemeral(Generic[T]):
    """Something that is made at the beginning of a block, plain or `async`, and deleted after it.

    Whatever ends the block, deleting it waits for nothing.
    """

    def __init__(
        self,
        made: T,
        make: Callable[[], Coroutine[Any, Any, None]],
        delete_soon: Callable[[], None],
    ) -> None:
        self._made = made
        self._make = make
        self._delete_soon = delete_soon

    def __enter__(self) -> T:
        """Make it."""
        blocking(self._made, "ephemeral", self._make)
        return self._made

    def __exit__(self, *_: object) -> None:
        """Delete it."""
        self._delete_soon()

    async def __aenter__(self) -> T:
        """Make it."""
        await awaited(self._make())
        return self._made

    async def __aexit__(self, *_: object) -> None:
        """Delete it."""
        self._delete_soon()
