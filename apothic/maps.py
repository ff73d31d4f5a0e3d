"""One call for each of many items."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar, overload

from apothic._targets import WAIT_S, Inputs, Source, Target
from apothic._twins import awaited, blocking
from apothic._values import flag

R = TypeVar("R")


class Map(Generic[R]):
    """`fn.map` and `fn.starmap`: block when called; their `aio` is the same to be awaited.

    The results come in the order of the items, or with `order_outputs=False` as they arrive. The
    first failure cancels the other jobs and is raised, with a note that says at which item; with
    `return_exceptions` nothing is cancelled, and what a job has raised stands in the place of its
    result. What the iterable itself raises cancels all jobs, as Ctrl-C does.

    A bounded number of items is taken ahead of the results, and waits for room in the queue.
    `timeout_s` bounds the whole call (600 s, None for ever); it is looked at between the items of
    a plain iterable, which is not interrupted, and what was queued runs on.
    """

    __slots__ = ("_name", "_owner")

    def __init__(self, owner: Source, name: str) -> None:
        self._owner = owner
        self._name = name

    @overload
    def __call__(
        self,
        items: Inputs,
        *,
        timeout_s: float | None = WAIT_S,
        return_exceptions: Literal[False] = False,
        order_outputs: bool = True,
    ) -> list[R]: ...
    @overload
    def __call__(
        self,
        items: Inputs,
        *,
        timeout_s: float | None = WAIT_S,
        return_exceptions: bool,
        order_outputs: bool = True,
    ) -> list[R | Exception]: ...
    def __call__(self, items: Inputs, **how: Any) -> Any:
        """Call it once for each item, block until all have ended, and give their results.

        Raises:
            WaitTimeout: `timeout_s` seconds passed; `data["job_ids"]` run on.
            JobError: a job did not succeed; or the very exception that the function raised.
        """
        target = self._owner.target()
        return blocking(target, self._name, lambda: self._all(target, items, **how))

    @overload
    async def aio(
        self,
        items: Inputs,
        *,
        timeout_s: float | None = WAIT_S,
        return_exceptions: Literal[False] = False,
        order_outputs: bool = True,
    ) -> list[R]: ...
    @overload
    async def aio(
        self,
        items: Inputs,
        *,
        timeout_s: float | None = WAIT_S,
        return_exceptions: bool,
        order_outputs: bool = True,
    ) -> list[R | Exception]: ...
    async def aio(self, items: Inputs, **how: Any) -> Any:
        """The same on asyncio or trio; the items may come from an async iterable, too."""
        return await awaited(self._all(self._owner.target(), items, **how))

    async def _all(
        self,
        target: Target,
        items: Inputs,
        timeout_s: float | None = WAIT_S,
        return_exceptions: object = False,  # noqa: FBT002 - by keyword, as declared above
        order_outputs: object = True,  # noqa: FBT002
    ) -> list[Any]:
        return await target.calls.fan_out(
            items,
            target.wait_s(timeout_s),
            is_star=self._name == "starmap",
            is_ordered=flag("order_outputs", order_outputs),
            keeps_errors=flag("return_exceptions", return_exceptions),
        )
