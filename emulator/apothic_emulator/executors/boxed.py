"""The first process of a container: the zygote of one executor, in another root than its host's.

It gets its channel, and what tells it that its host has ended, over a socket from outside. It ends
with its executor, and the container ends with it, with all that is in there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from _socket import socket
from typing import Any

from apothic_emulator.executors import groups, linux, orders, zygote
from apothic_emulator.executors.child import Executor
from apothic_emulator.executors.limits import Limits
from apothic_emulator.executors.orders import Message

STDLIB = "<stdlib>"
"""What stands in a module path for all that the container's own interpreter has."""
SECRETS = "/run/apothic/secrets"
"""Where a container whose function has secrets has some memory for a file of them."""
_FILE = f"{SECRETS}/variables.json"

_SLACK = 32 << 20
_VICTIM = "1000"
"""Of the processes in a container the kernel takes this one first when memory runs out."""
_CGROUP = "/sys/fs/cgroup/"
_COUNTS = (
    (2, f"{_CGROUP}memory.events", f"{_CGROUP}memory.peak"),
    (1, f"{_CGROUP}memory/memory.oom_control", f"{_CGROUP}memory/memory.max_usage_in_bytes"),
)
"""By version of control groups: what counts kills, and the most that was used."""


class Done(Exception):
    """The executor has ended, and that was told."""


class Place:
    """What a container has of its own, and executors in it have instead of their caller's."""

    def __init__(self, own: dict[str, str]) -> None:
        self._env = {**os.environ, **own}
        named = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
        self._path = [*named, *sys.path]
        self._cwd = os.getcwd()  # noqa: PTH109 - pathlib costs 5 ms

    def settle(self, spec: dict[str, Any]) -> None:
        """Make of what the host tells an executor what is true here."""
        spec["env"] = {**spec["env"], **self._env}
        at = spec["path"].index(STDLIB)
        spec["path"] = [*spec["path"][:at], *self._path, *spec["path"][at + 1 :]]
        spec["cwd"] = spec["cwd"] or self._cwd

    def keep(self, values: dict[str, str]) -> dict[str, str]:
        """Keep secrets in a file that is never on a disk and ends with the container.

        Only the user who runs the function can read it. Gives what it says.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(_FILE, "w", opener=lambda path, _: os.open(path, flags, 0o400)) as file:
            json.dump(values, file)
        with open(_FILE) as file:  # noqa: PTH123 - pathlib costs 5 ms
            kept: dict[str, str] = json.load(file)
        return kept


class BoxedZygote(zygote.Zygote):
    """A zygote for one executor. The kernel keeps the limits of the container, and it tells so."""

    def _watch(self, number: int, pid: int, allowed: Limits = zygote.UNLIMITED) -> zygote.Child:
        """The kernel counts exactly; the watchdog should not come first."""
        most = allowed.memory_bytes
        slack = max(_SLACK, most // 8) if most else 0
        return super()._watch(number, pid, allowed._replace(memory_bytes=most + slack))

    def _let_go(self) -> None:
        super()._let_go()
        try:
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(_VICTIM)
        except OSError:
            pass  # then it may be the zygote, and the container ends with it

    def _reap(self, pidfd: int) -> None:
        ended = self.children[pidfd]
        version, peak = _killed_at()
        if version and ended.number:
            self._say(Message(orders.OVER, ended.number, peak >> 20, version))
        super()._reap(pidfd)
        if ended.number:
            raise Done

    def _say(self, message: Message) -> None:
        if message.kind != orders.STARTED:  # its number means nothing outside
            super()._say(message)


def _killed_at() -> tuple[int, int]:
    """If the kernel has killed for want of memory: by which version of cgroups, the most used."""
    for version, kills, peak in _COUNTS:
        if groups.number(kills, "oom_kill"):
            return version, groups.number(peak)
    return 0, 0


def main(fds: list[int], said: bytes) -> None:
    """Run a zygote in this process: `fds` are its channel, its host's process, and its life."""
    control_fd, host_fd, _ = fds
    Executor.place = Place(json.loads(said))
    os.chdir("/")
    linux.set_name("apothic-zygote")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        zygote.run(BoxedZygote(socket(fileno=control_fd), host_fd))
    except Done:
        pass
