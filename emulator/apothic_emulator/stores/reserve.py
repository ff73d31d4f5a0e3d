"""Room on the disk that is held until there is no other, so that what makes room can be written.

    held ──a commit finds no room──► given up ──there is room for it again──► held

While it is given up nothing is to be added to the store: the room is for what takes out of it, for
what running jobs lead to, and for the end of the program.
"""

from __future__ import annotations

import os
from pathlib import Path

RESERVE_BYTES = 4 << 20


class Reserve:
    """A file of that size beside a store; what is in it does not matter."""

    def __init__(self, path: Path, nbytes: int = RESERVE_BYTES) -> None:
        self.path = path
        self.nbytes = nbytes
        self.is_held = False

    def take(self) -> bool:
        """Hold the room, if there is so much; whether it is held."""
        if not self.is_held:
            self.is_held = self._allocate()
        return self.is_held

    def _allocate(self) -> bool:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self.nbytes)
            finally:
                os.close(fd)
        except OSError:
            self.path.unlink(missing_ok=True)
            return False
        return True

    def give(self) -> bool:
        """Give the room up; False if it was not held."""
        was_held, self.is_held = self.is_held, False
        if was_held:
            self.path.unlink(missing_ok=True)
        return was_held
