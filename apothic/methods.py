"""What a class says of its methods and hooks, and the methods of instances that live elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import cached_property, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from apothic._targets import WAIT_S, Calls
from apothic._values import seconds
from apothic.functions import IS_ASYNC_GENERATOR, IS_GENERATOR, flags_of
from apothic.invocations import Invocable, RemoteGen
from apothic.options import FunctionOptions
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import FunctionSpec

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

HOOK = "__apothic_hook__"
"""What marks a function as a hook: "enter" or "exit"."""


class Instance(Protocol):
    """The handle that a method is looked up on."""

    app_name: str
    shown: str

    def spec(self) -> FunctionSpec:
        """What a backend must know of its class."""
        ...

    def calls_of(self, method: BoundMethod[..., Any]) -> Calls:
        """What carries out the calls of one of its methods."""
        ...

    def local_method(self, name: str) -> Callable[..., Any]:
        """The method of an object in this process."""
        ...


class BoundMethod(Invocable[P, R]):
    """A method of an instance: call it here, on an object of this process, or elsewhere."""

    def __init__(self, instance: Instance, name: str, raw: Callable[..., Any] | None) -> None:
        self._instance = instance
        self._raw = raw
        self._calls: Calls | None = None
        self.method = name
        self.app_name = instance.app_name
        self.name = f"{instance.shown}.{name}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place, on an object that this handle makes at its first call."""
        return self.here(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place, on an object that this handle makes at its first call."""
        return self.here(*args, **kwargs)

    @property
    def here(self) -> Any:
        """The method of an object in this process."""
        return self._instance.local_method(self.method)

    def target(self) -> Self:
        """Itself."""
        return self

    @property
    def calls(self) -> Calls:
        """What carries out its calls."""
        if self._calls is None:
            self._calls = self._instance.calls_of(self)
        return self._calls

    @property
    def options(self) -> FunctionOptions:
        """None of its own: its class has some."""
        return {}

    @property
    def is_generator(self) -> bool | None:
        """Whether it gives items and no result; None where that is not known."""
        if self._raw is None:
            return None
        return bool(flags_of(self._raw) & (IS_GENERATOR | IS_ASYNC_GENERATOR))

    def raw(self) -> Callable[..., Any]:
        """The method as it was written, where that is here; for messages."""
        return self._raw or self._elsewhere

    def _elsewhere(self) -> None:
        """Stands for a method whose code is not here."""

    def spec(self) -> FunctionSpec:
        """What a backend must know of its class."""
        return self._instance.spec()

    def wait_s(self, timeout_s: float | None) -> float | None:
        """How long to wait: what the call says, else as long as all do."""
        return WAIT_S if timeout_s is WAIT_S else seconds("timeout_s", timeout_s)

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """Take the caller's `timeout_s` out of a call's keywords.

        Raises:
            UsageError: the method has a parameter of that name, so it is not clear who is meant.
        """
        if "timeout_s" not in kwargs:
            return WAIT_S
        self.refuse_own("timeout_s")
        return self.wait_s(kwargs.pop("timeout_s"))

    def refuse_own(self, *names: str) -> None:
        """See to it that keywords of ours are none of the method's.

        Raises:
            UsageError: one is, so it is not clear who is meant.
        """
        code = getattr(self._raw, "__code__", None)
        own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        for name in names:
            if name in own:
                raise UsageError(
                    f"{self.name}() has a parameter {name} of its own; pass it by place, or follow "
                    f"{self.name}.spawn(...)"
                )

    def introduction(self) -> list[Any]:
        """Nothing: its class is made known, and the instance opened."""
        return []

    def __repr__(self) -> str:
        """Of which instance it is."""
        return f"<{type(self).__name__} {self.app_name}/{self.name}>"


class AsyncBoundMethod(BoundMethod[P, R]):
    """A method that is `async def`: await it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Run it in place, on the loop that awaits it."""
        return self.here(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """Run it in place, on the loop that awaits it."""
        return self.here(*args, **kwargs)


class GeneratorMethod(BoundMethod[P, Any], Generic[P, T]):
    """A method that yields: iterate over it here, or take its items from elsewhere."""

    @cached_property
    def remote_gen(self) -> RemoteGen[P, T]:
        """Run it elsewhere and take its items as they come."""
        return RemoteGen(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, Any, Any]:
        """Its generator, in place."""
        return self.here(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Generator[T, Any, Any]:
        """Its generator, in place."""
        return self.here(*args, **kwargs)


class AsyncGeneratorMethod(BoundMethod[P, Any], Generic[P, T]):
    """A method that is `async def` and yields."""

    @cached_property
    def remote_gen(self) -> RemoteGen[P, T]:
        """Run it elsewhere and take its items as they come."""
        return RemoteGen(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, Any]:
        """Its generator, in place."""
        return self.here(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, Any]:
        """Its generator, in place."""
        return self.here(*args, **kwargs)


BoundT_co = TypeVar("BoundT_co", covariant=True)


class Method(Generic[BoundT_co]):
    """What `@method()` leaves in a class. On an object of it, it is the plain method."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if isinstance(function, type | Method) or not callable(function):
            raise UsageError(f"@method() needs a function of a class, not {function!r}")
        update_wrapper(self, function)
        self.__wrapped__ = function

    @overload
    def __get__(self, thing: None, kind: type) -> Self: ...
    @overload
    def __get__(self, thing: object, kind: type | None = None) -> BoundT_co: ...
    def __get__(self, thing: object, kind: type | None = None) -> Any:
        """The method as it was written, bound to the object."""
        return self if thing is None else self.__wrapped__.__get__(thing)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function as it was written, as when it is called on the class."""
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as what it was made of."""
        return (Method, (self.__wrapped__,))


class MethodDecorator(Protocol):
    """`@method()`: what it wraps keeps its signature."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], AsyncIterator[T]], /
    ) -> Method[AsyncGeneratorMethod[P, T]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Iterator[T]], /
    ) -> Method[GeneratorMethod[P, T]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Method[AsyncBoundMethod[P, R]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], R], /
    ) -> Method[BoundMethod[P, R]]: ...


def method() -> MethodDecorator:
    """Let a method of a class be called from afar: `instance.add.remote(1)`.

    Raises:
        UsageError: it is put on something that is no function.
    """
    decorate: Any = Method
    return decorate


def enter() -> Callable[[F], F]:
    """Have a method run before the first call of an instance: it may load what calls need.

    A class may have several; those that are `async def` come last. If one raises, the calls that
    wait fail with `SetupFailed`, and the next call tries again.
    """
    return lambda function: _hook(function, "enter")


def exit() -> Callable[[F], F]:  # noqa: A001 - what users of the field look for
    """Have a method run after the last call of an instance, which has 10 s for all of them.

    It runs when the process ends in order: it has had nothing to do, was stopped, or its class is
    deployed anew. It does not where the process is lost, or was killed.
    """
    return lambda function: _hook(function, "exit")


def _hook(function: F, what: str) -> F:
    if isinstance(function, Method) or not hasattr(function, "__code__"):
        raise UsageError(f"@{what}() needs a plain method of a class, not {function!r}")
    if hasattr(function, HOOK):
        raise UsageError(f"{function.__name__}() is a hook already")
    setattr(function, HOOK, what)
    return function
