"""The host's thread: starts the zygote at once, and works when there is a host to work for."""

from __future__ import annotations

import threading
from _queue import SimpleQueue  # `queue` brings more, at the start of every program
from collections.abc import Callable

from apothic_emulator.agent.zygote import Zygote


class HostThread(threading.Thread):
    """The one thread of a control plane, or of several, one after the other.

    The zygote is its child for as long as it lives: Linux ends a child with the *thread* that
    started it, where it is asked to.
    """

    def __init__(self, zygote: Zygote) -> None:
        super().__init__(name="apothic-host", daemon=True)
        self.zygote = zygote
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._is_idle = threading.Event()
        self._error: Exception | None = None

    def give(self, work: Callable[[], object]) -> None:
        """Say what to do next; it may find that the zygote could not be started."""
        self._is_idle.clear()
        self._work.put(work)

    def rest(self) -> None:
        """Wait until it has done what it was given."""
        self._is_idle.wait()

    def check(self) -> None:
        """Raise what kept the zygote from starting, if anything did."""
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        """Start the zygote, then do what is given."""
        try:
            self.zygote.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the host has to tell its callers
            self._error = error
        while (work := self._work.get()) is not None:
            try:
                work()
            finally:
                del work  # so that a host which is done is let go
                self._is_idle.set()

    def end(self) -> None:
        """End the thread, and the zygote with everything below it."""
        self._work.put(None)
        self.join()
        self.zygote.end()
        self.zygote.wait()
        self.zygote.close()
