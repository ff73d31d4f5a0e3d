"""The ways to call a function that runs elsewhere, each with its awaited twin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar, overload

from apothic._targets import WAIT_S, Inputs, Target
from apothic._twins import awaited, blocking, refuse_in_loop, stream, twin
from apothic._values import flag, seconds
from apothic.items import AsyncItems, Items
from apothic.jobs import Job
from apothic.keys import Keyed
from apothic.maps import Map
from apothic.watches import Watch, check_watch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


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
            BalanceExhausted: nothing is left of the account's balance.
        """
        link = await self.target().calls.spawn(args, kwargs)
        return Job(link.job_id, link)

    def with_key(self, key: str) -> Keyed[P, R]:
        """A handle for one call, which is made once however often it is spawned under this key.

        `fn.with_key("order-17").spawn(...)` gives the same job again when the arguments are the
        same, from wherever it is asked, for as long as the job is known. The key stands apart from
        the call, so that no parameter of the function is taken away.

        Raises:
            InvalidOption: the key is not a string of 1 to 200 characters.
        """
        return Keyed(self, key)

    @cached_property
    def map(self) -> Map[R]:
        """Run it once for each item."""
        return Map(self, "map")

    @cached_property
    def starmap(self) -> Map[R]:
        """As `map`, each item spread over the parameters."""
        return Map(self, "starmap")

    @twin
    async def for_each(
        self,
        items: Inputs,
        *,
        timeout_s: float | None = WAIT_S,
        ignore_exceptions: bool = False,
    ) -> None:
        """As `map`, for what the calls do and not for what they give; the items may never end.

        With `ignore_exceptions` a failure stops nothing.
        """
        target = self.target()
        await target.calls.fan_out(
            items,
            target.wait_s(timeout_s),
            keeps=False,
            keeps_errors=flag("ignore_exceptions", ignore_exceptions),
        )

    @twin
    async def spawn_map(self, items: Inputs, *, timeout_s: float | None = None) -> list[Job[R]]:
        """Start one job for each item, waiting for room in the queue where it is full.

        Here `timeout_s` bounds that waiting (None for ever, which is also the default). What the
        iterable raises cancels what was queued.

        Raises:
            WaitTimeout: `timeout_s` seconds passed; the jobs in `data["job_ids"]` run on.
        """
        timeout_s = seconds("timeout_s", timeout_s)
        links = await self.target().calls.submit_all(items, timeout_s)
        return [Job(link.job_id, link) for link in links]

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
        from apothic._watches import Reading  # most watch nothing  # noqa: PLC0415

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
