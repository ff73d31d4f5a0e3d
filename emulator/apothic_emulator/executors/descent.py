"""Who descends from whom, as `/proc` tells: for agents, too, so that no module of C is needed."""

from __future__ import annotations

import os


def children(pid: int | None = None) -> list[int]:
    """The process ids of a process's children, started by whichever thread; of this one's own.

    Raises:
        OSError: there is no such process.
    """
    found: list[int] = []
    tasks = f"/proc/{pid or os.getpid()}/task"
    for task in os.listdir(tasks):  # noqa: PTH208 - pathlib doubles the start of a zygote
        try:
            with open(f"{tasks}/{task}/children", encoding="ascii") as file:  # noqa: PTH123
                found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has just ended
    return found


def tree(pid: int) -> list[int]:
    """A process and everything below it, as far as it can be seen."""
    found = [pid]
    for member in found:
        try:
            found += children(member)
        except OSError:
            continue  # it has just ended
    return found
