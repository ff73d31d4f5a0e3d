"""The host's thread: starts the zygote at once, and works when there is a host to work for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from apothic_emulator.agent.zygote import Zygote


class HostThread(threading.Thread):
    """The one thread of a control plane.

    The zygote is its child for as long as it lives: Linux ends a child with the *thread* that
    started it, where it is asked to.
    """

    def __init__(self, zygote: Zygote) -> None:
        super().__init__(name="apothic-host", daemon=True)
        self.zygote = zygote
        self._work: Callable[[], None] | None = None
        self._given = threading.Event()
        self._error: Exception | None = None

    def give(self, work: Callable[[], None]) -> None:
        """Say what to do from now on; it may find that the zygote could not be started."""
        self._work = work
        self._given.set()

    def give_up(self) -> None:
        """End what was started: there is no work to come."""
        self._given.set()
        self.join()
        self.zygote.end()
        self.zygote.wait()
        self.zygote.close()

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
        self._given.wait()
        if self._work is not None:
            self._work()
