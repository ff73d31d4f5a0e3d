"""Which volumes this process has mounted."""

from __future__ import annotations

from typing import Protocol


class Mount(Protocol):
    """A volume at a path of this process."""

    volume: str
    path: str

    def commit(self, on_conflict: str, fence: int) -> int:
        """Make what was written the newest version; its number."""
        ...

    def reload(self) -> int:
        """See the newest version; its number."""
        ...


here: list[Mount] = []
"""What functions of this process have mounted."""


def mounts_of(volume: str) -> list[Mount]:
    """Where this process has a volume mounted."""
    return [mount for mount in here if mount.volume == volume]
