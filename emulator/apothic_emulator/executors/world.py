"""What the calls of one executor share and must not hand on to each other."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from apothic_emulator.executors import descent, linux

active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]  # noqa: SLF001
"""`threading.active_count()` without its lock: asked between every result and its report."""


class World:
    """Working directory, environment and umask, as the first call found them."""

    def __init__(self) -> None:
        self._cwd = os.getcwd()  # noqa: PTH109 - compared as text on every call
        self._env = dict(os.environ)
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        environ: Any = os.environ
        self._raw: Any = environ._data  # noqa: SLF001
        self._raw_before: Any = self._raw.copy()

    def restore(self) -> None:
        """Put back what a call has changed."""
        if self._raw != self._raw_before:
            os.environ.clear()
            os.environ.update(self._env)
        try:
            if os.getcwd() != self._cwd:  # noqa: PTH109
                os.chdir(self._cwd)
        except OSError:
            os.chdir("/")  # it was deleted meanwhile
        os.umask(self._umask)


class OwnWorld(World):
    """The same, of a process that is there for calls alone: what lives in it, too."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = set(active)
        self._children = set(descent.children()) if linux.has_child() else set[int]()

    def has_leftovers(self) -> bool:
        """Whether a call left a process, or a thread that would keep the process alive.

        What the function's module started when it was loaded is meant to stay, and so are the idle
        workers of a `ThreadPoolExecutor` and the tracker of `multiprocessing`.
        """
        return (linux.has_child() and self._has_leftover_process()) or (
            len(active) > 1 and self._has_leftover_thread()
        )

    def _has_leftover_process(self) -> bool:
        tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
        kept = tracker._resource_tracker._pid if tracker else None  # noqa: SLF001
        return any(pid not in self._children and pid != kept for pid in descent.children())

    def _has_leftover_thread(self) -> bool:
        pools = sys.modules.get("concurrent.futures.thread")
        idle: Any = getattr(pools, "_threads_queues", {})
        return any(
            not thread.daemon and ident not in self._threads and thread not in idle
            for ident, thread in list(active.items())
        )
