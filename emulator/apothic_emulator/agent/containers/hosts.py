"""Which containers of executors nobody holds any more.

Each says whose it is: this machine's boot, the process and when that was started. One whose process
is gone has ended with it, but for a daemon that died in between, or one that was never started.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from apothic_backends.home import home
from apothic_backends.volumes import disk
from apothic_emulator.agent.containers.plan import EXECUTOR, HOST

_reaped: set[int] = set()
"""Processes that have done it: this one, and what it was forked off."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_host() -> str:
    """The name of this process, which no other has had."""
    return f"{_world()}.{os.getpid()}.{_started(os.getpid())}"


def _world() -> str:
    """Where process ids mean what they mean here: this boot, and this namespace."""
    return f"{_BOOT.read_text().strip()}-{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116 - a number


def folder(executor: int) -> Path:
    """What an executor's container of this process has on the disk of its own; none is made."""
    return home() / "containers" / this_host() / str(executor)


def sweep() -> None:
    """Remove what containers of processes that have gone had on the disk."""
    folders = home() / "containers"
    for found in folders.iterdir() if folders.is_dir() else ():
        if is_left(found.name):
            disk.remove_tree(found)


def reap_once(client: Any) -> None:
    """The same as `reap` and `sweep`, the first time that this process does it."""
    if os.getpid() not in _reaped:
        _reaped.add(os.getpid())
        reap(client)
        sweep()


def reap(client: Any) -> list[str]:
    """Remove containers whose host has gone; their ids."""
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    removed: list[str] = []
    for found in client.containers(all=True, filters={"label": EXECUTOR}):
        if is_left(found["Labels"].get(HOST, "")):
            with suppress(docker.errors.APIError):  # somebody else was faster
                client.remove_container(found["Id"], force=True, v=True)
                removed.append(found["Id"])
    return removed


def is_left(host: str) -> bool:
    """Whether the process that is called so is gone; not, if it is on another machine."""
    boot, _, process = host.partition(".")
    pid, _, started = process.partition(".")
    if boot != _world():
        return False
    return not pid.isdigit() or str(_started(int(pid))) != started


def _started(pid: int) -> int:
    """When a process was started, in ticks since the boot; 0 if there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0
