"""Who has files open below a folder: of this process and its children."""

from __future__ import annotations

import os
from typing import NamedTuple

from apothic_emulator.executors import descent


class Open(NamedTuple):
    """A file that is open, mapped into memory, or a working directory."""

    path: str
    can_write: bool


def open_below(folder: str) -> list[Open]:
    """What is open below a folder, each file once."""
    start = os.path.realpath(folder)
    found: dict[str, bool] = {}
    for pid in ("self", *map(str, descent.children())):
        for path, can_write in [*_descriptors(pid), *_maps(pid), *_directory(pid)]:
            if path == start or path.startswith(f"{start}/"):
                found[path] = found.get(path, False) or can_write
    return [Open(path, can_write) for path, can_write in sorted(found.items())]


def _descriptors(pid: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - pathlib costs 5 ms
            try:
                path = os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115 - as above
                mode = os.lstat(f"/proc/{pid}/fd/{fd}").st_mode
            except OSError:
                continue  # closed meanwhile
            found.append((path.removesuffix(" (deleted)"), bool(mode & 0o200)))
    except OSError:
        pass  # it has ended, or is somebody else's
    return found


def _maps(pid: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:  # noqa: PTH123 - as above
            for line in maps:
                words = line.split(maxsplit=5)
                if len(words) == 6 and words[5].startswith("/"):  # noqa: PLR2004 - with a path
                    rights = words[1]
                    path = words[5].rstrip("\n").removesuffix(" (deleted)")
                    found.append((path, "w" in rights and "s" in rights))
    except OSError:
        pass  # as above
    return found


def _directory(pid: str) -> list[tuple[str, bool]]:
    try:
        return [(os.readlink(f"/proc/{pid}/cwd"), False)]  # noqa: PTH115 - as above
    except OSError:
        return []
