"""All that runs or waits at one moment, for people who look on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apothic_backends.model.agents import Depth, Overview, Waiting, WorkerSnapshot
from apothic_emulator.core.agents import Agents
from apothic_emulator.core.executors import Executor
from apothic_emulator.core.ledger import Ledger
from apothic_emulator.core.partitions import Queue
from apothic_emulator.core.pools import Pool
from apothic_emulator.core.reasons import gpus_of, snapshot, why


def overview(
    ledger: Ledger,
    pools: Mapping[int, Pool],
    agents: Agents,
    queues: Iterable[Queue],
    *,
    most: int,
    now: float,
) -> Overview:
    """The busiest of each kind come first, so that who sees only some sees those."""
    workers = [_worker(agents, executor) for executor in ledger.executors.values()]
    busy = [it for it in _functions(agents, pools, now).values() if it.running or it.waiting]
    full = [it for it in map(_depth, queues) if it.ready or it.claimed]
    workers.sort(key=lambda it: (-len(it.jobs), it.number))
    busy.sort(key=lambda it: -it.running - it.waiting)
    full.sort(key=lambda it: -it.ready - it.claimed)
    return Overview(
        tuple(workers[:most]),
        tuple(busy[:most]),
        tuple(full[:most]),
        tuple(snapshot(agents, agent) for agent in agents.far.values()),
        gpus_of(agents, agents.home),
        len(workers),
        len(busy),
        len(full),
    )


def _worker(agents: Agents, executor: Executor) -> WorkerSnapshot:
    spec = executor.function.spec
    return WorkerSnapshot(
        executor.number,
        spec.app_name,
        spec.name,
        agents.far[executor.agent].name if executor.agent else "",
        executor.status.value,
        executor.gpus,
        tuple(job.job_id for job in executor.line),
    )


def _depth(queue: Queue) -> Depth:
    counts = [partition.counts() for partition in queue.partitions.values()]
    claimed = sum(it.claimed for it in counts)
    return Depth(queue.name, sum(it.ready + it.delayed for it in counts), claimed)


def _functions(
    agents: Agents, pools: Mapping[int, Pool], now: float
) -> dict[tuple[str, str], Waiting]:
    """All versions of a function are one here."""
    found: dict[tuple[str, str], Waiting] = {}
    for pool in pools.values():
        spec = pool.function.spec
        name = spec.app_name, spec.name
        running = sum(len(executor.line) for executor in pool.executors.values())
        waiting = len(pool.queue) + len(pool.delayed)
        reason = why(agents, pool.queue[0], now) if pool.queue else ""
        so_far = found.get(name) or Waiting(*name, 0, 0)
        found[name] = Waiting(
            *name, so_far.running + running, so_far.waiting + waiting, so_far.reason or reason
        )
    return found
