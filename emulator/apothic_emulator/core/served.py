"""One service, as it is held and as it is written down."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.services import StartService, StopService
from apothic_backends.model.errors import SetupFailed
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.services import (
    ASLEEP,
    FAILED,
    STARTING,
    STOPPED,
    UP,
    ServiceSnapshot,
    ServiceSpec,
)
from apothic_emulator.core.executors import Executor, ExecutorStatus
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.jobs import NEVER
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.logs import JobLog
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack
from apothic_emulator.core.shared import SharedWait

_STARTING, _READY = ExecutorStatus.STARTING, ExecutorStatus.READY


REST_S, MOST_REST_S = 0.5, 30.0
"""The pause after a start that failed: it doubles with each in a row, up to the second."""


UNREACHED: tuple[tuple[int, ...], bool] = ((), False)
"""That of a service which nobody reaches from elsewhere, or on an agent."""


class Service(Kept):
    """One of them. `service_id` is `app/name`."""

    def __init__(self, service_id: str) -> None:
        self.service_id = service_id
        self.pool: Pool | None = None
        """The function of the version that is live."""
        self.version = self.port = 0
        """Of the deployment; and where it listens, kept over restarts."""
        self.url: str | None = None
        self.listen_at = NEVER
        """When to try again to listen."""
        self.is_wanted = True
        """Whether it is to listen at all."""
        self.before: dict[int, Executor] = {}
        """Processes of versions before, by number."""
        self.error: ErrorInfo | None = None
        """Why the last start failed."""
        self.note = ""
        """What is the matter with its address."""
        self.failures = 0
        """Starts in a row that have failed."""
        self.rest_until = 0.0
        self.is_called = False
        """Whether somebody waits for a process, though none may be started yet."""
        self.reached = UNREACHED
        """The agents for whose processes connections are taken, and whether for anybody."""
        self.log = JobLog()
        self.waits: list[SharedWait] = []
        """Who waits for its address, for a process, or for the end of all."""

    @property
    def spec(self) -> ServiceSpec:
        """How it serves."""
        assert self.pool is not None, "a service has a function"
        spec = self.pool.function.spec.service
        assert spec is not None, "the function of a service"
        return spec

    @property
    def live(self) -> list[Executor]:
        """Its processes that answer, or are about to, of the version that is live."""
        pool = self.pool
        executors = () if pool is None else pool.executors.values()
        return [e for e in executors if e.status in (_STARTING, _READY) and not e.is_used_up]

    @property
    def processes(self) -> set[int]:
        """The numbers of all that it has, also of those that end."""
        return {*self.before, *(() if self.pool is None else self.pool.executors)}

    @property
    def is_kept_out(self) -> bool:
        """Whether the version that is live waits for the end of others, which have its port."""
        return any(e.is_kept_out and e.status is _STARTING for e in self.live)

    @property
    def has_place_for_more(self) -> bool:
        """Whether another process may start beside those that it has, which are all ready."""
        live = self.live
        most = 0 if self.pool is None else self.pool.function.spec.max_containers
        return len(live) < most and all(e.status is _READY for e in live)

    @property
    def is_up(self) -> bool:
        """Whether some process answers."""
        old = any(e.status is _READY for e in self.before.values())
        return old or any(e.status is _READY for e in self.live)

    @property
    def near(self) -> set[int]:
        """Where its processes are that take connections."""
        ready = [e for e in self.live if e.status is _READY]
        return {e.agent for e in ready or self.before.values() if e.status is _READY}

    @property
    def is_public(self) -> bool:
        """Whether anybody may ask: the code of a version before need not be meant for that."""
        specs = [self.spec, *(e.function.spec.service for e in self.before.values())]
        return all(spec is not None and spec.public for spec in specs)

    @property
    def status(self) -> str:
        """What it does."""
        if not self.is_wanted:
            return STOPPED
        if self.is_up:
            return UP
        if self.live:
            return STARTING
        return ASLEEP if self.error is None else FAILED

    @property
    def has_ended(self) -> bool:
        """Whether none of its processes is left."""
        return not self.processes

    def is_over(self, command: Any) -> bool:
        """Whether what a command waits for has come, or cannot come."""
        if isinstance(command, StopService):
            return self.has_ended or self.is_wanted
        is_shut = self.url is None and bool(self.note)
        if isinstance(command, StartService):
            return self.is_up or self.error is not None or is_shut or not self.is_wanted
        return self.url is not None or is_shut or not self.is_wanted

    def fails(self, error: ErrorInfo, now: float) -> None:
        """A start has failed: the next has to wait for a while."""
        self.error = error
        self.rest_until = now + min(MOST_REST_S, REST_S * 2.0 ** min(self.failures, 10))
        self.failures += 1

    def pack(self) -> bytes:
        """What is kept: the rest is in its deployment."""
        return pack((self.service_id, self.port, self.is_wanted))

    def snapshot(self) -> ServiceSnapshot:
        """What its users see."""
        error = "" if self.error is None else self.error.message
        return ServiceSnapshot(
            service_id=self.service_id,
            status=self.status,
            desired="started" if self.is_wanted else "stopped",
            version=self.version,
            url=self.url,
            shape=self.spec.shape,
            processes=len(self.processes),
            stale=error,
            traceback="" if self.error is None else self.error.traceback,
            note=self.note,
        )


def unready(executor: Executor, fact: Ended) -> ErrorInfo:
    """Why a process could not be started that has ended."""
    how = f"signal {fact.signal}" if fact.signal else f"exit code {fact.exit_code}"
    name = executor.function.spec.name
    return ErrorInfo(
        SetupFailed.code,
        f"{name} cannot be started: its process ended with {how} before it was ready"
        + (f" ({fact.detail})" if fact.detail else ""),
    )
