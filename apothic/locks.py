"""Locks, and terms of office: what one holder at a time can have, with a fence as its proof."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from apothic._twins import twin
from apothic._values import Value
from apothic.blocks import Block

HeldT = TypeVar("HeldT")


class Link(Protocol):
    """What carries it out: a `_locks.Holding`."""

    name: str
    fence: int | None
    is_lost: bool

    async def acquire(self) -> int: ...  # noqa: D102
    async def release(self) -> bool: ...  # noqa: D102
    async def check(self) -> None: ...  # noqa: D102
    def held(self) -> int: ...  # noqa: D102
    def leave(self, error: BaseException | None) -> None: ...  # noqa: D102
    def forget(self) -> None: ...  # noqa: D102
    def body(self) -> Any: ...  # noqa: D102


class Leader(Value):
    """Who is elected: since when (Unix seconds), and for which term."""

    candidate: str
    term: int
    since: float

    def __init__(self, candidate: str, term: int, since: float) -> None:
        super().__init__(candidate=candidate, term=term, since=since)


class _Held(Block[HeldT]):
    """What locks and terms have in common."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._body: Any = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._link.name

    @property
    def lost(self) -> bool:
        """Whether it was lost, as far as is known here: its lease was not renewed in time.

        `check()` makes sure.
        """
        return self._link.is_lost

    @twin
    async def check(self) -> None:
        """Make sure that it is held at this moment, and begin its lease anew.

        Raises:
            LockLost: it is not held any more.
            UsageError: it was not acquired.
        """
        await self._link.check()

    async def _begin(self) -> HeldT:
        await self._link.acquire()
        return cast("HeldT", self)

    async def _end(self, error: BaseException | None) -> None:
        await self._link.release()
        self._link.leave(error)

    async def __aenter__(self) -> HeldT:
        """Wait for it. When it is lost, the block is cancelled where it awaits."""
        me = await super().__aenter__()
        self._body = self._link.body()
        await self._body.__aenter__()
        return me

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of it.

        Raises:
            LockLost: it was lost meanwhile, and the block raised nothing itself.
        """
        body, self._body = self._body, None
        was_cancelled = False
        try:
            was_cancelled = await body.__aexit__(kind, error, traceback)
        finally:
            await super().__aexit__(kind, None if was_cancelled else error, traceback)

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse: it is held where it was acquired."""
        raise TypeError(f"{self.name} is held in this process; send its number, to be a fence")

    def __repr__(self) -> str:
        """What it is, and its fence."""
        fence = self._link.fence
        held = "lost" if self.lost else "not held" if fence is None else f"held by {fence}"
        return f"<{type(self).__name__}: {self.name}, {held}>"

    def __del__(self) -> None:
        """Whoever holds it no more should not have it renewed."""
        try:
            self._link.forget()
        except Exception:  # noqa: BLE001, S110 - nobody to tell, and modules may be gone already
            pass


class Lock(_Held["Lock"]):
    """The lock of a key, as `Dict.lock` gives it: for `with`, for `async with`, or by its methods.

    It is advisory, unless you pass its fence. A holder that stands still for longer than the lease
    (a paused machine, a long garbage collection) does not know that another one has the lock by
    now; so give `fence=lock.fence` to every write that the lock guards, and the writes of a holder
    that was overtaken are refused with `Fenced`. Not re-entrant.
    """

    @property
    def fence(self) -> int:
        """The number of this holding; that of the next holder is larger.

        Raises:
            UsageError: it is not held.
        """
        return self._link.held()

    @twin
    async def acquire(self) -> int:
        """Wait for the lock, for use without a block; gives the fence.

        Raises:
            WaitTimeout: it was not to be had within `timeout_s`.
            UsageError: this thread, or this task, has it already.
        """
        return await self._link.acquire()

    @twin
    async def release(self) -> bool:
        """Let go of the lock; False if it was lost before, or is not held."""
        return await self._link.release()


class Term(_Held["Term"]):
    """A term of office, as `Dict.elect` gives it: for `with` or `async with`, or by its methods.

    There is one term at a time, and each has a larger number than those before. Pass the number as
    the `fence` of every write of the leader: those of one that was replaced are refused.
    """

    @property
    def number(self) -> int:
        """The number of the term, and its fence.

        Raises:
            UsageError: it has not begun, or is over.
        """
        return self._link.held()

    @twin
    async def begin(self) -> int:
        """Wait to be elected, for use without a block; gives the number of the term.

        Raises:
            WaitTimeout: others were, for all of `timeout_s`.
        """
        return await self._link.acquire()

    @twin
    async def resign(self) -> bool:
        """End the term, for the next candidate; False if it was over already."""
        return await self._link.release()
