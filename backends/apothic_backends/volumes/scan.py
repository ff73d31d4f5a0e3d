"""Look through a folder on the disk, never out of it, and see what has changed in it.

Every step goes by descriptor and follows no link, so that nobody can put a link in the way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from apothic_backends.model.errors import FileRefused
from apothic_backends.volumes.disk import open_folder
from apothic_backends.volumes.manifest import FILE, FOLDER, LINK, Entries, Entry
from apothic_backends.volumes.store import listed, permissions

_WHITEOUT = (stat.S_IFCHR, 0)
_OPAQUE = "user.overlay.opaque"


class Found(NamedTuple):
    """Something in a folder."""

    path: str
    status: os.stat_result
    folder: int
    """The folder that it is in, open while it is looked at."""

    @property
    def name(self) -> str:
        """Its own."""
        return self.path.rpartition("/")[2]

    def open(self) -> int:
        """Open the file; what has been put in its place meanwhile is not followed."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self.name, flags, dir_fd=self.folder)

    @property
    def is_whiteout(self) -> bool:
        """Whether an overlay says by it that the name is gone."""
        kind = stat.S_IFMT(self.status.st_mode)
        return (kind, self.status.st_rdev) == _WHITEOUT

    @property
    def hides(self) -> bool:
        """Whether an overlay says that nothing below this folder is seen any more."""
        if not stat.S_ISDIR(self.status.st_mode):
            return True
        fd = open_folder(self.name, self.folder)
        try:
            return os.getxattr(fd, _OPAQUE) == b"y"
        except OSError:
            return False
        finally:
            os.close(fd)


def walk(folder: int, above: str = "") -> Iterator[Found]:
    """Everything below an open folder, each folder before what is in it."""
    for name in sorted(os.listdir(folder)):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        yield Found(f"{above}{name}", status, folder)
        if stat.S_ISDIR(status.st_mode):
            inner = open_folder(name, folder)
            try:
                yield from walk(inner, f"{above}{name}/")
            finally:
                os.close(inner)


Take = Callable[[Found], Entry]
"""Brings in the content of a file."""


def entry_of(found: Found, take: Take) -> Entry | None:
    """Something found as a volume keeps it; None for what no volume can keep."""
    status = found.status
    mode, mtime_ns = permissions(status.st_mode), status.st_mtime_ns
    if stat.S_ISREG(status.st_mode):
        return take(found)
    if stat.S_ISDIR(status.st_mode):
        return Entry(FOLDER, mode, mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        leads = os.readlink(found.name, dir_fd=found.folder)
        return Entry(LINK, 0o777, mtime_ns, len(leads), leads)
    return None


def below(folder: int, take: Take, *, is_layer: bool = False) -> tuple[dict[str, Entry], list[str]]:
    """What is below a folder, and what an overlay's layer says is gone.

    Raises:
        FileRefused: there are pipes, devices or sockets.
    """
    there: dict[str, Entry] = {}
    gone: list[str] = []
    refused: list[str] = []
    for found in walk(folder):
        if is_layer and found.is_whiteout:
            gone.append(found.path)
            continue
        entry = entry_of(found, take)
        if entry is None:
            refused.append(found.path)
            continue
        there[found.path] = entry
        if is_layer and found.hides:
            gone.append(found.path)
    if refused:
        raise FileRefused(
            f"{listed(refused)}: a volume keeps files, folders and links, no pipes, devices or "
            "sockets; put them elsewhere",
            files=refused,
        )
    return there, gone


def changes_of(
    known: Entries, there: Entries, gone: Sequence[str] | None
) -> dict[str, Entry | None]:
    """What has changed: `there` in all, or where `gone` says what is not, over what is known."""
    changed: dict[str, Entry | None] = {}
    if gone is None:
        changed = dict.fromkeys(known.keys() - there.keys())
    else:
        hidden = set(gone)
        for path in known if hidden else ():
            if path not in there and _is_hidden(path, hidden):
                changed[path] = None
    for path, entry in there.items():
        if not _is_same(known.get(path), entry):
            changed[path] = entry
    return changed


def _is_hidden(path: str, hidden: set[str]) -> bool:
    while path:
        if path in hidden:
            return True
        path = path.rpartition("/")[0]
    return False


def _is_same(before: Entry | None, now: Entry) -> bool:
    """Whether nothing has changed, times of files included."""
    if before is None or not now.is_like(before):
        return False
    if now.kind == FOLDER:
        return now.mode == before.mode
    return now.kind != FILE or now.mtime_ns == before.mtime_ns
