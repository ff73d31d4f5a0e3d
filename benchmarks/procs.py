"""What the kernel knows of a process and everything below it: CPU, memory, wake-ups."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def cpu_us(root: int) -> float:
    """Microseconds of CPU, user and system, that the tree's living threads have used.

    From the scheduler's own nanoseconds: `getrusage` of another process counts in steps of 10 ms.
    """
    return sum(_cpu_ns(task) for pid in tree(root) for task in _tasks(pid)) / 1000


def started(pid: int) -> int:
    """When the process began, in ticks since the machine did; 0 when it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] != "Z" else 0


def _cpu_ns(task: Path) -> int:
    text = _read(task / "schedstat")
    return int(text.split()[0]) if text else 0


def switches(root: int) -> int:
    """How often the tree's threads were switched, by their own will or against it."""
    total = 0
    for pid in tree(root):
        for task in _tasks(pid):
            for line in _read(task / "status").splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
    return total


def pss_bytes(root: int) -> int:
    """Memory of the tree, pages that several processes share counted once."""
    return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in tree(root)) * 1024


def rss_bytes(pid: int) -> int:
    """Memory of one process."""
    return _kib(pid, "status", "VmRSS:") * 1024


def peak_rss_bytes(pid: int) -> int:
    """The most memory that one process has had since `reset_peak`."""
    return _kib(pid, "status", "VmHWM:") * 1024


def reset_peak() -> None:
    """Let the peak of this process start again from what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def wait_for_quiet(at_most_s: float = 2.0, busy_below: float = 0.12) -> bool:
    """Wait until the machine does nothing else; False when it never came to rest."""
    deadline = time.monotonic() + at_most_s
    while True:
        busy_before, all_before = _machine()
        time.sleep(0.1)
        busy, everything = _machine()
        if busy - busy_before <= busy_below * (everything - all_before):
            return True
        if time.monotonic() > deadline:
            return False


def _machine() -> tuple[int, int]:
    fields = [int(value) for value in _read(PROC / "stat").splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _tasks(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()


def _kib(pid: int, file: str, field: str) -> int:
    for line in _read(PROC / str(pid) / file).splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0


def _read(path: Path) -> str:
    """The text of a file in /proc, empty when its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def kill_tree(root: int) -> None:
    """End the process and everything below it at once."""
    for pid in reversed(tree(root)):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
