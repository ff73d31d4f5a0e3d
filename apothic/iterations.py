"""What comes one after the other, by `for` and by `async for`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, Self, TypeVar

from apothic._twins import awaited, blocking_in, work

T = TypeVar("T")
More = Callable[[], Coroutine[Any, Any, Sequence[T]]]
"""A procedure that gives the next things, and none when it is over."""


class Iteration(Generic[T]):
    """Things that come one after the other, for `for` and for `async for`."""

    def __init__(self, more: More[T]) -> None:
        self._more = more
        self._ready: deque[T] = deque()

    def __iter__(self) -> Self:
        """Itself: each is given out once."""
        return self

    def __next__(self) -> T:
        """Wait for the next, blocking.

        Raises:
            BlockingCall: an event loop runs in this thread; write `async for`.
        """
        if not self._ready:
            self._ready.extend(blocking_in("for", self._more))
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def __aiter__(self) -> Self:
        """Itself: each is given out once."""
        return self

    async def __anext__(self) -> T:
        """Wait for the next, on asyncio or trio."""
        if not self._ready:
            self._ready.extend(await awaited(self._more()))
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()


def pieces(begin: Callable[[], Iterator[T]]) -> Iteration[T]:
    """What an iterator gives that blocks: begun with the first, one beside the loop at a time."""
    rest: Iterator[T] | None = None

    def take() -> list[T]:
        nonlocal rest
        rest = begin() if rest is None else rest
        return [*islice(rest, 1)]

    return Iteration(lambda: work(take))
