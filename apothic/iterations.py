"""What can be gone through without changing it, by `for` and by `async for`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Self, TypeVar

from apothic._twins import awaited, blocking_for

T = TypeVar("T")

More = Callable[[], Coroutine[Any, Any, list[Any]]]


class Iteration(Generic[T]):
    """Things that can be looked at one after the other, for `for` and `async for`.

    `more` gives the next of them, and none when it is over.
    """

    def __init__(self, more: More) -> None:
        self._more = more
        self._ready: deque[T] = deque()

    def __iter__(self) -> Self:
        """Itself: each item is given out once."""
        return self

    def __next__(self) -> T:
        """The next item, blocking."""
        if not self._ready:
            self._ready.extend(blocking_for(self._more))
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def __aiter__(self) -> Self:
        """Itself: each item is given out once."""
        return self

    async def __anext__(self) -> T:
        """The next item, on asyncio or trio."""
        if not self._ready:
            self._ready.extend(await awaited(self._more()))
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()
