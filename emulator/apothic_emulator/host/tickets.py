"""Tickets of callers in this process, who read from the executors while they wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from apothic_backends.model.errors import ApothicError
from apothic_backends.ticket import Ticket
from apothic_emulator.core.facts import GivenUp, Input
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.clocks import Clock
from apothic_emulator.host.reader import Reader


class Asked(Protocol):
    """The host that was asked."""

    plane: Plane
    reader: Reader
    clock: Clock
    dead: ApothicError | None

    def post(self, item: Input) -> None:
        """Bring an input."""
        ...


class HostTicket(Ticket[Any]):
    """A ticket whose waiting thread reads from the executors itself."""

    __slots__ = ("_host",)

    def __init__(self, host: Asked) -> None:
        super().__init__()
        self._host = host

    @property
    def job_id(self) -> str | None:
        """The job that a `RunJob` has become."""
        wait = self._host.plane.ledger.waits.get(self)
        return wait.awaited.job_id if wait is not None and wait.awaited is not None else None

    def bell(self) -> Ticket[None]:
        """A ticket whose waiting thread reads from the executors, too."""
        return HostTicket(self._host)

    def _block(self, deadline: float | None) -> None:
        if self._host.dead is not None:
            self.fail(self._host.dead)  # in a fork, nobody else does
        self._host.reader.wait(self, deadline)

    def on_done(self, callback: Callable[[], object]) -> bool:
        """Call back when done; nobody may wait, so the host's thread has to read."""
        if self._host.dead is not None:
            self.fail(self._host.dead)  # in a fork, nobody else does
        asked = super().on_done(callback)
        if asked:
            self._host.reader.watch()
        return asked

    def _abandon(self, reply: Any) -> None:
        if self._host.dead is None:
            self._host.post(GivenUp(self, reply))
            self._host.reader.watch()
