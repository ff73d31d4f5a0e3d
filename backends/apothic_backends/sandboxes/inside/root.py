"""The root directory of a guest: what it may see of this machine, and nothing else.

    /usr and the like     of this machine, read-only
    /etc                  a few files, some made up
    /proc, /dev           its own processes, and the devices that are none
    /tmp, /dev/shm        in memory, of a limited size
    /workspace            the one place that stays, and may be written

It is built in a directory in memory that becomes the root, as the one before is taken away.
"""

from __future__ import annotations

import os

from apothic_backends.sandboxes.inside import kernel
from apothic_backends.sandboxes.inside.plan import WORKSPACE, Plan

INNER_ID = 1000
"""User and group of a guest, as it sees itself."""

_BASE = "/usr"  # any directory that there is everywhere: something is mounted there for a moment
_OLD = "/old"
_NEW = "/new"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    *("alternatives", "ld.so.cache", "localtime", "mime.types", "pki", "ssl/certs"),
    *("ssl/openssl.cnf", "ca-certificates", "java", "fonts"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_FILES = {
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_QUIET = kernel.NO_SUID | kernel.NO_DEV


def build(plan: Plan, uid: int) -> None:
    """Build it, and move there; `uid` is who the guest will be.

    Raises:
        OSError: the kernel, or the container that this is, does not allow it.
    """
    resolver = _read("/etc/resolv.conf") if plan.has_network else b""
    kernel.mount(None, "/", None, kernel.REC | kernel.PRIVATE)  # first, or others would see it
    kernel.mount("tmpfs", _BASE, "tmpfs", _QUIET, "mode=755,size=4m")
    for name in (_OLD, _NEW):
        os.mkdir(_BASE + name, 0o755)
    kernel.pivot_root(_BASE, _BASE + _OLD)
    os.chdir("/")
    kernel.mount(_NEW, _NEW, None, kernel.BIND)
    _show_system()
    _make_etc(uid, resolver)
    _make_devices(plan)
    kernel.mount("proc", _made("/proc"), "proc", _QUIET | 0x8)
    _mount_scratch("/tmp", plan.scratch_mb)  # noqa: S108 - it is made here
    for source, target in plan.shown:
        _bind(source, target, kernel.READ_ONLY | _QUIET)
    _bind(plan.workspace, WORKSPACE, _QUIET)
    for source, target, is_writable in plan.binds:
        _bind(source, target, _QUIET | (0 if is_writable else kernel.READ_ONLY))
    kernel.restrict(_NEW, kernel.READ_ONLY | _QUIET, is_recursive=False)
    os.chdir(_NEW)
    kernel.pivot_root(".", ".")
    kernel.detach(".")
    os.chdir("/")


def _made(path: str) -> str:
    """A directory in the new root."""
    os.makedirs(_NEW + path, 0o755, exist_ok=True)
    return _NEW + path


def _bind(source: str, target: str, attributes: int) -> None:
    """Show a file or directory of this machine, with what is mounted below it."""
    if os.path.isdir(_OLD + source):
        _made(target)
    else:
        _made(os.path.dirname(target))
        os.close(os.open(_NEW + target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    kernel.mount(_OLD + source, _NEW + target, None, kernel.BIND | kernel.REC)
    if attributes:
        kernel.restrict(_NEW + target, attributes)


def _show_system() -> None:
    for path in _SYSTEM:
        if os.path.islink(_OLD + path):
            os.symlink(os.readlink(_OLD + path), _NEW + path)
        elif os.path.isdir(_OLD + path):
            _bind(path, path, kernel.READ_ONLY | _QUIET)


def _make_etc(uid: int, resolver: bytes) -> None:
    etc = _made("/etc")
    for name in _ETC:
        real = os.path.realpath(f"{_OLD}/etc/{name}")
        if real.startswith(f"{_OLD}/") and os.path.exists(real):
            _bind(real[len(_OLD) :], f"/etc/{name}", kernel.READ_ONLY | _QUIET)
        elif os.path.islink(f"{_OLD}/etc/{name}"):
            os.symlink(os.readlink(f"{_OLD}/etc/{name}"), f"{etc}/{name}")
    users = f"root:x:0:0::/nonexistent:/bin/false\nsandbox:x:{uid}:{uid}::{WORKSPACE}:/bin/sh\n"
    files = {name: text.encode() for name, text in _FILES.items()}
    files["passwd"] = users.encode()
    files["group"] = f"root:x:0:\nsandbox:x:{uid}:\n".encode()
    if resolver:
        files["resolv.conf"] = resolver
    for name, content in files.items():
        _write(f"{etc}/{name}", content)


def _make_devices(plan: Plan) -> None:
    dev = _made("/dev")
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"/dev/{name}", kernel.NO_SUID)
    options = "newinstance,ptmxmode=0666,mode=600"
    kernel.mount("devpts", _made("/dev/pts"), "devpts", kernel.NO_SUID | 0x8, options)
    _mount_scratch("/dev/shm", plan.scratch_mb)  # noqa: S108 - it is made here
    for name, target in _LINKS.items():
        os.symlink(target, f"{dev}/{name}")


def _mount_scratch(path: str, size_mb: int) -> None:
    kernel.mount("tmpfs", _made(path), "tmpfs", _QUIET, f"mode=1777,size={size_mb}m")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(65536)
    except OSError:
        return b""


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    os.write(fd, content)
    os.close(fd)
