"""What is seen, as tables of cells: each a text and how urgent it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apothic_backends.model.agents import Overview, WorkerSnapshot
from apothic_backends.model.record import Record
from apothic_emulator.agent.nvml import Device
from apothic_emulator.top.scene import Scene

CALM, BUSY, FULL, BAD, DIM = "calm", "busy", "full", "bad", "dim"

UTIL, MEMORY = (10, 75), (10, 80)
"""From how many percent on something is busy, and full."""

_SHORT, _LONG = 12, 24
"""How much is shown of UUIDs that are longer than names which people give."""

_GB, _MIB = 10**9, 1 << 20


class Cell(Record):
    """A text in a table, and its style; none if that is empty."""

    text: str
    style: str = ""


class Table(Record):
    """Rows under a heading; `note` stands below them."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def tables(scene: Scene) -> list[Table]:
    """All of them: jobs, workers, GPUs, queues, machines."""
    seen = scene.overview
    if seen is None:
        return [gpu_table(scene)]
    found = [_functions(seen), _workers(seen), gpu_table(scene), _queues(seen), _machines(seen)]
    return [it for it in found if it.rows or it.title in ("jobs", "workers", "GPUs")]


def said(scene: Scene) -> str:
    """Why nothing is told of jobs."""
    nobody = "no control plane runs that could be asked: start `apothic dev` or `apothic serve`"
    return scene.silence or ("" if scene.overview else nobody)


def gpu_table(scene: Scene) -> Table:
    """The devices of this machine."""
    devices = scene.inventory.devices
    workers = () if scene.overview is None else scene.overview.workers
    short = _shortened([device.gpu.uuid for device in devices])
    rows = tuple(
        _device(device, short[device.gpu.uuid], workers, scene.usable) for device in devices
    )
    note = f"visible: {scene.visible}"
    if not devices:
        note = f"no GPU: {scene.inventory.reason}\n{note}"
    heads = ("#", "device", "uuid", "memory", "util", "temp", "used by")
    return Table("GPUs", heads, rows, note)


def _device(
    device: Device, uuid: str, workers: Iterable[WorkerSnapshot], usable: Sequence[str]
) -> tuple[Cell, ...]:
    gpu, is_told = device.gpu, not device.gpu.trouble
    name = f"  {gpu.name}" if gpu.parent else f"{gpu.name}  MIG on" if device.is_cut else gpu.name
    shown = (
        _memory(device) if is_told and not device.is_cut else Cell(""),
        _percent(device.util_percent) if is_told and not device.is_cut else Cell(""),
        Cell("" if device.temperature_c is None else f"{device.temperature_c} C"),
    )
    return (Cell(device.number), Cell(name), Cell(uuid), *shown, _users(device, workers, usable))


def _memory(device: Device) -> Cell:
    used, total = device.used_mb, device.gpu.memory_mb
    kind = "  unified" if device.gpu.is_unified else ""
    if used is None:
        return Cell(f"{_gb(total)} GB{kind}")
    text = f"{_gb(used)} / {_gb(total)} GB{kind}"
    return Cell(text, _style(used * 100 // (total or 1), MEMORY))


def _percent(value: int | None) -> Cell:
    return Cell("n/a", DIM) if value is None else Cell(f"{value} %", _style(value, UTIL))


def _style(percent: int, steps: tuple[int, int]) -> str:
    busy, full = steps
    return CALM if percent < busy else BUSY if percent < full else FULL


def _users(device: Device, workers: Iterable[WorkerSnapshot], usable: Sequence[str]) -> Cell:
    """Who has a device: workers, then other processes; or why nobody can have it."""
    gpu = device.gpu
    if gpu.trouble:
        return Cell(gpu.trouble, BAD)
    if device.is_cut:
        return Cell("")
    names = [_named(it) for it in workers if gpu.uuid in it.gpus and not it.machine]
    names = names or [f"{it.name} ({it.pid})" for it in device.processes]
    if names:
        return Cell(", ".join(names))
    if gpu.uuid not in usable:
        return Cell("not visible", DIM)
    return Cell(device.hidden or "free", DIM if device.hidden else CALM)


def _named(worker: WorkerSnapshot) -> str:
    return " ".join((worker.function_name, *worker.jobs))


def _functions(seen: Overview) -> Table:
    rows = tuple(
        (
            Cell(f"{it.app_name}/{it.function_name}"),
            Cell(str(it.running)),
            Cell(str(it.waiting), BUSY if it.waiting else ""),
            Cell(it.reason, DIM),
        )
        for it in seen.functions
    )
    more = _more(seen.function_count - len(rows))
    return Table("jobs", ("function", "running", "waiting", ""), rows, more)


def _workers(seen: Overview) -> Table:
    short = _shortened([uuid for it in seen.workers for uuid in it.gpus])
    rows = tuple(
        (
            Cell(str(it.number)),
            Cell(f"{it.app_name}/{it.function_name}"),
            Cell(it.machine or "here"),
            Cell(it.status, CALM if it.status == "ready" else BUSY),
            Cell(" ".join(short[uuid] for uuid in it.gpus)),
            Cell(" ".join(it.jobs)),
        )
        for it in seen.workers
    )
    heads = ("#", "function", "machine", "status", "GPUs", "jobs")
    return Table("workers", heads, rows, _more(seen.worker_count - len(rows)))


def _queues(seen: Overview) -> Table:
    rows = tuple(
        (Cell(it.queue), Cell(str(it.ready), BUSY if it.ready else ""), Cell(str(it.claimed)))
        for it in seen.queues
    )
    more = _more(seen.queue_count - len(rows))
    return Table("queues", ("queue", "messages", "claimed"), rows, more)


def _machines(seen: Overview) -> Table:
    rows = tuple(
        (
            Cell(it.name),
            Cell(it.status, CALM if it.status == "joined" else BAD),
            Cell(f"{it.cpu_taken:g} of {it.cpu:g}"),
            Cell(f"{it.memory_taken_mb:g} of {it.memory_mb}"),
            Cell(f"{sum(bool(gpu.taken_by) for gpu in it.gpus)} of {len(it.gpus)}"),
        )
        for it in seen.agents
    )
    return Table("agents", ("agent", "status", "cores", "memory MB", "GPUs"), rows)


def _more(count: int) -> str:
    return f"and {count} more" if count > 0 else ""


def _shortened(uuids: Sequence[str]) -> dict[str, str]:
    """How UUIDs begin, where that is enough to tell them apart."""
    known = {*uuids}
    is_enough = len({uuid[:_SHORT] for uuid in known}) == len(known)
    return {uuid: uuid[:_SHORT] if is_enough and len(uuid) > _LONG else uuid for uuid in known}


def _gb(megabytes: int) -> str:
    return f"{megabytes * _MIB / _GB:.1f}"


def lines_of(table: Table) -> list[str]:
    """A table as plain lines."""
    rows = [table.heads, *(tuple(cell.text for cell in row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows if table.rows]
    return [*lines, *table.note.splitlines()]
