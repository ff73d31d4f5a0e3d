"""What the disk says when it is full, or when it fails."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from apothic_backends.model.errors import StoreError, StoreFull

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PROBE_BYTES = 64 << 10


@contextmanager
def writing(place: Path) -> Generator[None]:
    """Turn what the system says into errors of ours.

    Raises:
        StoreFull: there is no room left.
        StoreError: it cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise full(place, str(error)) from error
        raise StoreError(f"{place} cannot be written: {error}", path=str(place)) from error


def full(place: Path, why: str) -> StoreFull:
    """The error for a disk without room."""
    return StoreFull(
        f"no room left for the state in {place} ({why}); what it held is intact. Free some space, "
        "or raise the quota: it goes on by itself. What makes room still works",
        path=str(place),
    )


def has_no_room(folder: Path) -> bool:
    """Whether a failed write was for want of room; found out by writing."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return True
    probe = folder / f".probe-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in NO_ROOM
    finally:
        probe.unlink(missing_ok=True)
    return False


def room_in(folder: Path) -> int:
    """How many bytes could be written there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fsync_folder(folder: Path) -> None:
    """Make durable which files there are."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
