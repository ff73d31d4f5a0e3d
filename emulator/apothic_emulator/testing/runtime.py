"""A fresh control plane for each test or trial: own ids, events and clock, on a warm zygote.

    with RuntimeFactory() as factory, factory.open() as runtime:
        runtime.clock.advance("1d")

While a runtime is open, the whole program is connected to it. Closing it kills its workers; the
zygote that forks them, and what that has imported, stay warm for the next one.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast

from apothic_backends.connection import connected, use
from apothic_backends.model.errors import EmulatorDead, NotBuiltYet, UsageError
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.clocks import Clock, RealClock
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.host.tickets import HostTicket
from apothic_emulator.host.virtual import VirtualClock
from apothic_emulator.testing.clock import RuntimeClock
from apothic_emulator.testing.faults import Faults
from apothic_emulator.testing.recorder import Recorder

START = datetime(2026, 1, 1, tzinfo=UTC)
"""Where a virtual clock begins unless it is told otherwise, so that no test depends on the day."""


class ClockedTicket(HostTicket):
    """A ticket for which a virtual clock jumps when somebody waits for it."""

    __slots__ = ()

    def _block(self, deadline: float | None) -> None:
        with self._clock.waited(self):
            super()._block(deadline)

    def _suspend(self, deadline: float | None) -> Coroutine[Any, Any, None]:
        return self._wait(super()._suspend(deadline))

    async def _wait(self, waiting: Coroutine[Any, Any, None]) -> None:
        with self._clock.waited(self):
            await waiting

    @property
    def _clock(self) -> VirtualClock:
        return cast("VirtualClock", self._host.clock)


class RuntimeBackend(LocalBackend):
    """The backend of one runtime."""

    def __init__(self, host: Host, close: Callable[[], None]) -> None:
        if isinstance(host.clock, VirtualClock):
            self._ticket_type = ClockedTicket
        super().__init__(host)
        self._close = close

    def close(self) -> None:
        """Close the runtime."""
        self._close()


class Runtime:
    """One control plane. Its virtual clock begins at `START`, or at a moment of your choice."""

    clock: RuntimeClock
    events: Recorder
    faults: Faults

    def __init__(
        self, factory: RuntimeFactory, thread: HostThread, clock: Clock, seed: int
    ) -> None:
        self._factory = factory
        self._thread = thread
        self.faults = Faults(seed)
        # An executor that ends because it is idle would end for no reason that a test has.
        self.host = Host(thread, clock, idle_s=NEVER, sieve=self.faults.sieve)
        self.faults.attach(self.host)
        self.backend = RuntimeBackend(self.host, self.close)
        self.clock = RuntimeClock(clock)
        self.events = Recorder(self.host)
        self._before = use(self.backend)
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._is_open

    def close(self) -> None:
        """Kill its workers, and connect the program to what it was connected to before."""
        if not self._is_open:
            return
        self._is_open = False
        atexit.unregister(self.backend.close)
        if connected() is self.backend:
            use(self._before)
        try:
            self.host.leave()
        except EmulatorDead:
            self._thread.end()
            raise
        self._factory.take_back(self._thread)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()


class RuntimeFactory:
    """Makes runtimes, one after the other or several at once, and keeps their zygotes warm."""

    def __init__(self) -> None:
        self._warm: list[HostThread] = []
        self._is_open = True

    def open(
        self,
        *,
        clock: Literal["virtual", "real"] = "virtual",
        start: datetime = START,
        seed: int = 0,
    ) -> Runtime:
        """A fresh runtime; `start` is where a virtual clock begins, `seed` is for its faults.

        Raises:
            UsageError: there is no such clock, or `start` has no time zone.
            NotBuiltYet: this is not Linux.
        """
        if clock not in ("virtual", "real"):
            raise UsageError(f"clock={clock!r}: it is 'virtual' or 'real'")
        if start.tzinfo is None:
            raise UsageError(f"start={start} has no time zone; write datetime(..., tzinfo=...)")
        if not self._is_open:
            raise UsageError("the factory of this runtime was closed")
        made = VirtualClock(start.timestamp()) if clock == "virtual" else RealClock()
        thread = self._warm.pop() if self._warm else _start_thread()
        try:
            return Runtime(self, thread, made, seed)
        except BaseException:
            self.take_back(thread)
            raise

    def take_back(self, thread: HostThread) -> None:
        """Keep a thread and its zygote for the next runtime."""
        if self._is_open:
            self._warm.append(thread)
        else:
            thread.end()

    def close(self) -> None:
        """End the zygotes that nobody uses; those in use end with their runtimes."""
        self._is_open = False
        while self._warm:
            with contextlib.suppress(OSError):
                self._warm.pop().end()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()


def _start_thread() -> HostThread:
    if not sys.platform.startswith("linux"):
        raise NotBuiltYet(f"worker processes are built for Linux so far; this is {sys.platform}")
    thread = HostThread(Zygote())
    thread.start()
    return thread
