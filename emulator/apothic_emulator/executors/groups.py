"""Folders of control groups: their names, what is in them, how they go. Zygotes need it, too."""

from __future__ import annotations

import fcntl
import os

_NAME = "apothic-"


def name_of(pid: int, mark: str) -> str:
    """The name of a host's folder: it says whose it is, for whoever finds it afterwards."""
    return f"{_NAME}{pid}-{_started_at(pid)}-{mark}"


def write(path: str, value: object) -> None:
    """Write to a control file.

    Raises:
        OSError: the kernel refuses it.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def number(path: str, field: str = "") -> int:
    """A number in a file, the one behind `field` if there are several; 0 where there is none."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - see linux.py
            for line in file:
                name, _, found = line.rpartition(" ")
                if name == field:
                    return int(found)
    except (OSError, ValueError):
        pass
    return 0


def remove(folder: str) -> None:
    """Remove a group and those in it, as far as no process is left in them."""
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - see linux.py
            path = f"{folder}/{name}"
            if os.path.isdir(path):  # noqa: PTH112
                remove(path)
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        return  # gone, or in use: the next host that starts here tries again


def hold(folder: str) -> int:
    """A descriptor that shows, for as long as it is open, that a group is somebody's.

    Raises:
        OSError: there is no such group.
    """
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def _is_held(folder: str) -> bool:
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return True  # it is gone, or somebody else's
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def remove_dead(parent: str) -> None:
    """Remove what hosts have left that were killed.

    The number of a process says nothing where processes are counted apart, as in a container that
    shares the folder. So a host holds its own, too.

    Raises:
        OSError: there is no such group.
    """
    for name in os.listdir(parent):  # noqa: PTH208
        pid, _, rest = name.removeprefix(_NAME).partition("-")
        is_ours = name.startswith(_NAME) and pid.isdigit()
        is_dead = is_ours and _started_at(int(pid)) != rest.partition("-")[0]
        if is_dead and not _is_held(f"{parent}/{name}"):
            remove(f"{parent}/{name}")


def _started_at(pid: int) -> str:
    """When a process was started, so that a number that was used again is not mistaken."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return "gone"
