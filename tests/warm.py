"""Control planes of this process, one after another, over zygotes that stay warm.

To start a zygote, and to import there what a test module does, takes several times as long as most
tests. Each control plane begins with nothing but that; how one is opened and closed as a program
does it is a matter of tests/integration.
"""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import EmulatorDead
from apothic_emulator.agent.zygote import Zygote
from apothic_emulator.host.backend import LocalBackend
from apothic_emulator.host.commits import Commits
from apothic_emulator.host.host import Host
from apothic_emulator.host.thread import HostThread
from apothic_emulator.stores.opening import open_store

_warm: list[HostThread] = []


class WarmHost(Host):
    """A host whose thread, with its zygote, goes to another one when it is closed."""

    def __init__(self, **how: Any) -> None:
        self._own = _warm.pop() if _warm else _started()
        super().__init__(self._own, **how)

    def close(self) -> int:
        """Kill all executors."""
        if self._closing:
            return 0
        try:
            unfinished = self.leave()
        except EmulatorDead:
            self._own.end()
            raise
        _warm.append(self._own)
        return unfinished


def open_warm(url: str, folder: Path, namespace: str) -> LocalBackend:
    """The `local` backend, which keeps its state there."""
    if url == "memory":
        return LocalBackend(WarmHost())
    return LocalBackend(WarmHost(commits=opened(url, folder, namespace)))


def opened(url: str, folder: Path, namespace: str) -> Commits:
    """A store that is open, for a host."""
    store = open_store(url, folder, namespace)
    store.open()
    return Commits(store)


def _started() -> HostThread:
    thread = HostThread(Zygote())
    thread.start()
    return thread


@atexit.register
def _end() -> None:
    while _warm:
        _warm.pop().end()
