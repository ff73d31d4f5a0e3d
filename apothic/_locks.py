"""What holds a lock or a term: procedures, for `_drive`, and the renewal of the lease.

Nothing here looks at a clock. To renew is a command whose reply comes when it is time for the next;
so the lease is kept by the control plane's clock alone, and by whichever thread hears the replies.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from apothic._connect import connect, connected
from apothic._drive import step
from apothic_backends.base import Backend
from apothic_backends.commands.dicts import AcquireLock, ReleaseLock, RenewLock
from apothic_backends.model.errors import ApothicError, LockLost, UsageError, WaitTimeout
from apothic_backends.ticket import Ticket

_held: dict[tuple[str, str, str], object] = {}
"""Who has what, of the threads and tasks of this process."""


class Holding:
    """One lock or term, from the wish to have it to its end; then it can be acquired again."""

    def __init__(
        self,
        place: tuple[str, str, str],
        candidate: str | None,
        lease_s: float,
        timeout_s: float | None,
        *,
        create: bool,
    ) -> None:
        self._place = place
        """The dict, the kind, and the key."""
        self._candidate = candidate
        self._lease_s = lease_s
        self._timeout_s = timeout_s
        self._create = create
        self._holder = ""
        self._backend: Backend | None = None
        self._renewal: Ticket[None] | None = None
        self._when_lost: list[Callable[[], object]] = []
        self.fence: int | None = None
        self.is_lost = False

    @property
    def name(self) -> str:
        """What it is called in messages."""
        name, kind, key = self._place
        return f"the {kind} {key} of dict {name}"

    def held(self) -> int:
        """The fence.

        Raises:
            UsageError: there is none.
        """
        if self.fence is None:
            raise UsageError(f"{self.name} is not held: acquire it, or use `with`")
        return self.fence

    # --- procedures -----------------------------------------------------------------------------

    async def acquire(self) -> int:
        """Wait for it; the fence."""
        me = _me()
        if self._backend is not None or _held.get(self._place) == me:
            raise UsageError(
                f"{self.name} is held by this {'handle' if self._backend else 'thread or task'} "
                "already, which would wait for itself for ever: locks are not re-entrant"
            )
        backend = connect()
        self._holder = os.urandom(8).hex()
        ticket = backend.start(self._wish(backend))
        try:
            fence = await step(ticket)
        except BaseException:
            ticket.cancel()
            backend.start(ReleaseLock(*self._place, self._holder))  # it may have been given by now
            raise
        if fence is None:
            raise WaitTimeout(
                f"{self.name} was not to be had within {self._timeout_s:g} s",
                timeout_s=self._timeout_s,
            )
        self._backend, self.fence, self.is_lost = backend, fence, False
        _held[self._place] = me
        self._renew(backend, fence)
        return fence

    async def release(self) -> bool:
        """Let go of it; whether it was held."""
        backend = self._let_go()
        if backend is None:
            return False
        is_held = await step(backend.start(ReleaseLock(*self._place, self._holder)))
        self.is_lost = self.is_lost or not is_held
        return is_held

    async def check(self) -> None:
        """Make sure that it is held at this moment."""
        fence, backend = self.held(), self._backend
        if backend is None:
            raise self._loss()
        try:
            await step(backend.start(RenewLock(*self._place, fence)))
        except LockLost:
            self._lose()
            raise

    # --- renewal --------------------------------------------------------------------------------

    def _renew(self, backend: Backend, fence: int) -> None:
        """Begin the lease anew, now and whenever it is time to."""
        ticket = self._renewal = backend.start(RenewLock(*self._place, fence, wait=True))

        def go_on() -> None:
            if self._renewal is not ticket or self._backend is None:
                return
            try:
                ticket.result()
            except ApothicError:
                self._lose()
            else:
                self._renew(backend, fence)

        if not ticket.on_done(go_on):
            go_on()

    def _lose(self) -> None:
        if self._let_go() is not None:
            self.is_lost = True
            for tell in self._when_lost:
                tell()

    def _let_go(self) -> Backend | None:
        """Renew it no more; where it was held."""
        backend, self._backend = self._backend, None
        if backend is None:
            return None
        _held.pop(self._place, None)
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
        return backend if backend is connected() else None

    def _wish(self, backend: Backend) -> AcquireLock:
        candidate = self._candidate
        if candidate is None:
            job = backend.current_job()
            candidate = job[0] if job is not None else f"process {os.getpid()}"
        name, kind, key = self._place
        return AcquireLock(
            name, kind, key, self._holder, candidate, self._lease_s, self._timeout_s, self._create
        )

    # --- ends -----------------------------------------------------------------------------------

    def leave(self, error: BaseException | None) -> None:
        """A block ends: see to it that what was lost is not overlooked.

        Raises:
            LockLost: it was lost, and the block raises nothing else.
        """
        if self.is_lost and error is None:
            raise self._loss()

    def forget(self) -> None:
        """Nobody has its handle any more."""
        backend = self._let_go()
        if backend is not None:
            backend.start(ReleaseLock(*self._place, self._holder))

    def body(self) -> Body:
        """What runs while it is held, to be cancelled when it is lost."""
        return Body(self._when_lost)

    def _loss(self) -> LockLost:
        return LockLost(
            f"{self.name} was lost: its lease of {self._lease_s:g} s ended before it was renewed. "
            "Somebody else may have had it since; writes that carried its fence were refused",
            fence=self.fence,
        )


class Body:
    """A block of a task that is cancelled, where it awaits, when the lock is lost."""

    def __init__(self, when_lost: list[Callable[[], object]]) -> None:
        self._when_lost = when_lost
        self._scope: Any = None
        self._is_trio = False
        self._is_over = False

    async def __aenter__(self) -> None:
        """Begin, in the task that is to be cancelled."""
        trio = sys.modules.get("trio")
        self._is_trio = trio is not None and trio.lowlevel.in_trio_run()
        if trio is not None and self._is_trio:
            self._scope = scope = trio.CancelScope()
            soon: Any = trio.lowlevel.current_trio_token().run_sync_soon
            end: Callable[[], object] = scope.cancel
            scope.__enter__()
        else:
            import asyncio  # its loop runs already  # noqa: PLC0415

            loop = asyncio.get_running_loop()
            self._scope = limit = asyncio.timeout(None)
            soon, end = loop.call_soon_threadsafe, lambda: limit.reschedule(loop.time())
            await limit.__aenter__()

        def end_if_running() -> None:
            if not self._is_over:
                end()

        def tell() -> None:
            try:
                soon(end_if_running)
            except RuntimeError:
                pass  # the loop is gone, and the block with it

        self._when_lost.append(tell)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """End; whether it was cancelled by this."""
        self._is_over = True
        self._when_lost.clear()
        if self._is_trio:
            return bool(self._scope.__exit__(kind, error, traceback))
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            if not self._scope.expired():
                raise  # the user's own
            return True
        return False


def _me() -> object:
    """The running task, or this thread."""
    trio, asyncio = sys.modules.get("trio"), sys.modules.get("asyncio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_task()
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001 - its C fast path
        return asyncio.current_task()
    return threading.get_ident()
