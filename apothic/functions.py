"""Functions that run elsewhere: remote, spawn, map and their awaited twins."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

from apothic._calls import Items, call, fan_out, submit, submit_all
from apothic._code import lookup, preload, reference
from apothic._connect import connect
from apothic._drive import block, drive, refuse_in_loop, twin
from apothic._serialize import encode_arguments, encode_code
from apothic._values import NotBuilt, number
from apothic.clients import ControlPlaneClient
from apothic.jobs import Job
from apothic.options import DEFAULTS, NOT_BUILT, FunctionOptions, checked, retry_policy
from apothic.policies import MARKS
from apothic_backends.base import Backend
from apothic_backends.commands import RegisterFunction
from apothic_backends.model.errors import NotBuiltYet, NotFound, UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload

P = ParamSpec("P")
R = TypeVar("R")

WAIT_S = 600.0
"""How long a call waits for its result where nothing else is said."""

IS_GENERATOR, IS_ASYNC, IS_ASYNC_GENERATOR = 0x20, 0x80, 0x200
"""Flags of code objects; `inspect` would cost more than the whole SDK."""

_declared: dict[tuple[str, str], Any] = {}
"""Every function that this process has declared, the latest of each name."""


class Invocable(Generic[P, R]):
    """Something that can be called from afar, by any of the ways below."""

    app_name: str
    name: str

    def target(self) -> Target:
        """The declared function behind it.

        Raises:
            NotFound: it was named, and no function has that name.
        """
        raise NotImplementedError

    @cached_property
    def remote(self) -> Remote[P, R]:
        """Run it elsewhere and wait for its result."""
        return Remote(self)

    @twin
    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Start it elsewhere and go on; the job is the handle to its result.

        Raises:
            QueueFull: `max_pending_tasks` calls wait already.
        """
        target = self.target()
        payload = encode_arguments(target.raw, args, kwargs)
        payload.own()
        return Job(await submit(connect(), target, payload), is_sole=True)

    @twin
    async def map(self, items: Items, *, timeout_s: float | None = WAIT_S) -> list[R]:
        """Call it once for each item, and give the results in the order of the items.

        The first failure cancels the others and is raised.

        Raises:
            WaitTimeout: all of it took longer than `timeout_s` seconds; what was queued runs on.
        """
        target = self.target()
        return await fan_out(target, items, target.wait_s(timeout_s))

    @twin
    async def starmap(self, items: Items, *, timeout_s: float | None = WAIT_S) -> list[R]:
        """As `map`, each item spread over the parameters."""
        target = self.target()
        return await fan_out(target, items, target.wait_s(timeout_s), is_star=True)

    @twin
    async def for_each(self, items: Items, *, timeout_s: float | None = WAIT_S) -> None:
        """As `map`, for what the calls do and not for what they give."""
        target = self.target()
        await fan_out(target, items, target.wait_s(timeout_s))

    @twin
    async def spawn_map(self, items: Items) -> list[Job[R]]:
        """Start one job for each item, waiting for room in the queue where it is full."""
        return [Job(job_id, is_sole=True) for job_id in await submit_all(self.target(), items)]

    remote_gen = NotBuilt("remote_gen()")
    remote_events = NotBuilt("remote_events()")

    @property
    def aio(self) -> FunctionAio[P, R]:
        """The same methods, to be awaited."""
        return FunctionAio(self)


class Remote(Generic[P, R]):
    """`fn.remote`: blocks when called; its `aio` is the same to be awaited.

    `timeout_s` says how long the caller waits (600 s, None for ever), and the job runs on after
    that. A function that has a parameter of this name is called through
    `fn.with_options(wait_timeout_s=...)`.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Invocable[P, R]) -> None:
        self._owner = owner

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, timeout_s: float | None, **kwargs: Any) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it elsewhere and block until its result is here.

        Raises:
            WaitTimeout: `timeout_s` seconds passed; the job runs on.
            JobError: the job did not succeed; or the very exception that the function raised.
        """
        target = self._owner.target()
        refuse_in_loop(target, "remote")
        timeout_s = target.take_wait(kwargs)
        return block(call(target, encode_arguments(target.raw, args, kwargs), timeout_s))

    @overload
    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def aio(self, *args: Any, timeout_s: float | None, **kwargs: Any) -> R: ...
    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Run it elsewhere and wait for its result on asyncio or trio."""
        target = self._owner.target()
        timeout_s = target.take_wait(kwargs)
        payload = encode_arguments(target.raw, args, kwargs)
        payload.own()
        return await drive(call(target, payload, timeout_s))


class FunctionAio(Generic[P, R]):
    """The ways to call a function, to be awaited on asyncio or trio."""

    def __init__(self, function: Invocable[P, R]) -> None:
        self.remote = function.remote.aio
        self.spawn = function.spawn.aio
        self.map = function.map.aio
        self.starmap = function.starmap.aio
        self.for_each = function.for_each.aio
        self.spawn_map = function.spawn_map.aio
        self.remote_gen = function.remote_gen
        self.remote_events = function.remote_events


class Declared(Invocable[P, R]):
    """A function of this program, with its options.

    What it refers to by value (a script's own functions and constants) is taken along once, at the
    first call; declaring it again takes it along again.
    """

    options: FunctionOptions
    """Every option that was given or has a default."""

    def __init__(
        self,
        function: Callable[..., Any],
        app_name: str,
        options: FunctionOptions,
        wait_timeout_s: float | None = WAIT_S,
    ) -> None:
        update_wrapper(self, function)
        self.app_name = app_name
        self.name = function.__name__
        self.options = checked(DEFAULTS | options, f"@app.function of {self.name}()")
        self._wait_s = wait_timeout_s
        self._raw: Callable[..., Any] | None = function
        self._where: str | None = None
        self._spec: FunctionSpec | None = None
        self._registered: tuple[Backend, str] | None = None

    def target(self) -> Self:
        """Itself."""
        return self

    def raw(self) -> Callable[..., Any]:
        """The function as it was written; imported now if only its address travelled here."""
        if self._raw is None:
            module, _, qualname = (self._where or "").partition(":")
            __import__(module)
            found = lookup(module, qualname)
            self._raw = found.raw() if isinstance(found, Declared) else found
        return self._raw or self._lost()

    def _lost(self) -> Callable[..., Any]:
        raise NotFound(f"{self._where} is not there any more", name=self._where)

    def with_options(
        self, *, wait_timeout_s: float | None = WAIT_S, **options: Unpack[FunctionOptions]
    ) -> Self:
        """The same function under changed options, as another handle with workers of its own.

        `wait_timeout_s` says how long calls of the new handle wait, so that `timeout_s` in a call
        goes to a function that has such a parameter.

        Raises:
            InvalidOption: as the decorator does.
        """
        kept = self.options.copy()
        if "retries" in options or "max_retries" in options:
            kept.pop("retries", None)
            kept.pop("max_retries", None)
        wait_s = self._wait_s if wait_timeout_s is WAIT_S else wait_timeout_s
        made = type(self)(self.raw(), self.app_name, kept | options, wait_s)
        made.__dict__[MARKS] = dict(self.__dict__.get(MARKS, {}))
        return made

    def wait_s(self, timeout_s: float | None) -> float | None:
        """How long to wait: what the call says, else what this handle says."""
        if timeout_s is WAIT_S or timeout_s is None:
            return self._wait_s if timeout_s is WAIT_S else None
        return number("timeout_s", timeout_s, 0)

    def take_wait(self, kwargs: dict[str, Any]) -> float | None:
        """Take the caller's `timeout_s` out of a call's keywords.

        Raises:
            UsageError: the function has a parameter of that name, so it is not clear who is meant.
        """
        if "timeout_s" not in kwargs:
            return self._wait_s
        code = getattr(self.raw(), "__code__", None)
        own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        if "timeout_s" not in own:
            return self.wait_s(kwargs.pop("timeout_s"))
        if self._wait_s is WAIT_S:
            raise UsageError(
                f"{self.name}() has a parameter timeout_s of its own. Pass it by place, or say how "
                f"long to wait with {self.name}.with_options(wait_timeout_s=...).remote(...)"
            )
        return self._wait_s

    def known_id(self, backend: Backend) -> str | None:
        """Its id there, if it is registered."""
        registered = self._registered
        return registered[1] if registered is not None and registered[0] is backend else None

    def remember(self, backend: Backend, function_id: str) -> None:
        """Keep the id for the next call."""
        self._registered = (backend, function_id)

    def registration(self) -> RegisterFunction:
        """What registers it: its spec and its code.

        Raises:
            NotBuiltYet: it has an option that this version cannot carry out.
            ArgumentNotSerializable: it refers to something that cannot be pickled.
        """
        code = Payload(self._where.encode(), codec="ref") if self._where else None
        return RegisterFunction(self.spec(), code or encode_code(self.raw()))

    def spec(self) -> FunctionSpec:
        """What a backend must know of it.

        Raises:
            NotBuiltYet: it has an option that this version cannot carry out.
        """
        if self._spec is None:
            self._refuse_unbuilt()
            options = self.options
            self._spec = FunctionSpec(
                app_name=self.app_name,
                name=self.name,
                timeout_s=float(options.get("timeout_s", 600)),
                retries=retry_policy(options),
                concurrent_requests=options.get("concurrent_requests", 1),
                max_pending_tasks=options.get("max_pending_tasks", 100),
                max_containers=options.get("max_containers", 1),
                tasks_per_container=options.get("tasks_per_container", 1),
                is_async=bool(_flags(self.raw()) & IS_ASYNC),
                preload=preload(self.raw()),
            )
        return self._spec

    def _refuse_unbuilt(self) -> None:
        unbuilt = [name for name in NOT_BUILT if name in self.options]
        unbuilt += [f"@{name}" for name in self.__dict__.get(MARKS, ())]
        if _flags(self.raw()) & (IS_GENERATOR | IS_ASYNC_GENERATOR):
            unbuilt.append("yield (remote_gen)")
        if unbuilt:
            raise NotBuiltYet(
                f"{self.name}() uses {', '.join(unbuilt)}: understood and stored, but this version "
                f"cannot run it elsewhere yet. {self.name}.local(...) runs it here",
                options=unbuilt,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the function's address where it has one, else with the function."""
        where = self._where or reference(self.raw())
        state = {
            "app_name": self.app_name,
            "name": self.name,
            "options": self.options,
            "_wait_s": self._wait_s,
            "_raw": None if where else self.raw(),
            "_where": where,
            "_spec": self._spec,
            "_registered": None,
            MARKS: self.__dict__.get(MARKS, {}),
        }
        return (_blank, (type(self),), state)

    def __getattr__(self, name: str) -> Any:
        """What a wrapper has of what it wraps, for a handle that came without its function."""
        if name in ("__wrapped__", "__qualname__", "__name__", "__annotations__"):
            raw = self.raw()
            return raw if name == "__wrapped__" else getattr(raw, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name)

    def __repr__(self) -> str:
        """Its name and the options that differ from their defaults."""
        given = [f"{k}={v!r}" for k, v in self.options.items() if DEFAULTS.get(k) != v]
        return f"<{type(self).__name__} {' '.join([f'{self.app_name}/{self.name}', *given])}>"


Target = Declared[..., Any]


def _blank(kind: type[Declared[..., Any]]) -> Any:
    """An empty handle, so that a function may refer to its own."""
    return kind.__new__(kind)


def _flags(function: Callable[..., Any]) -> int:
    code = getattr(function, "__code__", None)
    return code.co_flags if code is not None else 0


class Function(Declared[P, R]):
    """A declared function: call it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.raw()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in place."""
        return self.raw()(*args, **kwargs)


class AsyncFunction(Declared[P, R]):
    """A declared `async def`: await it here, or have it run elsewhere."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it in place, on the loop that awaits it."""
        return self.raw()(*args, **kwargs)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run it in place, on the loop that awaits it."""
        return self.raw()(*args, **kwargs)


class Decorator(Protocol):
    """`@app.function(...)`: what it wraps keeps its signature."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Function[P, R]: ...


def declare(
    function: Callable[..., Any], app_name: str, options: FunctionOptions
) -> Declared[..., Any]:
    """Make the handle of a function, and let `RemoteFunction.from_name` find it.

    Raises:
        UsageError: it is not a function.
        InvalidOption: an option cannot be meant.
    """
    if isinstance(function, type) or not callable(function) or not hasattr(function, "__name__"):
        raise UsageError(f"@app.function needs a function, not {function!r}")
    kind = AsyncFunction if _flags(function) & IS_ASYNC else Function
    handle = kind(function, app_name, options)
    _declared[app_name, handle.name] = handle
    return handle


class RemoteFunction(Invocable[..., Any]):
    """A function by its names; it is looked up at the first use."""

    def __init__(self, app_name: str, function_name: str) -> None:
        self.app_name = app_name
        self.name = function_name

    @classmethod
    def from_name(
        cls,
        app_name: str,
        function_name: str,
        *,
        client: ControlPlaneClient | None = None,
        base_url: str | None = None,
    ) -> RemoteFunction:
        """The function of that app.

        Raises:
            UsageError: both `client` and `base_url` are given.
            NotBuiltYet: one of them is.
        """
        if client is not None and base_url is not None:
            raise UsageError("client and base_url both say which control plane is meant; keep one")
        if client is not None or base_url is not None:
            raise NotBuiltYet("RemoteFunction.from_name(client= or base_url=) is not built yet")
        return cls(app_name, function_name)

    def target(self) -> Target:
        """The function of that name in this process.

        Raises:
            NotFound: there is none; the message lists those there are.
        """
        found: Target | None = _declared.get((self.app_name, self.name))
        if found is None:
            known = sorted(f"{app}/{name}" for app, name in _declared)
            raise NotFound(
                f"no function {self.app_name}/{self.name} is declared in this process; "
                f"there are: {', '.join(known) or 'none'}",
                name=f"{self.app_name}/{self.name}",
                known=known,
            )
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel by name."""
        return (RemoteFunction, (self.app_name, self.name))

    def __repr__(self) -> str:
        """Its names."""
        return f"<RemoteFunction {self.app_name}/{self.name}>"
