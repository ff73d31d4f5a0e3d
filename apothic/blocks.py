"""What is done at both ends of a `with` block, plain or `async`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

from apothic._twins import awaited, blocking_in

T = TypeVar("T")


class Block(ABC, Generic[T]):
    """Something for `with` and for `async with`: a procedure at each end, written once."""

    @abstractmethod
    async def _begin(self) -> T:
        """Begin; what is given after `as`."""

    @abstractmethod
    async def _end(self, error: BaseException | None) -> None:
        """End, with what the block has raised."""

    def __enter__(self) -> T:
        """Begin.

        Raises:
            BlockingCall: an event loop runs in this thread; write `async with`.
        """
        return blocking_in("with", self._begin)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        blocking_in("with", lambda: self._end(error))

    async def __aenter__(self) -> T:
        """Begin."""
        return await awaited(self._begin())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        await awaited(self._end(error))


class Ephemeral(Block[T]):
    """Something that is made at the beginning of a block, and deleted after it."""

    def __init__(
        self,
        make: Callable[[], Coroutine[Any, Any, T]],
        delete: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._make = make
        self._delete = delete

    async def _begin(self) -> T:
        return await self._make()

    async def _end(self, error: BaseException | None) -> None:
        await self._delete()
