"""How a call is stopped while user code runs: an exception, raised in the thread it runs on.

The host asks in two ways. SIGTERM means the whole process: every call is stopped, and when the
last of them has let go the process dies of that signal, so that whoever waits for its end sees
what happened. An interrupt means one call of several, and its end is reported like any other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType

from apothic_emulator.executors import linux


class Stopped(BaseException):
    """Raised in user code when its time is up or its job is cancelled."""


class Stops:
    """Which thread is in user code, and for which job.

    Nothing is raised anywhere else, so our own work is never torn. A signal's handler runs on the
    main thread and can itself see where that thread is; other threads need the lock.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self.terminated = False
        self.on_stop: Callable[[], None] = lambda: None
        """Called when every call is being stopped."""
        self._is_shared = is_shared
        self._lock = threading.Lock()
        self._inside: dict[int, int] = {}

    def enter(self, job: int) -> None:
        """From here on the job may be stopped."""
        self._inside[job] = threading.get_ident()

    def leave(self, job: int) -> None:
        """From here on it may not. Safe to repeat, as one must if the first was interrupted."""
        if not self._is_shared:
            self._inside.pop(job, None)
            return
        with self._lock:
            self._inside.pop(job, None)
            # One that was sent and has not arrived is not meant for what comes next.
            linux.raise_in_thread(threading.get_ident(), None)

    def is_inside(self, job: int) -> bool:
        """Whether the job's own code runs."""
        return job in self._inside

    def interrupt(self, job: int) -> None:
        """Stop one call, if it still runs."""
        with self._lock:
            ident = self._inside.get(job)
            if ident is not None:
                linux.raise_in_thread(ident, Stopped)

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Stop every call; installed for SIGTERM."""
        self.terminated = True
        threads = set(self._inside.values())
        for ident in threads - {threading.get_ident()}:
            linux.raise_in_thread(ident, Stopped)
        self.on_stop()
        if threading.get_ident() in threads:
            raise Stopped
