"""Small disks, to be filled."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, nbytes: int) -> Generator[None]:
    """A file system of that size in a folder."""
    how = ["mount", "-t", "tmpfs", "-o", f"size={nbytes}", "tmpfs", str(folder)]
    subprocess.run(how, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether a file system can be mounted here; elsewhere `test_crashes` limits files instead."""
    if os.getuid():
        return False
    with tempfile.TemporaryDirectory() as name:
        try:
            with small_disk(Path(name), 1 << 16):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def fill(folder: Path, *, but: int = 0, name: str = "filler") -> Path:
    """Take all the room that there is, but for so many bytes; the file that has it."""
    disk = os.statvfs(folder)
    filler = folder / name
    filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - but)))
    return filler
