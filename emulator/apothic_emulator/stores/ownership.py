"""Who owns a store on this machine: an exclusive lock on a file beside it.

The kernel gives the lock back when its process ends, however it ends, so whoever comes next takes
over at once. The file says who that was, and how many commits the store held at the least: a store
that holds fewer has lost something, whatever its own checks say.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import weakref
from binascii import crc32
from pathlib import Path
from typing import Any, cast

from apothic_backends.model.errors import StoreCorrupt, StoreError, StoreLocked

_held: weakref.WeakSet[Ownership] = weakref.WeakSet()

Owner = dict[str, Any]
"""Which process owns a store: `pid`, and the name of its `host`; empty if nobody knows."""


def this_process() -> Owner:
    """Whoever this is."""
    return {"pid": os.getpid(), "host": socket.gethostname()}


def name_of(owner: Owner) -> str:
    """An owner, for people."""
    if owner == this_process():
        return "this very program"
    return f"process {owner['pid']} on {owner['host']}" if owner else "another program"


class Ownership:
    """The right to use a store, and the file that grants it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self.commits = 0
        """How many commits the store held when that was written down last."""

    def take(self) -> None:
        """Take the lock.

        Raises:
            StoreLocked: another process holds it, or another backend of this one.
            StoreCorrupt: the file was changed by somebody else.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, self.path)
            said = _understood(fd, self.path)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self.commits = int(said.get("commits", 0))
        _held.add(self)

    def note(self, commits: int) -> None:
        """Write down, durably, that the store holds this many commits, and who owns it."""
        about = {**this_process(), "commits": commits}
        text = json.dumps(about).encode()
        os.pwrite(self._fd, b"%08x %s\n" % (crc32(text), text.ljust(_WIDTH)), 0)
        os.fsync(self._fd)
        self.commits = commits

    def give_back(self) -> None:
        """Let the lock go."""
        fd, self._fd = self._fd, -1
        _held.discard(self)
        if fd >= 0:
            os.close(fd)


_WIDTH = 240
"""One length for all, so that the file is overwritten in place and never half as long."""


def _read(fd: int) -> dict[str, Any] | None:
    """What the file says: nothing if it is new, None if that is damaged."""
    said = os.pread(fd, 4096, 0)
    if not said:
        return {}
    checksum, _, text = said.rstrip(b"\n").partition(b" ")
    try:
        is_whole = int(checksum, 16) == crc32(text.rstrip(b" "))
        return cast("dict[str, Any]", json.loads(text)) if is_whole else None
    except ValueError:
        return None


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreError(f"{path} cannot be locked: {error}") from error
        raise _locked(path, _read(fd) or {}) from None


def _understood(fd: int, path: Path) -> dict[str, Any]:
    said = _read(fd)
    if said is None:
        raise StoreCorrupt(
            f"{path} is damaged, so it cannot be told whether its store is whole. Go back to a "
            "copy (apothic state load), or delete this file to take the store as it is",
            path=str(path),
        )
    return said


def _locked(path: Path, said: dict[str, Any]) -> StoreLocked:
    owner: Owner = {key: said[key] for key in ("pid", "host") if key in said}
    return StoreLocked(
        f"the state at {path.with_suffix('')} is in use by {name_of(owner)}. End that first, or "
        "give this one a state of its own with APOTHIC_NAMESPACE or APOTHIC_STATE",
        path=str(path),
        owner=owner,
    )


def forget(path: Path) -> None:
    """What the file says of its store counts no more: that was put back from a copy.

    Raises:
        StoreLocked: somebody uses it.
    """
    if not path.exists():
        return
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _lock(fd, path)
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def is_owned(path: Path) -> bool:
    """Whether some process holds the lock now."""
    ownership = Ownership(path)
    if not path.exists():
        return False
    try:
        ownership.take()
    except StoreLocked:
        return True
    except StoreCorrupt:
        return False
    ownership.give_back()
    return False


def _let_go() -> None:
    """In a fork: the lock belongs to the parent, and must not outlive it here."""
    for ownership in list(_held):
        ownership.give_back()


os.register_at_fork(after_in_child=_let_go)
