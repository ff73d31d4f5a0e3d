"""Threads that work for those who must not do it themselves.

On an event loop nobody may block. And code that waits in a call of its own takes nothing else on
top of it: that might wait for this very call, which could not go on below it.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from apothic_backends.ticket import Ticket
from apothic_emulator.inline.executor import Work


class Works(Protocol):
    """What a helper needs of the host."""

    changes: int
    promised: dict[int, float]

    def awaited(self, ticket: Ticket[Any]) -> int:
        """The job that a ticket waits for."""
        ...

    def claim(self, job: int) -> Work | None:
        """Something to do."""
        ...

    def work(self, work: Work, awaited: Ticket[Any] | None, deadline: float | None) -> None:
        """Do it in this thread."""
        ...

    def sleep(self, seen: int, deadline: float | None) -> None:
        """Wait until something has changed since then."""
        ...

    def die(self, cause: BaseException) -> None:
        """Something unexpected happened."""
        ...


class Helpers:
    """As many threads as there is work for, and one that sleeps, while anybody waits for them."""

    def __init__(self, host: Works) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._tickets: set[Ticket[Any]] = set()
        self._idle = 0

    def serve(self, ticket: Ticket[Any]) -> None:
        """See to it that a ticket is worked for until it is done."""
        self._host.promised.pop(self._host.awaited(ticket), None)
        with self._lock:
            self._tickets.add(ticket)
        if ticket.on_done(lambda: self._tickets.discard(ticket)):
            self._ensure()
        else:
            self._tickets.discard(ticket)

    def _ensure(self) -> None:
        """Have a thread that looks for work, if anybody waits."""
        with self._lock:
            if self._idle or not self._tickets:
                return
            self._idle += 1
        threading.Thread(target=self._run, name="apothic-inline", daemon=True).start()

    def _run(self) -> None:
        """Look for work; once it is found, another thread goes on looking."""
        host = self._host
        try:
            while True:
                seen = host.changes
                work = host.claim(0)
                if work is None:
                    if not self._tickets:
                        break
                    host.sleep(seen, None)
                    continue
                with self._lock:
                    self._idle -= 1
                self._ensure()
                host.work(work, None, None)
                with self._lock:
                    if self._idle or not self._tickets:
                        return
                    self._idle += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may hang
            host.die(error)
            return
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._idle -= 1
        self._ensure()  # for whoever came just now
