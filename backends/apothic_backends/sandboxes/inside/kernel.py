"""The system calls that Python's standard library does not have."""

from __future__ import annotations

import ctypes
import os
import struct

NEW_NS = 0x00020000
NEW_CGROUP = 0x02000000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_USER = 0x10000000
NEW_PID = 0x20000000
NEW_NET = 0x40000000

BIND = 0x1000
REC = 0x4000
PRIVATE = 1 << 18
DETACH = 2

READ_ONLY = 0x1
NO_SUID = 0x2
NO_DEV = 0x4

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITIES_V3 = 0x20080522
_EINVAL = 22
_SIGCHLD = 17
_SIG_BLOCK = 0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_libc.unshare(flags), "unshare")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    """Put something at a path; the arguments are the kernel's own."""
    result = _libc.mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if options is None else options.encode(),
    )
    _check(result, target)


def restrict(target: str, attributes: int, *, is_recursive: bool = True) -> None:
    """Add attributes (`READ_ONLY`, `NO_SUID`, `NO_DEV`) to a mount and to those below it."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = ctypes.c_uint(_AT_RECURSIVE if is_recursive else 0)
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        flags,
        wanted,
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(result, target)


def pivot_root(root: str, old: str) -> None:
    """Make `root` the root of this mount namespace; the one before is at `old` then."""
    number = _PIVOT_ROOT.get(os.uname().machine, -1)
    _check(_libc.syscall(number, os.fsencode(root), os.fsencode(old)), root)


def detach(path: str) -> None:
    """Take a mount away, with all below it."""
    _check(_libc.umount2(os.fsencode(path), DETACH), path)


def set_host_name(name: str) -> None:
    """The name of this machine, in this namespace."""
    _check(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def die_with_parent() -> None:
    """Have this process killed when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def be_visible(*, is_visible: bool) -> None:
    """Whether others of this user may look into this process: its memory, files, environment."""
    _libc.prctl(_PR_SET_DUMPABLE, int(is_visible), 0, 0, 0)


def forbid_new_privileges() -> None:
    """From now on no program gains rights by its set-user-id bit or its capabilities."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def filter_calls(program: bytes) -> None:
    """Have the kernel ask a program before each system call, from here on and for good."""
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    given = ctypes.create_string_buffer(head, len(head))
    address = ctypes.addressof(given)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0), "seccomp")


def interrupt_by_default() -> None:
    """Leave SIGINT to the kernel, which does not let a guest send it to its first process."""
    _libc.signal(2, None)


def children_that_end() -> int:
    """A descriptor that can be read when a child has ended; SIGCHLD itself is blocked then."""
    wanted = ctypes.create_string_buffer(128)
    _libc.sigemptyset(wanted)
    _libc.sigaddset(wanted, _SIGCHLD)
    _libc.sigprocmask(_SIG_BLOCK, wanted, None)
    fd: int = _libc.signalfd(-1, wanted, os.O_CLOEXEC | os.O_NONBLOCK)
    _check(fd, "signalfd")
    return fd


def drop_bounding_set() -> None:
    """No program that is started from here can ever gain a capability."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            if ctypes.get_errno() != _EINVAL:
                _check(-1, "bounding set")
            return  # there are no more


def drop_capabilities() -> None:
    """Have none, for good."""
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    none = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(header, none), "capset")
