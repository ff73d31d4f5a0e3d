"""One deployment, as it is held and as it is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from apothic_backends import codec
from apothic_backends.model.deployments import (
    LIVE,
    DeployedFunction,
    DeploymentSnapshot,
    FunctionWork,
)
from apothic_backends.model.schedules import CronSchedule, PeriodSchedule
from apothic_emulator.core.jobs import Job
from apothic_emulator.core.journal import Kept
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.records import pack, unpack


class Entry(NamedTuple):
    """A function of a deployment."""

    pool: Pool
    schedule: CronSchedule | PeriodSchedule | None

    @property
    def number(self) -> int:
        """The number of the function."""
        return self.pool.function.number

    @property
    def is_service(self) -> bool:
        """Whether it takes requests, and no calls."""
        return self.pool.function.spec.service is not None


class Deployment(Kept):
    """Version `version` of an app. Times are Unix seconds."""

    __slots__ = (
        *("app", "created_at", "ended_at", "entries", "number", "of", "status", "version"),
    )

    def __init__(
        self,
        number: int,
        app: str,
        version: int,
        entries: dict[str, Entry],
        created_at: float,
        *,
        of: int | None = None,
    ) -> None:
        self.number = number
        self.app = app
        self.version = version
        self.entries = entries
        """Its functions by name."""
        self.created_at = created_at
        self.ended_at: float | None = None
        self.of = of
        """The version that it is again, after a rollback."""
        self.status = LIVE

    @property
    def deployment_id(self) -> str:
        """What users call it."""
        return f"deployments:{self.number}"

    def has(self, pool: Pool) -> bool:
        """Whether it has that function."""
        return any(entry.pool is pool for entry in self.entries.values())

    @property
    def functions(self) -> tuple[DeployedFunction, ...]:
        """What it was deployed with."""
        return tuple(
            DeployedFunction(it.pool.function.spec, it.pool.function.code, it.schedule)
            for it in self.entries.values()
        )

    def is_made_of(self, functions: Sequence[DeployedFunction]) -> bool:
        """Whether these are its functions, to the last byte."""
        if len(functions) != len(self.entries):
            return False
        for one in functions:
            entry = self.entries.get(one.spec.name)
            if entry is None or entry.schedule != one.schedule:
                return False
            mine = entry.pool.function
            if mine.spec != one.spec or mine.code != one.code:
                return False
        return True

    def snapshot(self, offset: float) -> DeploymentSnapshot:
        """What its users see."""
        sources = {entry.pool.function.spec.source for entry in self.entries.values()}
        return DeploymentSnapshot(
            deployment_id=self.deployment_id,
            app_name=self.app,
            version=self.version,
            status=self.status,
            created_at=self.created_at,
            ended_at=self.ended_at,
            source=next(iter(sources)) if len(sources) == 1 else None,
            of=self.of,
            functions=tuple(_work(name, entry) for name, entry in self.entries.items()),
        )

    def told(self, offset: float) -> dict[str, Any]:
        """The same for watchers."""
        snapshot = self.snapshot(offset)
        told: dict[str, Any] = {field: getattr(snapshot, field) for field in snapshot.fields}
        counts = ("function_id", "queued", "running")
        told["functions"] = {
            work.name: {name: getattr(work, name) for name in counts} for work in snapshot.functions
        }
        return told

    # --- as a record ----------------------------------------------------------------------------

    def pack(self) -> bytes:
        """All of it but the functions themselves, which have records of their own."""
        entries = [
            (name, entry.number, entry.schedule and codec.to_json(entry.schedule, []))
            for name, entry in self.entries.items()
        ]
        times = self.created_at, self.ended_at
        return pack((self.app, self.version, self.status, *times, self.of, entries))

    @classmethod
    def load(cls, number: int, record: bytes, pools: Mapping[int, Pool]) -> Deployment:
        """What `pack` gave."""
        (app, version, status, created_at, ended_at, of, kept), _ = unpack(record)
        entries: dict[str, Entry] = {}
        for name, function, schedule in kept:
            rule: Any = schedule and codec.from_json(schedule, ())
            entries[name] = Entry(pools[function], rule)
        it = cls(number, app, version, entries, created_at, of=of)
        it.status, it.ended_at = status, ended_at
        return it


def _work(name: str, entry: Entry) -> FunctionWork:
    pool = entry.pool
    executors = [one for it in (pool, *pool.derived) for one in it.executors.values()]
    running = sum(len(executor.running) for executor in executors)
    return FunctionWork(
        name,
        pool.function.function_id,
        len(jobs_of(pool)) - running,
        running,
        entry.schedule,
    )


def jobs_of(pool: Pool) -> list[Job]:
    """The jobs of a function that have not ended."""
    lines = [job for executor in pool.executors.values() for job in executor.line]
    derived = [job for one in pool.derived for job in jobs_of(one)]
    return [*pool.queue, *pool.delayed, *lines, *derived]


class Last(Kept):
    """The numbers that were given last: to a deployment, and to a version of each app."""

    def __init__(self) -> None:
        self.number = 0
        self.versions: dict[str, int] = {}

    def next(self, app: str) -> tuple[int, int]:
        """A number, and a version of an app, that were never given before."""
        self.number += 1
        self.versions[app] = version = self.versions.get(app, 0) + 1
        return self.number, version

    def number_after(self, number: int) -> None:
        """Give deployments higher numbers than that."""
        self.number = max(self.number, number)

    def pack(self) -> bytes:
        """As a record."""
        return json.dumps([self.number, self.versions]).encode()

    def load(self, record: bytes) -> None:
        """What `pack` gave."""
        self.number, self.versions = json.loads(record)
