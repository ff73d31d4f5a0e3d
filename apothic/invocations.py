"""The ways to call a function that runs elsewhere, each with its awaited twin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable, Sequence
from functools import cached_property
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from apothic._twins import awaited, blocking, refuse_in_loop, stream, twin
from apothic.items import AsyncItems, Items, Link as ItemsLink
from apothic.jobs import Job, Link
from apothic.watches import Watch, check_watch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Inputs = Iterable[Any] | AsyncIterable[Any]

WAIT_S = 600.0
"""How long a call waits for its result where nothing else is said."""


class Calls(Protocol):
    """What carries out the calls of a function: a `_calls.Calls`."""

    async def call(  # noqa: D102
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, owned: bool
    ) -> Any: ...
    async def spawn(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Link: ...  # noqa: D102
    async def fan_out(  # noqa: D102
        self, items: Inputs, timeout_s: float | None, *, is_star: bool = False
    ) -> list[Any]: ...
    async def submit_all(self, items: Inputs) -> Sequence[Link]: ...  # noqa: D102
    def items(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ItemsLink: ...  # noqa: D102


class Target(Protocol):
    """A declared function."""

    name: str

    @property
    def calls(self) -> Calls: ...  # noqa: D102
    def wait_s(self, timeout_s: float | None) -> float | None: ...  # noqa: D102
    def refuse_own(self, *names: str) -> None: ...  # noqa: D102


class Invocable(ABC, Generic[P, R]):
    """Something that can be called from afar, by any of the ways below."""

    app_name: str
    name: str

    @abstractmethod
    def target(self) -> Target:
        """The declared function behind it.

        Raises:
            NotFound: it was named, and no function has that name.
        """

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
        link = await self.target().calls.spawn(args, kwargs)
        return Job(link.job_id, link)

    @twin
    async def map(self, items: Inputs, *, timeout_s: float | None = WAIT_S) -> list[R]:
        """Call it once for each item, and give the results in the order of the items.

        The first failure cancels the others and is raised. `timeout_s` bounds all the waiting, for
        room in the queue and for results, but not what a plain iterable takes to give its items.

        Raises:
            WaitTimeout: `timeout_s` seconds passed; what was queued runs on.
        """
        target = self.target()
        return await target.calls.fan_out(items, target.wait_s(timeout_s))

    @twin
    async def starmap(self, items: Inputs, *, timeout_s: float | None = WAIT_S) -> list[R]:
        """As `map`, each item spread over the parameters."""
        target = self.target()
        return await target.calls.fan_out(items, target.wait_s(timeout_s), is_star=True)

    @twin
    async def for_each(self, items: Inputs, *, timeout_s: float | None = WAIT_S) -> None:
        """As `map`, for what the calls do and not for what they give."""
        target = self.target()
        await target.calls.fan_out(items, target.wait_s(timeout_s))

    @twin
    async def spawn_map(self, items: Inputs) -> list[Job[R]]:
        """Start one job for each item, waiting for room in the queue where it is full."""
        return [Job(link.job_id, link) for link in await self.target().calls.submit_all(items)]

    @cached_property
    def remote_gen(self) -> RemoteGen[P, Any]:
        """Run a generator function elsewhere and take its items as they come."""
        return RemoteGen(self)

    @stream
    def remote_events(
        self,
        *args: Any,
        snapshot: bool = False,
        event_types: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Watch:
        """Start it elsewhere and follow what happens; the job starts with the first read.

        `snapshot` begins with the state of the job. `event_types` are the names of the events that
        are wanted; `job.end`, and a `stream.reset`, come in any case. Going away stops nothing but
        the watching. A function with a parameter of one of these names is followed by
        `fn.spawn(...).watch(...)`.

        Raises:
            UsageError: the function has such a parameter.
            InvalidOption: there is no event of such a name.
        """
        from apothic._watching import Reading  # most watch nothing  # noqa: PLC0415

        check_watch(None, snapshot=snapshot)
        target = self.target()
        target.refuse_own("snapshot", "event_types")
        kept: list[Job[R]] = []

        async def begin() -> Any:
            link = await target.calls.spawn(args, kwargs)
            kept.append(Job(link.job_id, link))
            return link.watch(None, snapshot=snapshot)

        return Watch(Reading(begin, event_types), owner=kept)

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
        return blocking(target, "remote", lambda: target.calls.call(args, kwargs, owned=False))

    @overload
    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    async def aio(self, *args: Any, timeout_s: float | None, **kwargs: Any) -> R: ...
    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Run it elsewhere and wait for its result on asyncio or trio."""
        return await awaited(self._owner.target().calls.call(args, kwargs, owned=True))


class RemoteGen(Generic[P, T]):
    """`fn.remote_gen`: for `for` when called; its `aio` is the same for `async for`.

    `timeout_s` says how long to wait for each item (600 s, None for ever), as in `fn.remote`.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: Invocable[P, Any]) -> None:
        self._owner = owner

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Items[T]: ...
    @overload
    def __call__(self, *args: Any, timeout_s: float | None, **kwargs: Any) -> Items[T]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its items, as an iterator that blocks until the next one is here.

        Raises:
            UsageError: it is not a generator function.
            BlockingCall: an event loop runs in this thread.
        """
        target = self._owner.target()
        refuse_in_loop(target, "remote_gen")
        items: Items[T] = Items(target.calls.items(args, kwargs), target.name)
        return items

    @property
    def aio(self) -> AsyncRemoteGen[P, T]:
        """The same for `async for`."""
        return AsyncRemoteGen(self._owner)


class AsyncRemoteGen(Generic[P, T]):
    """`fn.remote_gen.aio`, which is also `fn.aio.remote_gen`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Invocable[P, Any]) -> None:
        self._owner = owner

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncItems[T]: ...
    @overload
    def __call__(self, *args: Any, timeout_s: float | None, **kwargs: Any) -> AsyncItems[T]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its items, as an async iterator for asyncio or trio.

        Raises:
            UsageError: it is not a generator function.
        """
        target = self._owner.target()
        items: AsyncItems[T] = AsyncItems(target.calls.items(args, kwargs), target.name)
        return items


class FunctionAio(Generic[P, R]):
    """The ways to call a function, to be awaited on asyncio or trio."""

    def __init__(self, function: Invocable[P, R]) -> None:
        self.remote = function.remote.aio
        self.spawn = function.spawn.aio
        self.map = function.map.aio
        self.starmap = function.starmap.aio
        self.for_each = function.for_each.aio
        self.spawn_map = function.spawn_map.aio
        self.remote_gen = function.remote_gen.aio
        self.remote_events = function.remote_events.aio
