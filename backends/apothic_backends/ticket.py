"""A reply that is on its way: the only place where threads and event loops meet.

A ticket is completed once, by any thread. It can be waited for from a thread (`wait`), awaited on
asyncio and trio, and asked for a callback. Registering and completing share one lock, so a
completion between "not yet" and "call me" cannot be missed.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from apothic_backends.interrupts import DEFERRED, WINDOW
from apothic_backends.model.errors import TicketCancelled, WaitTimeout

T = TypeVar("T")

STRETCH_S = 0.5
"""How long a thread waits at a stretch. A signal that comes between the interpreter's last look and
the wait is not handled before the wait ends, and would be as good as lost in one without end."""


class Ticket(Generic[T]):
    """A reply that is on its way."""

    __slots__ = ("__weakref__", "_callbacks", "_error", "_lock", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        # Held again by a finaliser that runs while it is held, and may complete this very ticket.
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], object]] | None = None
        self._error: BaseException | None = None
        self._value: Any = None

    @property
    def job_id(self) -> str | None:
        """The job that a `RunJob` has become, once that is known."""
        return None

    def bell(self) -> Ticket[None]:
        """A ticket that waits as this one does, for whoever asks to complete.

        Waiting for the first of many is: have each of them complete one bell, and wait for that.
        """
        return Ticket()

    def complete(self, value: T) -> bool:
        """Give the reply; False if there is one already, or it was given up: that stays so."""
        return self._finish(value, None)

    def fail(self, error: BaseException) -> bool:
        """Give an error instead of a reply; waiting for the ticket raises it."""
        return self._finish(None, error)

    def _finish(self, value: Any, error: BaseException | None) -> bool:
        with self._lock:
            if self.done:
                return False
            self._value = value
            self._error = error
            self.done = True
            callbacks = self._callbacks
            if callbacks is None:
                return True
            self._callbacks = None
        while callbacks:
            callbacks.pop(0)()
        return True

    def cancel(self) -> None:
        """Give the reply up: whoever waits gets `TicketCancelled`, and the backend is told.

        A reply that is here already, and holds something that can go back, goes back.
        """
        if self.done:
            reply = self._take_back()
            if reply is not None:
                self._abandon(reply)
        elif self.fail(TicketCancelled("the reply was given up before it came")):
            self._abandon(None)

    def _take_back(self) -> Any:
        """The reply, if it can go back; from now on it was given up."""
        with self._lock:
            reply = self._value
            if getattr(reply, "undo", None) is None:
                return None
            self._value = None
            self._error = TicketCancelled("the reply was given up when it had come")
            return reply

    def _abandon(self, reply: Any) -> None:
        """Tell the backend that nobody waits, or that a reply goes back; see `QueueItems`."""

    def on_done(self, callback: Callable[[], object]) -> bool:
        """Call back when done, on the completing thread; False if it is done already."""
        with self._lock:
            if self.done:
                return False
            callbacks = self._callbacks
            if callbacks is None:
                callbacks = self._callbacks = [callback]
            else:
                callbacks.append(callback)
            if self.done and callback in callbacks:
                callbacks.remove(callback)  # a finaliser has completed it before this was noted
                return False
            return True

    def off_done(self, callback: Callable[[], object]) -> None:
        """Forget a callback that was asked for."""
        with self._lock:
            if self._callbacks and callback in self._callbacks:
                self._callbacks.remove(callback)

    def result(self) -> T:
        """The reply of a ticket that is done; raises the error if it failed."""
        if self._error is not None:
            # Many tickets may share one error, and each raise would add its frames to it.
            raise self._error.with_traceback(None)
        value: T = self._value
        return value

    def wait(self, timeout_s: float | None = None) -> T:
        """Block this thread until the reply is here, at most `timeout_s` seconds.

        Raises:
            WaitTimeout: the time is up; the ticket stays good, wait again if you like.
        """
        if not self.done:
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            if DEFERRED.depth and not DEFERRED.is_open:
                self._block(deadline)  # deferred already, or on a thread where no handler runs
            else:
                with DEFERRED:
                    self._block(deadline)
            if not self.done:
                raise WaitTimeout(f"no reply within {timeout_s:g} s", timeout_s=timeout_s)
        return self.result()

    def _block(self, deadline: float | None) -> None:
        """Wait until done or the deadline; overridden where the waiting thread can do the work."""
        woken = threading.Lock()
        woken.acquire()
        if not self.on_done(woken.release):
            return
        try:
            acquire(woken, deadline)
        finally:
            self.off_done(woken.release)

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait on the running loop, asyncio's or trio's."""
        if not self.done:
            yield from self._suspend(None).__await__()
        return self.result()

    async def until(self, deadline: float) -> T:
        """Wait on the running loop, until a moment of `time.monotonic` at the latest.

        Raises:
            WaitTimeout: the time is up; the ticket stays good.
        """
        if not self.done:
            await self._suspend(deadline)
            if not self.done:
                raise WaitTimeout("no reply in time")
        return self.result()

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            return self._wait_trio(trio, deadline)
        return self._wait_asyncio(deadline)

    async def _wait_asyncio(self, deadline: float | None) -> None:
        import asyncio  # here, so that a program without a loop never pays for it  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        mailbox = _mailbox(loop)

        def wake() -> None:
            mailbox.put(future)

        if not self.on_done(wake):
            return
        timer = None
        if deadline is not None:
            timer = loop.call_later(deadline - time.monotonic(), _wake_future, future)
        try:
            await future
        finally:
            self.off_done(wake)
            if timer is not None:
                timer.cancel()

    async def _wait_trio(self, trio: Any, deadline: float | None) -> None:
        token = trio.lowlevel.current_trio_token()
        event = trio.Event()

        def wake() -> None:
            try:
                token.run_sync_soon(event.set)
            except trio.RunFinishedError:
                pass  # the loop that waited is gone, and its waiter with it

        if self.on_done(wake):
            left_s = math.inf if deadline is None else deadline - time.monotonic()
            try:
                with trio.move_on_after(max(0.0, left_s)):
                    await event.wait()
            finally:
                self.off_done(wake)


def stretch(deadline: float | None) -> float:
    """Seconds to wait now for what may come until a moment of `time.monotonic`; 0 after that."""
    if deadline is None:
        return STRETCH_S
    return min(STRETCH_S, max(0.0, deadline - time.monotonic()))


def acquire(lock: Any, deadline: float | None) -> None:
    """Wait for a lock, until then at the latest; Ctrl-C is let through meanwhile."""
    with WINDOW:
        while not lock.acquire(timeout=(wait_s := stretch(deadline))):
            if not wait_s:
                return


def _wake_future(future: Any) -> None:
    if not future.done():
        future.set_result(None)


class _Mailbox:
    """Futures of one asyncio loop that are due: a burst of completions wakes the loop once.

    It does not hold the loop, under which it is filed for as long as there is the loop.
    """

    __slots__ = ("_due", "_woken")

    def __init__(self) -> None:
        self._due: deque[Any] = deque()
        self._woken = False

    def put(self, future: Any) -> None:
        """Wake the future's task from any thread; a closed loop has nobody left to wake."""
        self._due.append(future)
        if not self._woken:
            self._woken = True
            try:
                future.get_loop().call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self._due.clear()
                self._woken = False

    def _deliver(self) -> None:
        self._woken = False  # before emptying: what comes in from here on wakes the loop again
        while self._due:
            _wake_future(self._due.popleft())


_mailboxes: WeakKeyDictionary[Any, _Mailbox] = WeakKeyDictionary()


def _mailbox(loop: Any) -> _Mailbox:
    found = _mailboxes.get(loop)
    if found is None:
        found = _mailboxes[loop] = _Mailbox()
    return found
