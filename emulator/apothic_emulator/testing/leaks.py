"""What a test has left running, by name."""

from __future__ import annotations

from pathlib import Path

from apothic_emulator.core.jobs import Job
from apothic_emulator.core.plane import Plane
from apothic_emulator.host.host import Host


def find_leaks(host: Host) -> list[str]:
    """Jobs that have not ended, a line each, with the processes that belong to them."""

    def unfinished(plane: Plane) -> list[tuple[int, str]]:
        jobs = [job for job in plane.ledger.jobs.values() if not job.is_final]
        return [(job.executor, _told(job)) for job in jobs]

    left = host.look(unfinished)
    workers = _workers(host.agent.zygote.pid) if left else {}
    return [text + _below(workers.get(executor)) for executor, text in left]


def _told(job: Job) -> str:
    return f"{job.job_id} {job.function.spec.name}() is {job.status.value}"


def _workers(zygote: int | None) -> dict[int, int]:
    """Process ids of executors by their numbers; the zygote names them so."""
    found: dict[int, int] = {}
    todo = _children(zygote) if zygote is not None else []
    while todo:
        pid = todo.pop()
        name = _read(pid, "comm")
        if name == "apothic-zygote":
            todo += _children(pid)
        elif name.startswith("apothic-"):
            found[int(name.removeprefix("apothic-"))] = pid
    return found


def _below(worker: int | None) -> str:
    """The process that a job runs in, and what its code has started there."""
    if worker is None:
        return ""
    started = [f"{pid} ({_read(pid, 'comm')})" for pid in _children(worker)]
    return f" in process {worker}" + (f", which started {', '.join(started)}" if started else "")


def _children(pid: int) -> list[int]:
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []  # it has ended meanwhile


def _read(pid: int, what: str) -> str:
    try:
        return Path(f"/proc/{pid}/{what}").read_text().strip()
    except OSError:
        return ""
