"""The kinds of declared functions: plain and async ones, and generators of both kinds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import cached_property
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from apothic._code import check_function
from apothic.functions import (
    DECLARED,
    IS_ASYNC,
    IS_ASYNC_GENERATOR,
    IS_GENERATOR,
    Declared,
    flags_of,
)
from apothic.invocations import AsyncRemoteGen, FunctionAio, RemoteGen
from apothic.options import FunctionOptions
from apothic_backends.model.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Function(Declared[P, R]):
    """A declared function: call it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.body()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.body()(*args, **kwargs)


class AsyncFunction(Declared[P, R]):
    """A declared `async def`: await it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it in place, on the loop that awaits it."""
        return self.body()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it in place, on the loop that awaits it."""
        return self.body()(*args, **kwargs)


class _Generating(Declared[P, Any], Generic[P, T]):
    """A declared generator function, of either kind."""

    is_generator = True

    @cached_property
    def remote_gen(self) -> RemoteGen[P, T]:
        """Run it elsewhere and take its items as they come."""
        return RemoteGen(self)

    @property
    def aio(self) -> GeneratorAio[P, T]:
        """The same methods, to be awaited."""
        return GeneratorAio(self)


class GeneratorAio(FunctionAio[P, Any], Generic[P, T]):
    """The ways to call a generator function, for asyncio or trio."""

    remote_gen: AsyncRemoteGen[P, T]

    def __init__(self, function: _Generating[P, T]) -> None:
        super().__init__(function)
        self.remote_gen = function.remote_gen.aio


class GeneratorFunction(_Generating[P, T]):
    """A declared function that yields: iterate over it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, Any, Any]:
        """Its generator, in place."""
        return self.body()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, Any, Any]:
        """Its generator, in place."""
        return self.body()(*args, **kwargs)


class AsyncGeneratorFunction(_Generating[P, T]):
    """A declared `async def` that yields: iterate over it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, Any]:
        """Its generator, in place."""
        return self.body()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, Any]:
        """Its generator, in place."""
        return self.body()(*args, **kwargs)


class Decorator(Protocol):
    """`@app.function(...)`: what it wraps keeps its signature."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, AsyncIterator[T]], /
    ) -> AsyncGeneratorFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[T]], /) -> GeneratorFunction[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


def declare(
    function: Callable[..., Any], app_name: str, options: FunctionOptions
) -> Declared[..., Any]:
    """Make the handle of a function, and let `RemoteFunction.from_name` find it.

    Raises:
        UsageError: it is not a function, or it is one that is declared already.
        InvalidOption: an option cannot be meant.
    """
    if isinstance(function, Declared):
        raise UsageError(
            f"{function.name}() is declared already; {function.name}.with_options(...) gives the "
            "same function other options"
        )
    check_function(function, "@app.function")
    handle = kind_of(function)(function, app_name, options)
    DECLARED[app_name, handle.name] = handle
    return handle


def kind_of(function: Callable[..., Any]) -> type[Declared[..., Any]]:
    """The kind of handle that a function gets."""
    flags = flags_of(function)
    if flags & IS_ASYNC_GENERATOR:
        return AsyncGeneratorFunction
    if flags & IS_GENERATOR:
        return GeneratorFunction
    return AsyncFunction if flags & IS_ASYNC else Function
