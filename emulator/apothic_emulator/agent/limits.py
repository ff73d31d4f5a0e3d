"""How much memory, how many cores and how large files executors may use, and who sees to it.

memory: zygotes watch the executors that work (`watchdog`), and a control group, where one can be
made, sees what comes and goes between two looks.

cpu: a control group; else an executor is bound to cores that no other one is bound to, and to none
when there are no more such, since two busy ones must not share a core while another one is idle.

disk: no file that an executor writes grows larger than `disk_gb` (`file`). A quota for all of them
together is the file system's to keep, and only root may set one up; it is not tried.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.agent.cgroups import Groups, Wanted, find
from apothic_emulator.core.facts import Excess
from apothic_emulator.core.functions import NOTHING
from apothic_emulator.executors.limits import Limits

MODES = ("enforce", "warn", "off")
"""What is done about who uses more than it may; the first is what is done unless told else."""

_MODE, _GROUP = "APOTHIC_LIMITS", "APOTHIC_CGROUP"
_FIND_S = 2.0
_SLACK_MB = 32


class Keeper:
    """The limits of one host's executors.

    Raises:
        InvalidOption: `APOTHIC_LIMITS` is none of `MODES`.
    """

    def __init__(self) -> None:
        self.mode = os.environ.get(_MODE) or MODES[0]
        if self.mode not in MODES:
            raise InvalidOption(
                f"{_MODE}={self.mode!r}: it must be {', '.join(MODES[:-1])} or {MODES[-1]}",
                option=_MODE,
            )
        self.enforced = NOTHING.copy()
        """By what each limit is kept."""
        self.watches = self.mode != "off"
        """Whether zygotes have to look at the memory of executors that work."""
        self.relax: Callable[[int, int], None] = lambda _number, _limit_mb: None
        """Called, in any thread: an executor is watched under that limit from now on."""
        self._groups: Groups | None = None
        self._specs: dict[int, FunctionSpec] = {}
        self._bound: dict[int, frozenset[int]] = {}
        self._excess: dict[int, Excess] = {}
        self._warned: set[str] = set()
        self._is_found = threading.Event()

    def find(self) -> tuple[str, ...]:
        """Find out what can be done here, beside everything else; the folders that were made."""
        root = os.environ.get(_GROUP, "")
        groups = (
            find(os.urandom(4).hex(), root) if self.mode == "enforce" and root != "off" else None
        )
        if groups is not None:
            groups.failed = self._fall_back
            groups.held = self._relax
            self._groups = groups
        if self.mode == "warn":
            self.enforced["memory"] = "warning"
        elif self.mode == "enforce":
            self.enforced["memory"] = groups.kind.name if groups is not None else "watchdog"
            self.enforced["cpu"] = "quota" if self._has_quota else "affinity"
            self.enforced["disk"] = "file"
        self._is_found.set()
        return groups.folders if groups is not None else ()

    @property
    def _has_quota(self) -> bool:
        return self._groups is not None and self._groups.cpu is not None

    @property
    def wants_processes(self) -> bool:
        """Whether `started` is to be called."""
        is_possible = self._groups is not None or not self._is_found.is_set()
        return self.mode == "enforce" and is_possible

    def _fall_back(self) -> None:
        """Groups can be made here, but nobody can be put into them."""
        self.enforced["memory"] = "watchdog"
        if self._has_quota:
            self.enforced["cpu"] = "none"

    def _relax(self, number: int) -> None:
        """The kernel counts exactly; a zygote should not come first, only see what was before."""
        spec = self._specs.get(number)
        if spec is not None:
            self.relax(number, spec.memory_mb + max(_SLACK_MB, spec.memory_mb // 8))

    # --- an executor's life ---------------------------------------------------------------------

    def allow(self, number: int, spec: FunctionSpec) -> Limits:
        """What a new executor may use."""
        self._specs[number] = spec
        if self.mode == "off":
            return Limits()
        is_enforced = self.mode == "enforce"
        cores = self._bind(number, spec.cpu) if is_enforced and spec.cpu is not None else ()
        file_bytes = int(spec.disk_gb * 1e9) if is_enforced else 0
        return Limits(spec.memory_mb << 20, is_enforced, tuple(cores), file_bytes)

    def environment(self, spec: FunctionSpec) -> dict[str, str]:
        """How many threads numerical libraries should start, unless the user has said that."""
        name = "OMP_NUM_THREADS"
        if self.mode != "enforce" or spec.cpu is None or name in os.environ:
            return {}
        return {name: str(spec.cpu)}

    def _bind(self, number: int, count: int) -> frozenset[int]:
        """Cores of its own for an executor; none where a quota will do, or where there are none."""
        self._is_found.wait(_FIND_S)
        cores = os.sched_getaffinity(0)
        if self._has_quota or count >= len(cores):
            return frozenset()
        free = sorted(cores.difference(*self._bound.values()))
        if len(free) < count:
            return frozenset()
        at = os.getpid() % len(free)  # several programs should not all take the first one
        chosen = frozenset((free[at:] + free[:at])[:count])
        self._bound[number] = chosen
        return chosen

    def started(self, number: int, pid: int) -> None:
        """Its process is there."""
        spec = self._specs.get(number)
        if spec is not None and self._groups is not None:
            self._groups.put(number, Wanted(pid, spec.memory_mb, spec.cpu or 0))

    def over(self, number: int, peak_mb: int, cgroup: int = 0) -> None:
        """A zygote has found it above its limit, and kills it if that is enforced.

        With `cgroup` the kernel has found it, by that version of control groups.
        """
        spec = self._specs.get(number)
        if spec is None:
            return
        self._excess[number] = Excess(
            spec.memory_mb, peak_mb, f"cgroup-v{cgroup}" if cgroup else "watchdog"
        )
        if self.mode == "warn" and spec.name not in self._warned:
            self._warned.add(spec.name)
            print(  # noqa: T201 - the user has asked to be told
                f"apothic: {spec.name} uses {peak_mb} MB, more than memory_mb={spec.memory_mb} "
                f"allows; nothing is done about it ({_MODE}=warn)",
                file=sys.stderr,
            )

    def excess(self, number: int) -> Excess | None:
        """Proof that it was killed, by signal 9, because it used more memory than it may."""
        if self.mode != "enforce":
            return None
        found = self._excess.get(number)
        if found is None and self._groups is not None:
            found = self._groups.excess(number)
        return found

    def ended(self, number: int) -> None:
        """It is gone, with all that it had started."""
        self._specs.pop(number, None)
        self._bound.pop(number, None)
        self._excess.pop(number, None)
        if self._groups is not None:
            self._groups.remove(number)

    def close(self) -> None:
        """All are gone."""
        if self._groups is not None:
            self._groups.close()
