"""What the tests of misbehaving code share: a backend of their own, and looking for leaks."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from apothic import App, Function, Job, Retries
from apothic._connect import connected, use
from apothic_backends.registry import open_backend

PATIENCE_S = 10.0
"""How long to wait for what must happen; a test that gets there has failed."""

_PR_SET_CHILD_SUBREAPER = 36
AT_ONCE = Retries(max_retries=1, initial_delay=0)


def wait_until(fact: Callable[[], Any], what: str = "") -> Any:
    """Wait for something to become true, and give it back."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := fact()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain {what}"
        time.sleep(0.002)
    return value


def read_when_there(path: Path) -> str:
    """What another process writes to a file, once it is there and complete (ends in a newline)."""
    return str(
        wait_until(
            lambda: path.exists() and (text := path.read_text()).endswith("\n") and text, str(path)
        )
    ).strip()


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pid: int) -> None:
    """Wait until a process is gone."""
    wait_until(lambda: not is_alive(pid), f"for the end of {pid}")


def children(pid: int | None = None) -> set[int]:
    """The children of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        try:
            found |= set(map(int, (task / "children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(pid: int | None = None) -> set[int]:
    """Everything below a process."""
    below = children(pid)
    for child in list(below):
        try:
            below |= descendants(child)
        except FileNotFoundError:
            continue
    return below


def listening(tree: set[int]) -> set[str]:
    """Where these processes can be reached: by TCP and UDP, and by Unix sockets with a name."""
    files = [fd for pid in tree for fd in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {str(fd.readlink()) for fd in files if fd.is_symlink()}
    found: set[str] = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if f"socket:[{inode}]" in inodes and (state == "0A" or table.startswith("udp")):
                found.add(f"{table} {local}")
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[6]}]" in inodes and len(fields) > 7:
            found.add(f"unix {fields[7]}")
    return found


def name_of(pid: int) -> str:
    """What `ps` calls a process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def zygote() -> int:
    """The zygote of the backend that is in use; others may live, of backends that are not."""
    backend: Any = connected()
    pid: int = backend._host.agent.zygote.pid
    return pid


def open_files() -> dict[int, str]:
    """The descriptors of this process and what they lead to."""
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except FileNotFoundError:
            continue
    return found


def reaches_network(fd: int) -> bool:
    """Whether a descriptor of this process is a socket of the network."""
    try:
        found = socket.socket(fileno=fd)
    except OSError:  # no socket, or closed by now
        return False
    family = found.family
    found.detach()  # it is not ours to close
    return family in (socket.AF_INET, socket.AF_INET6)


def files_left_over() -> set[str]:
    """What programs are wont to leave behind."""
    return {str(p) for folder in ("/dev/shm", gettempdir()) for p in Path(folder).iterdir()}


@contextmanager
def nothing_leaks() -> Generator[None]:
    """A backend for the block alone; afterwards no process, descriptor or file of it is left.

    This process adopts whatever escapes, so that it is seen.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    processes, descriptors, files = children(), open_files(), files_left_over()
    before = use(None)
    try:
        yield
    finally:
        backend = connected()
        if backend is not None:
            backend.close()
        use(before)
    assert {name_of(pid): pid for pid in _adopted(processes)} == {}
    assert {fd: what for fd, what in open_files().items() if fd not in descriptors} == {}
    assert {f for f in files_left_over() - files if "apothic" in f} == set()


def _adopted(before: set[int]) -> set[int]:
    """Children that nobody here has started and that live; the dead ones are buried."""
    for pid in children() - before:
        if not is_alive(pid):
            os.waitpid(pid, 0)
    return children() - before


def runner(**options: Any) -> Function[..., Any]:
    """A function that calls what it is given, so that a test can say in place what goes wrong."""
    app = App("misbehaving")

    def run(action: Callable[..., Any], *args: Any) -> Any:
        return action(*args)

    function: Any = app.function(**options)(run)
    return function


def logs(job: Job[Any]) -> str:
    """What a job has printed so far."""
    return job.logs()


def new_backend() -> Any:
    """Another backend in this process."""
    return open_backend()
