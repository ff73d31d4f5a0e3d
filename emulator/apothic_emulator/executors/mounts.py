"""A file system of one process's own, in which folders appear that the machine does not have.

`enter` gives this process a mount namespace: as root by itself, else together with a user namespace
of its own. Every path that was asked for is there then, as an empty folder that nobody can write
to, until something is `attach`ed to it. Nothing is made on the disk. Where a path is missing, the
deepest folder above it that there is (`/`, if need be) is replaced by one in memory, with all that
is in it bound into its place; that one is read-only, so that a new file in it is refused and not
lost.

Needs one thread only: right after the fork.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apothic_emulator.executors import linux

_libc = ctypes.CDLL(None, use_errno=True)

_NEW_NS, _NEW_USER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_NOATIME, _NODIRATIME, _BIND, _REC = 1024, 2048, 4096, 16384
_UNBINDABLE, _PRIVATE, _RELATIME = 1 << 17, 1 << 18, 1 << 21
_ST_RELATIME = 4096
_DETACH, _NOFOLLOW = 2, 8
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
MOST_ENTRIES = 5000
"""Each of them is a mount, and a machine has room for some 100,000."""


class Unsupported(OSError):
    """This process cannot have a mount namespace of its own."""


class Overlay(NamedTuple):
    """What is written goes to `upper`; `lower` shows through where nothing was written."""

    path: str
    lower: str
    upper: str
    work: str


class Bind(NamedTuple):
    """Another folder, as it is."""

    path: str
    source: str
    read_only: bool = False


class Fuse(NamedTuple):
    """What somebody serves at the other end of a descriptor of `/dev/fuse`."""

    path: str
    name: str
    device: int
    read_only: bool = False


Mount = Overlay | Bind | Fuse


def enter(paths: Sequence[str], scratch: str) -> list[str]:
    """Have a file system of our own, with a folder at each path; `scratch` is some empty folder.

    Gives the folders that had to be made on the disk after all: below such as `/tmp`, where
    everybody may write, and what is written has to be seen by others.

    Raises:
        Unsupported: this machine, or container, does not allow that.
        OSError: a path is no folder, or what is above it has too much in it.
    """
    _unshare()
    made: list[str] = []
    missing: dict[str, list[str]] = {}
    for path in paths:
        real = os.path.realpath(path)
        above = _deepest(real)
        if above == real:
            _placeholder(real)
        elif os.stat(above).st_mode & stat.S_ISVTX:  # noqa: PTH116 - as below
            made += _make(above, real)
            _placeholder(real)
        else:
            missing.setdefault(above, []).append(real)
    for above in sorted(missing, key=len):
        _cover(above, missing[above], scratch)
    return made


def _unshare() -> None:
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_NS) == 0:
        pass
    elif _libc.unshare(_NEW_NS | _NEW_USER) == 0:
        linux.die_with_parent(9)  # new rights may have cancelled it
        try:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        except OSError as error:
            raise Unsupported(*error.args) from error
    else:
        number = ctypes.get_errno()
        raise Unsupported(number, os.strerror(number))
    try:
        _mount(None, "/", None, _REC | _PRIVATE)  # first, or others would see what we do
    except OSError as error:
        raise Unsupported(*error.args) from error


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _deepest(path: str) -> str:
    """The path, or the nearest folder above it that there is."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)  # noqa: PTH120 - pathlib costs 5 ms
    if not os.path.isdir(path):  # noqa: PTH112 - as above
        raise NotADirectoryError(20, "it is no folder", path)
    return path


def _make(above: str, path: str) -> list[str]:
    made: list[str] = []
    for name in path[len(above) :].strip("/").split("/"):
        above = os.path.join(above, name)  # noqa: PTH118 - as above
        os.mkdir(above, 0o700)  # noqa: PTH102 - as above
        made.append(above)
    return made


def _placeholder(path: str) -> None:
    _mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV, "size=4k,mode=755")


# --- in place of a folder, one that has more in it ------------------------------------------------


def _cover(above: str, paths: Iterable[str], scratch: str) -> None:
    if above == "/":
        _fill("/", scratch, paths)
        _pivot(scratch)
        return
    source = os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _fill(above, above, paths, f"/proc/self/fd/{source}")
    finally:
        os.close(source)


def _fill(above: str, target: str, paths: Iterable[str], source: str | None = None) -> None:
    """Mount a folder in memory at the target that has all that is in `above`, and the paths."""
    source = source or above
    names = os.listdir(source)  # noqa: PTH208 - as above
    if len(names) > MOST_ENTRIES:
        raise OSError(28, f"it has {len(names)} entries, and {MOST_ENTRIES} can be bound", above)
    mode = stat.S_IMODE(os.stat(source).st_mode)  # noqa: PTH116 - as above
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, f"mode={mode:o}")
    _mount(None, target, None, _UNBINDABLE)  # or it would be bound into itself
    for name in names:
        _bind_into(f"{source}/{name}", f"{target}/{name}")
    for path in paths:
        inner = f"{target}/{path[len(above) :].lstrip('/')}"
        os.makedirs(inner, 0o755, exist_ok=True)  # noqa: PTH103 - as above
        _placeholder(inner)
    _mount(None, target, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _bind_into(source: str, target: str) -> None:
    status = os.lstat(source)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211 - as above
        return
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(target, 0o755)  # noqa: PTH102 - as above
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _mount(source, target, None, _BIND | _REC)


def _pivot(root: str) -> None:
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise Unsupported(38, f"pivot_root is not known for {os.uname().machine}")
    os.chdir(root)
    _check(_libc.syscall(number, b".", b"."), root)
    _check(_libc.umount2(b".", _DETACH), "/")
    os.chdir("/")


# --- what stands at a path ------------------------------------------------------------------------


def attach(mount: Mount) -> None:
    """Put something at a path that was entered.

    Raises:
        OSError: the kernel or the file system cannot do that.
    """
    path = os.path.realpath(mount.path)
    if isinstance(mount, Bind):
        _mount(mount.source, path, None, _BIND)
        if mount.read_only:
            _mount(None, path, None, _REMOUNT | _BIND | _RDONLY | _flags(path))
        return
    if isinstance(mount, Fuse):
        who = f"user_id={os.getuid()},group_id={os.getgid()}"
        options = f"fd={mount.device},rootmode=40000,{who},default_permissions,allow_other"
        flags = _NOSUID | _NODEV | (_RDONLY if mount.read_only else 0)
        _mount(mount.name, path, "fuse.apothic", flags, options)
        return
    # By descriptors, since paths may have commas and colons in them.
    opened = [os.open(p, os.O_PATH | os.O_CLOEXEC) for p in (mount.lower, mount.upper, mount.work)]
    try:
        lower, upper, work = (f"/proc/self/fd/{fd}" for fd in opened)
        options = f"userxattr,lowerdir={lower},upperdir={upper},workdir={work}"
        _mount("overlay", path, "overlay", _NOSUID | _NODEV, options)
    finally:
        for fd in opened:
            os.close(fd)


def detach(path: str, *, even_if_used: bool = False) -> bool:
    """Take away what stands at a path; False if somebody uses it.

    `even_if_used` takes it away from the path only: files that are open stay open.

    Raises:
        OSError: this process may not.
    """
    flags = _NOFOLLOW | (_DETACH if even_if_used else 0)
    if _libc.umount2(os.fsencode(os.path.realpath(path)), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number == 16:  # noqa: PLR2004 - EBUSY
        return False
    raise OSError(number, os.strerror(number), path)


def _flags(path: str) -> int:
    """The flags of a mount, which only its maker may take away."""
    has = os.statvfs(path).f_flag
    same = _NOSUID | _NODEV | _NOEXEC | _NOATIME | _NODIRATIME
    return has & same | (_RELATIME if has & _ST_RELATIME else 0)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    failed = _libc.mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if options is None else options.encode(),
    )
    _check(failed, target)


def _check(failed: int, path: str) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
