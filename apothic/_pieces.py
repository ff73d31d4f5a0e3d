"""What comes piece by piece, from something that blocks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from apothic._twins import awaited, blocking_for

T = TypeVar("T")
_OVER: Any = object()


class Pieces(Generic[T]):
    """What comes piece by piece, for `for` and for `async for`."""

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self._begin = begin
        self._rest: Iterator[T] | None = None

    def _take(self) -> T:
        if self._rest is None:
            self._rest = iter(self._begin())
        return next(self._rest, _OVER)

    def _next(self) -> Coroutine[Any, Any, T]:
        from apothic._work import work  # brings threads, when it is read  # noqa: PLC0415

        return work(self._take)

    def __iter__(self) -> Iterator[T]:
        """Itself: each piece is given out once."""
        return self

    def __next__(self) -> T:
        """The next piece, blocking."""
        piece = blocking_for(self._next)
        if piece is _OVER:
            raise StopIteration
        return piece

    def __aiter__(self) -> Pieces[T]:
        """Itself: each piece is given out once."""
        return self

    async def __anext__(self) -> T:
        """The next piece, on asyncio or trio."""
        piece = await awaited(self._next())
        if piece is _OVER:
            raise StopAsyncIteration
        return piece
