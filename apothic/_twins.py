"""Methods that block when called, each with an awaited twin under `.aio`.

Declaring one is all that happens here: what runs it (`_drive`) is loaded at the first call, since
most starts of a program that declares functions make none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

OwnerT = TypeVar("OwnerT")
P = ParamSpec("P")
T = TypeVar("T")


@cache
def _driver() -> Any:
    from apothic import _drive  # noqa: PLC0415 - see above

    return _drive


def blocking(owner: object, method: str, procedure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a procedure in this thread.

    Raises:
        BlockingCall: an event loop runs in it.
    """
    driver = _driver()
    if driver.is_in_loop():
        driver.refuse_in_loop(owner, method)
    result: T = driver.block(procedure())
    return result


def refuse_in_loop(owner: object, method: str) -> None:
    """Make sure that a blocking call stops no event loop.

    Raises:
        BlockingCall: one runs in this thread.
    """
    _driver().refuse_in_loop(owner, method)


def blocking_in(statement: str, procedure: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a procedure in this thread, for a plain `for` or `with`.

    Raises:
        BlockingCall: an event loop runs in it.
    """
    driver = _driver()
    driver.refuse_statement_in_loop(statement)
    result: T = driver.block(procedure())
    return result


async def awaited(procedure: Coroutine[Any, Any, T]) -> T:
    """Run a procedure on the running loop."""
    result: T = await _driver().drive(procedure)
    return result


async def work(do: Callable[[], T]) -> T:
    """Do something that blocks, inside a procedure: in this thread, or beside the loop."""
    result: T = await _driver().work(do)
    return result


async def checkpoint() -> None:
    """Let the other tasks of the running loop have their turn."""
    await _driver().checkpoint()


class BoundTwin(Generic[P, T]):
    __slots__ = ("_owner", "_procedure")

    def __init__(self, procedure: Callable[..., Coroutine[Any, Any, T]], owner: object) -> None:
        self._procedure = procedure
        self._owner = owner

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """What its procedure says of itself."""
        return self._procedure.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Block this thread until it is done."""
        owner, procedure = self._owner, self._procedure
        driver = _driver()
        if driver.is_in_loop():
            driver.refuse_in_loop(owner, procedure.__name__.lstrip("_"))
        result: T = driver.block(procedure(owner, *args, **kwargs))
        return result

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await it on asyncio or trio."""
        return await awaited(self._procedure(self._owner, *args, **kwargs))

    def __repr__(self) -> str:
        """Which method, of what."""
        return f"<{self._procedure.__qualname__} of {self._owner!r}>"


class twin(Generic[OwnerT, P, T]):  # noqa: N801 - a decorator
    """Turn a procedure into a blocking method whose `aio` is its awaited twin."""

    def __init__(self, procedure: Callable[Concatenate[OwnerT, P], Coroutine[Any, Any, T]]) -> None:
        self.procedure = procedure
        self.__doc__ = procedure.__doc__

    @overload
    def __get__(self, owner: None, cls: type) -> twin[OwnerT, P, T]: ...
    @overload
    def __get__(self, owner: OwnerT, cls: type | None = None) -> BoundTwin[P, T]: ...
    def __get__(self, owner: OwnerT | None, cls: type | None = None) -> Any:
        """Bind to the object that it is looked up on."""
        return self if owner is None else BoundTwin(self.procedure, owner)


class class_twin(Generic[P, T]):  # noqa: N801 - a decorator
    """The same for a static procedure: `Kind.get(...)`, and `await Kind.get.aio(...)`."""

    def __init__(self, procedure: Callable[P, Coroutine[Any, Any, T]]) -> None:
        self._procedure = procedure
        self._owner: object = procedure
        self.__doc__ = procedure.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Know whose it is, for messages."""
        self._owner, self._name = owner, name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Block this thread until it is done."""
        return blocking(self._owner, self._name, lambda: self._procedure(*args, **kwargs))

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await it on asyncio or trio."""
        return await awaited(self._procedure(*args, **kwargs))


class BoundStream(Generic[P, T]):
    """A method that gives something to iterate over, by `for` or by `async for`."""

    def __init__(self, method: Callable[..., T], owner: object) -> None:
        self._method = method
        self._owner = owner
        self.__doc__ = method.__doc__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Give it, for `for` and `async for`."""
        return self._method(self._owner, *args, **kwargs)

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Give it, for `async for`; the same, so that both spellings work."""
        return self._method(self._owner, *args, **kwargs)

    def __repr__(self) -> str:
        """Which method, of what."""
        return f"<{self._method.__qualname__} of {self._owner!r}>"


class stream(Generic[OwnerT, P, T]):  # noqa: N801 - a decorator
    """Give a method whose result can be iterated over both ways an `aio` spelling, too."""

    def __init__(self, method: Callable[Concatenate[OwnerT, P], T]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, owner: None, cls: type) -> stream[OwnerT, P, T]: ...
    @overload
    def __get__(self, owner: OwnerT, cls: type | None = None) -> BoundStream[P, T]: ...
    def __get__(self, owner: OwnerT | None, cls: type | None = None) -> Any:
        """Bind to the object that it is looked up on."""
        return self if owner is None else BoundStream(self.method, owner)
