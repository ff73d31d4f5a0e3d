"""Apothic with a store: jobs that are on disk when they are acknowledged, and restarts."""

from __future__ import annotations

import os
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from work import RECORD


class Durable:
    """Jobs that are queued behind a busy worker, each acknowledged by the control plane."""

    def __init__(self) -> None:
        import cloudpickle  # noqa: PLC0415 - only apothic needs these
        from apothic_backends.commands import RegisterFunction, SubmitJob  # noqa: PLC0415
        from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
        from apothic_backends.model.payloads import Payload  # noqa: PLC0415
        from apothic_backends.registry import open_backend  # noqa: PLC0415

        self._folder = tempfile.TemporaryDirectory()
        os.environ["APOTHIC_STATE"] = f"sqlite:{self._folder.name}/state.db"
        self._backend: Any = open_backend("local")
        spec = FunctionSpec("benchmarks", "hold", max_pending_tasks=10_000_000)
        code = Payload(cloudpickle.dumps(lambda _: time.sleep(3600)))
        function = self._backend.start(RegisterFunction(spec, code)).wait()
        first = Payload(cloudpickle.dumps(((0,), {})))
        for _ in range(64):  # one runs, and those that it takes ahead
            self._backend.start(SubmitJob(function, first)).wait()
        time.sleep(1.0)
        self._submit = lambda n: self._backend.start(SubmitJob(function, Payload(RECORD % n)))

    def write(self, n: int) -> None:
        """One write, acknowledged."""
        self._submit(n).wait()

    async def write_async(self, n: int) -> None:
        """The same, awaited."""
        await self._submit(n)

    def close(self) -> None:
        """Stop."""
        self._backend.close()

    def reload(self, jobs: int, parts: int, kind: str) -> float:
        """Seconds until a core knows again what another one has left, "queues" or "dicts"."""
        from apothic_emulator.core.journal import Journal  # noqa: PLC0415 - as above
        from apothic_emulator.core.plane import Plane  # noqa: PLC0415
        from apothic_emulator.host.commits import take_back  # noqa: PLC0415
        from apothic_emulator.stores.opening import open_store  # noqa: PLC0415

        folder = Path(self._folder.name) / kind
        if not folder.exists():
            _fill(open_store("sqlite", folder), jobs, PARTS[kind](parts))
        before = time.perf_counter()
        store = open_store("sqlite", folder)
        store.open()
        plane = Plane("again", journal=Journal())
        take_back(store, lambda records: plane.load(records, 1.0))
        taken = time.perf_counter() - before
        store.close()
        if len(plane.ledger.jobs) != jobs:
            raise ValueError(f"{len(plane.ledger.jobs)} jobs of {jobs}")
        return taken


def _queues(count: int) -> list[Any]:
    """Queues with an item each."""
    from apothic_backends.commands.queues import OpenQueue, PutItems  # noqa: PLC0415 - as above
    from apothic_backends.model.queues import joined  # noqa: PLC0415

    commands: list[Any] = [OpenQueue(f"q{n}") for n in range(count)]
    return commands + [PutItems(f"q{n}", joined([RECORD % n]), 1) for n in range(count)]


def _dicts(count: int) -> list[Any]:
    """Dicts with a key each."""
    from apothic_backends.commands.dicts import PutKey  # noqa: PLC0415 - as above
    from apothic_backends.model.payloads import Payload  # noqa: PLC0415

    return [PutKey(f"d{n}", "key", Payload(b"1"), create=True) for n in range(count)]


PARTS = {"queues": _queues, "dicts": _dicts}


def _fill(store: Any, jobs: int, others: list[Any]) -> None:
    """Leave jobs that wait, and what else these commands make."""
    from apothic_backends.commands import RegisterFunction, SubmitJob  # noqa: PLC0415 - as above
    from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415
    from apothic_backends.model.payloads import Payload  # noqa: PLC0415
    from apothic_emulator.core.facts import Asked  # noqa: PLC0415
    from apothic_emulator.core.journal import Journal  # noqa: PLC0415
    from apothic_emulator.core.plane import Plane  # noqa: PLC0415

    store.open()
    store.load()
    plane = Plane("before", journal=Journal())
    tokens = count()
    spec = FunctionSpec("benchmarks", "f", max_pending_tasks=jobs)
    commands: list[Any] = [RegisterFunction(spec, Payload(b""))]
    commands += [SubmitJob("functions:1", Payload(RECORD % n)) for n in range(jobs)]
    commands += others
    for first in range(0, len(commands), 1000):
        asked = [Asked(command, next(tokens)) for command in commands[first : first + 1000]]
        store.commit(plane.step(asked, 0.0).changes)
    store.close()


def open_subject(workers: int) -> Durable:
    """Start it."""
    del workers
    return Durable()
