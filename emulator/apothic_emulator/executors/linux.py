"""The few system calls that Python's standard library does not have."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import termios
from collections.abc import Callable

Clock = Callable[[], float]

_P_ALL = 0
_ANY_CHILD = os.WEXITED | os.WNOHANG | os.WNOWAIT
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_count = bytearray(4)

_HIGH = min(500, os.sysconf("SC_OPEN_MAX") // 2)
"""Our descriptors lie above this, where code that closes "its" low ones does not meet them."""

flush_c_streams = _libc.fflush
"""Call with None: write out what C code has printed."""

_getenv = _libc["getenv"]
_getenv.argtypes, _getenv.restype = (ctypes.c_char_p,), ctypes.c_void_p

# By item, since an attribute of `pythonapi` is shared with user code, argument types included.
_set_async_exc = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)


def die_with_parent(signum: int) -> None:
    """Have this process killed when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, sessions of their own included."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Keep other processes of this user, root's aside, from reading what is in this one's memory.

    Nor can they read its environment or take its descriptors, and it leaves no core dump. What it
    starts by an exec is as open as ever.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def take_env(name: str) -> str:
    """The value of a variable, which is gone from then on: from where the kernel shows it, too."""
    value = os.environ.get(name, "")
    place = _getenv(os.fsencode(name))
    if place:
        ctypes.memset(place, 0, len(os.fsencode(value)))
    os.environ.pop(name, None)
    return value


def raise_fd(fd: int) -> int:
    """Move a descriptor out of the way of user code; children do not inherit it."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(fd)
    return high


def bind(cores: tuple[int, ...]) -> None:
    """Run on these cores only, as long as the machine has them."""
    try:
        os.sched_setaffinity(0, cores)
    except OSError:
        return  # they were taken from us meanwhile


def keep_files_below(nbytes: int) -> None:
    """Let no file grow larger that this process, or what it starts, writes (`EFBIG`)."""
    import resource  # few have such a limit  # noqa: PLC0415

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = nbytes if most == resource.RLIM_INFINITY else min(nbytes, most)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def set_name(name: str) -> None:
    """Show up as `name` in `ps` and `top` (15 characters)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def die_of(signum: int) -> None:
    """End this process by a signal's default action, from any thread and whatever is installed."""
    _libc.signal(signum, None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])
    signal.raise_signal(signum)


def raise_in_thread(ident: int, error: type[BaseException] | None) -> None:
    """Have a thread raise when it next runs Python code; None takes that back."""
    _set_async_exc(ident, ctypes.py_object(error) if error is not None else ctypes.py_object())


def has_unread(fd: int) -> bool:
    """Whether bytes lie in this pipe that were written and not read yet."""
    fcntl.ioctl(fd, termios.FIONREAD, _count)
    return any(_count)


def has_child() -> bool:
    """Whether this process has any child, dead or alive, without reaping it.

    By libc and not by `os.waitid`, whose exception for "none" costs more than the rest.
    """
    found: int = _libc.waitid(_P_ALL, 0, None, _ANY_CHILD)
    return found == 0
