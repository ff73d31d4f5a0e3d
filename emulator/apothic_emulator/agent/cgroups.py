"""Groups of processes that the kernel keeps within limits, where this user may make some.

    <the group that this program is in>/apothic-PID-START-MARK/EXECUTOR

Whether that is possible is found by doing it. Groups are made below the program's own, so that
limits which others have set for the program stay; nothing else is moved or changed.

Moving a process takes the kernel up to 30 ms (it waits until every core has passed by), and nobody
can make or remove a group meanwhile. So a thread of its own does it, a while after an executor has
started. What processes have touched before is not counted here, but the watchdog counts it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from apothic_emulator.core.facts import Excess
from apothic_emulator.executors import descent, groups

_MOUNTS = "/proc/self/mountinfo"
_OWN = "/proc/self/cgroup"
_PERIOD_US = 100_000
_PATIENCE_S = 0.1
"""How long an executor has to live: programs that end sooner should not wait for it."""


class Kind(NamedTuple):
    """The names of a version and of its control files."""

    name: str
    memory: str
    swap: str
    quota: str
    kills: str
    peak: str


V1 = Kind(
    "cgroup-v1",
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "cpu.cfs_quota_us",
    "memory.oom_control",
    "memory.max_usage_in_bytes",
)
V2 = Kind("cgroup-v2", "memory.max", "memory.swap.max", "cpu.max", "memory.events", "memory.peak")


class Wanted(NamedTuple):
    """A process to be put into a group; `cores` is 0 for all."""

    pid: int
    memory_mb: int
    cores: int


class Groups:
    """One group for each executor, in one folder for this host."""

    def __init__(self, kind: Kind, memory: str, cpu: str | None) -> None:
        self.kind = kind
        self.memory = memory
        self.cpu = cpu
        self.folders = (memory,) if cpu is None or cpu == memory else (memory, cpu)
        self.failed: Callable[[], None] = lambda: None
        """Called, in the thread, when an executor could not be put in one."""
        self.held: Callable[[int], None] = lambda _: None
        """Called, in the thread, with the number of an executor that has been put in one."""
        self._held: list[int] = []
        with suppress(OSError):  # it is gone again: then nobody can be put in, which is told
            self._held += map(groups.hold, self.folders)
        self._limits: dict[int, int] = {}
        """What the executors may use that are in a group, in megabytes."""
        self._wanted: dict[int, Wanted] = {}
        self._ended: set[int] = set()
        self._news = threading.Event()
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, number: int, wanted: Wanted) -> None:
        """Have an executor's process, and what it started, put into a group of its own."""
        self._wanted[number] = wanted
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="apothic-groups", daemon=True)
            self._thread.start()
        self._news.set()

    def excess(self, number: int) -> Excess | None:
        """Proof that the kernel has killed a process of this executor's for want of memory."""
        folder, limit_mb = f"{self.memory}/{number}", self._limits.get(number)
        if limit_mb is None or not groups.number(f"{folder}/{self.kind.kills}", "oom_kill"):
            return None
        peak = groups.number(f"{folder}/{self.kind.peak}")
        return Excess(limit_mb, peak >> 20 or limit_mb, self.kind.name)

    def remove(self, number: int) -> None:
        """An executor has ended with all that it had started."""
        self._wanted.pop(number, None)
        if number in self._limits:
            self._ended.add(number)
            self._news.set()

    def close(self) -> None:
        """All have ended."""
        self._is_closing.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        for folder in self.folders:
            groups.remove(folder)
        while self._held:
            os.close(self._held.pop())

    def _run(self) -> None:
        while not self._is_closing.wait(_PATIENCE_S):
            self.work()
            self._news.wait()
            self._news.clear()

    def work(self) -> None:
        """Do what is to be done by now; the thread calls it."""
        while self._ended:
            number = self._ended.pop()
            self._limits.pop(number, None)
            for folder in self.folders:
                groups.remove(f"{folder}/{number}")
        for number in list(self._wanted):
            wanted = self._wanted.pop(number, None)
            if wanted is None:
                continue  # it has ended meanwhile
            self._limits[number] = wanted.memory_mb
            try:
                self._put(number, wanted)
            except OSError:
                self.failed()
            else:
                self.held(number)

    def _put(self, number: int, wanted: Wanted) -> None:
        pid, memory_mb, cores = wanted
        folders = [f"{folder}/{number}" for folder in self.folders]
        for folder in folders:
            os.mkdir(folder)  # noqa: PTH102 - no pathlib here: it costs 5 ms at the start
        memory = folders[0]
        groups.write(f"{memory}/{self.kind.memory}", memory_mb << 20)
        self._forbid_swap(memory, memory_mb)
        if cores and self.cpu is not None:
            quota = cores * _PERIOD_US
            text = quota if self.kind is V1 else f"{quota} {_PERIOD_US}"
            groups.write(f"{folders[-1]}/{self.kind.quota}", text)
        for folder in folders:
            _move(pid, f"{folder}/cgroup.procs")

    def _forbid_swap(self, folder: str, memory_mb: int) -> None:
        """Where the kernel counts swap; else what is swapped out is not limited."""
        path = f"{folder}/{self.kind.swap}"
        if os.path.exists(path):  # noqa: PTH110
            groups.write(path, memory_mb << 20 if self.kind is V1 else 0)


def _move(pid: int, procs: str) -> None:
    """Move a process, and what it has started meanwhile."""
    moved: set[int] = set()
    while new := [member for member in descent.tree(pid) if member not in moved]:
        for member in new:
            moved.add(member)
            try:
                groups.write(procs, member)
            except ProcessLookupError:
                continue  # it has ended


# --- finding them -----------------------------------------------------------------------------


def find(mark: str, root: str = "") -> Groups | None:
    """Make a folder for this host's groups: in `root`, or where this process is; None if not."""
    name = groups.name_of(os.getpid(), mark)
    if root:
        is_v2 = os.path.exists(f"{root}/cgroup.controllers")  # noqa: PTH110
        return _open_v2(root, name) if is_v2 else _open_v1(root, None, name)
    own = _own_folders()
    if "memory" in own:
        return _open_v1(own["memory"], own.get("cpu"), name)
    return _open_v2(own[""], name) if "" in own else None


def _open_v1(memory: str, cpu: str | None, name: str) -> Groups | None:
    folder = _try(memory, name, V1.memory, -1)
    if folder is None:
        return None
    return Groups(V1, folder, _try(cpu, name, V1.quota, -1) if cpu else None)


def _try(parent: str, name: str, limit: str, unlimited: int) -> str | None:
    """Make a group and set a limit of it."""
    folder = f"{parent}/{name}"
    try:
        groups.remove_dead(parent)
        os.mkdir(folder)  # noqa: PTH102
        groups.write(f"{folder}/{limit}", unlimited)
    except OSError:
        groups.remove(folder)
        return None
    return folder


def _open_v2(parent: str, name: str) -> Groups | None:
    """Groups can have limits only where no process sits beside them, or at the very root."""
    folder = f"{parent}/{name}"
    try:
        groups.remove_dead(parent)
        if "memory" not in _enabled(parent):
            return None
        os.mkdir(folder)  # noqa: PTH102
        enabled = _enabled(folder)
    except OSError:
        enabled = ""
    if "memory" in enabled:
        return Groups(V2, folder, folder if "cpu" in enabled else None)
    groups.remove(folder)
    return None


def _enabled(folder: str) -> str:
    """Which controllers children of the folder have, after an attempt to give them ours."""
    path = f"{folder}/cgroup.subtree_control"
    for controllers in ("+memory +cpu", "+memory"):
        try:
            groups.write(path, controllers)
        except OSError:
            continue
        break
    with open(path, encoding="ascii") as file:  # noqa: PTH123
        return file.read()


def _own_folders() -> dict[str, str]:
    """By controller ("" for version 2) the folder of the group that this process is in."""
    mounted = _mounts()
    found: dict[str, str] = {}
    for line in _lines(_OWN):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in mounted:
                top, mount = mounted[controller]
                below = path.removeprefix(top) if top != "/" else path
                found[controller] = (mount + "/" + below.strip("/")).rstrip("/")
    return found


def _mounts() -> dict[str, tuple[str, str]]:
    """By controller what is mounted of its hierarchy, and where."""
    found: dict[str, tuple[str, str]] = {}
    for line in _lines(_MOUNTS):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            where = fields.split(" ")[3], fields.split(" ")[4]
            controllers = options.split(" ")[-1].split(",") if kind == "cgroup" else [""]
            for controller in controllers:
                found.setdefault(controller, where)
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []
