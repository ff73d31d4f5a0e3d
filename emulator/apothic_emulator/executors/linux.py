"""The few system calls that Python's standard library does not have."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import termios
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

flush_c_streams = _libc.fflush
"""Call with None: write out what C code has printed."""


def die_with_parent(signum: int) -> None:
    """Have this process killed when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, sessions of their own included."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Show up as `name` in `ps` and `top` (15 characters)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def unread(fd: int) -> int:
    """Bytes that were written to this pipe and not read yet."""
    answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    count: int = struct.unpack("i", answer)[0]
    return count


def children() -> list[int]:
    """The process ids of this process's children, started by whichever thread."""
    found: list[int] = []
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        try:
            found += [int(pid) for pid in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has just ended
    return found


def has_child() -> bool:
    """Whether this process has any child, dead or alive, without reaping it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
