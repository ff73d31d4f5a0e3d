"""Calls that are made once, however often they are asked for."""

from __future__ import annotations

from typing import Generic, ParamSpec, TypeVar

from apothic._targets import Source
from apothic._twins import twin
from apothic._values import refuse
from apothic.jobs import Job

P = ParamSpec("P")
R = TypeVar("R")

MOST_KEY = 200
"""Characters of an idempotency key."""


class Keyed(Generic[P, R]):
    """A function and an idempotency key: one call, however often it is asked for."""

    def __init__(self, function: Source, key: object) -> None:
        if not isinstance(key, str) or not 0 < len(key) <= MOST_KEY:
            refuse("key", key, f"a string of 1 to {MOST_KEY} characters")
        self._function = function
        self._key = key
        self.name = f"{function.name}.with_key(...)"

    @twin
    async def spawn(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Start it elsewhere, unless that was done under this key before; the job in any case.

        The result is not dropped with this handle, because others may have it too.

        Raises:
            IdempotencyConflict: the key was used with other arguments.
            QueueFull: `max_pending_tasks` calls wait already.
            BalanceExhausted: nothing is left of the account's balance.
        """
        link = await self._function.target().calls.spawn(args, kwargs, self._key)
        return Job(link.job_id, link)

    @property
    def aio(self) -> KeyedAio[P, R]:
        """The same method, to be awaited."""
        return KeyedAio(self)

    def __repr__(self) -> str:
        """The function, not the key: that may say whose order it is."""
        return f"<Keyed {self._function!r}>"


class KeyedAio(Generic[P, R]):
    """The call of a function under a key, to be awaited on asyncio or trio."""

    def __init__(self, keyed: Keyed[P, R]) -> None:
        self.spawn = keyed.spawn.aio
