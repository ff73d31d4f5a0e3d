"""All that a program has started, wherever it went."""

from __future__ import annotations

import os

_PASSES = 64
"""How often to look again: what is started between two looks is found by the next."""


def kill(pid: int | None, mark: str) -> None:
    """Kill a program with its descendants, its session, and whoever has its mark."""
    for _ in range(_PASSES):
        found = _members(pid, mark)
        if not found:
            return
        _kill(found)


def kill_all() -> None:
    """Kill all descendants of this process, and wait for them."""
    for _ in range(_PASSES):
        found = _descendants({os.getpid()}, _processes())
        if not found:
            return
        _kill(found)
        for one in found:
            try:
                os.waitpid(one, 0)
            except ChildProcessError:
                continue


def _kill(pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, 9)
        except (ProcessLookupError, PermissionError):
            continue


def _members(pid: int | None, mark: str) -> set[int]:
    processes = _processes()
    wanted = mark.encode()
    found = {one for one in processes if wanted in _environment(one)}
    if pid is not None:
        found |= {one for one, (_parent, session) in processes.items() if session == pid}
        found |= {pid} & processes.keys()
    found |= _descendants(found, processes)
    return found - {os.getpid()}


def _descendants(roots: set[int], processes: dict[int, tuple[int, int]]) -> set[int]:
    found: set[int] = set()
    while new := {
        one
        for one, (parent, _session) in processes.items()
        if (parent in roots or parent in found) and one not in found
    }:
        found |= new
    return found


def _processes() -> dict[int, tuple[int, int]]:
    """The parent and the session of each process that has not ended."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
        if len(fields) > 3 and fields[0] not in {b"Z", b"X"}:  # noqa: PLR2004 - proc(5)
            found[int(name)] = (int(fields[1]), int(fields[3]))
    return found


def _environment(pid: int) -> list[bytes]:
    return _read(f"/proc/{pid}/environ").split(b"\0")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""
