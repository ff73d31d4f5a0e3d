"""Methods that block until a ticket is done, each with an awaited twin under `.aio`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from apothic_backends.model.errors import BlockingCall
from apothic_backends.ticket import Ticket

OwnerT = TypeVar("OwnerT")
P = ParamSpec("P")
T = TypeVar("T")


class BoundWait(Generic[P, T]):
    """A method that blocks when called; its `aio` is the same to be awaited."""

    def __init__(self, begin: Callable[..., Ticket[T]], owner: object) -> None:
        self._begin = begin
        self._owner = owner
        self.__doc__ = begin.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Block this thread until it is done.

        Raises:
            BlockingCall: an event loop runs in it.
        """
        refuse_in_loop(self._begin.__name__)
        return self._begin(self._owner, *args, **kwargs).wait()

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await it on asyncio or trio."""
        return await self._begin(self._owner, *args, **kwargs)


class waits(Generic[OwnerT, P, T]):  # noqa: N801 - a decorator
    """Turn a method that gives a ticket into one that blocks, whose `aio` is awaited."""

    def __init__(self, begin: Callable[Concatenate[OwnerT, P], Ticket[T]]) -> None:
        self._begin = begin
        self.__doc__ = begin.__doc__

    @overload
    def __get__(self, owner: None, cls: type) -> waits[OwnerT, P, T]: ...
    @overload
    def __get__(self, owner: OwnerT, cls: type | None = None) -> BoundWait[P, T]: ...
    def __get__(self, owner: OwnerT | None, cls: type | None = None) -> Any:
        """Bind to the object that it is looked up on."""
        return self if owner is None else BoundWait(self._begin, owner)


def refuse_in_loop(name: str) -> None:
    """Make sure that a blocking call stops no event loop.

    Raises:
        BlockingCall: a loop runs in this thread.
    """
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    is_asyncio = asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001
    if is_asyncio or (trio is not None and trio.lowlevel.in_trio_run()):
        raise BlockingCall(
            f"{name}() would stop the running event loop; write `await ....{name}.aio(...)`",
            spelling=name,
        )
