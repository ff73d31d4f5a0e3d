"""Where the volumes of this process are, and which of them it has mounted."""

from __future__ import annotations

from typing import Protocol

from apothic_backends.connection import connected
from apothic_backends.volumes.local import Volumes


class Mounted(Protocol):
    """A volume at a path of this process."""

    volume: str
    path: str

    def commit(self, on_conflict: str, fence: int) -> int:
        """Make what was written the newest version; its number."""
        ...

    def reload(self) -> int:
        """See the newest version; its number."""
        ...


mounted: list[Mounted] = []
"""What functions of this process have mounted."""
_local = Volumes()


def volumes() -> Volumes:
    """Those of the backend if it has some elsewhere, else those of this machine.

    They are files, so asking for them opens no backend.
    """
    elsewhere: Volumes | None = getattr(connected(), "volumes", None)
    return elsewhere or _local


def mounts_of(volume: str) -> list[Mounted]:
    """Where this process has a volume mounted."""
    return [mount for mount in mounted if mount.volume == volume]
