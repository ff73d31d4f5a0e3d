"""What one version of a volume has, and how two sets of changes become one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from apothic_backends.model.errors import PathRefused, VolumeDamaged
from apothic_backends.volumes.paths import follow, parents

FILE, FOLDER, LINK = "file", "folder", "link"
MOST_DONE = 64
"""Tokens of commits that are kept: whoever asks once more asks for one of the latest."""


class Entry(NamedTuple):
    """A file, a folder or a symbolic link."""

    kind: str
    mode: int = 0o644
    mtime_ns: int = 0
    size: int = 0
    content: str = ""
    """The hash of a file's content, or the target of a link."""
    rev: int = 0
    """The version that changed it last."""

    def is_like(self, other: Entry | None) -> bool:
        """Whether the other says the same, whoever wrote it and when."""
        if other is None or self.kind != other.kind:
            return False
        if self.kind == FOLDER:
            return True
        return (self.mode, self.size, self.content) == (other.mode, other.size, other.content)


Entries = Mapping[str, Entry]
Changes = Mapping[str, Entry | None]
"""What to put at each path; None takes it away."""


class Manifest(NamedTuple):
    """One version of a volume. It is not to be changed."""

    rev: int = 0
    fence: int = 0
    """The highest that a commit has shown."""
    entries: Entries = {}  # noqa: RUF012 - never changed
    done: tuple[tuple[str, int], ...] = ()
    """The latest commits from elsewhere by their tokens, and which version each has made."""

    def target(self, path: str) -> str | None:
        """Where the link at a path leads."""
        return target(self.entries, path)


def target(entries: Entries, path: str) -> str | None:
    """Where the link at a path leads."""
    found = entries.get(path)
    return found.content if found is not None and found.kind == LINK else None


def encode(manifest: Manifest) -> bytes:
    """A manifest as the bytes of its file: one line for the whole, and one for each path."""
    done = {"done": manifest.done} if manifest.done else {}
    lines: list[Any] = [{"rev": manifest.rev, "fence": manifest.fence, **done}]
    lines += ([path, *entry] for path, entry in sorted(manifest.entries.items()))
    return "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines).encode()


def decode(data: bytes, digest: str, where: str) -> Manifest:
    """The manifest that its file has.

    Raises:
        VolumeDamaged: these are not the bytes that were written.
    """
    if digest_of(data) != digest:
        raise VolumeDamaged(f"{where} is not as it was written; restore the volume from a copy")
    head, *lines = map(json.loads, data.splitlines())
    done = tuple((token, rev) for token, rev in head.get("done", ()))
    entries = {path: Entry(*rest) for path, *rest in lines}
    return Manifest(head["rev"], head["fence"], entries, done)


def digest_of(data: bytes) -> str:
    """What tells a manifest from any other."""
    return hashlib.sha256(data).hexdigest()


def without_touches(known: Entries, head: Entries, changes: Changes) -> Changes:
    """The changes without files that we have only touched, and others have changed since."""
    return {
        path: ours
        for path, ours in changes.items()
        if ours is None or not ours.is_like(known.get(path)) or ours.is_like(head.get(path))
    }


def conflicts(known: Entries, head: Entries, changes: Changes) -> list[str]:
    """The paths that we change and that others have changed since `known`, in another way."""
    found: set[str] = set()
    for path, ours in changes.items():
        if _is_contested(path, ours, known, head):
            found.add(path)
        if ours is None:
            continue
        for above in parents(path):  # which others have made a file, and we do not unmake
            theirs = head.get(above)
            if theirs is not None and theirs.kind != FOLDER and above not in changes:
                found.add(above)
    files = {path for path, ours in changes.items() if ours is not None and ours.kind != FOLDER}
    for path in head.keys() - known.keys():  # which others have put below what we make a file
        if path not in changes:
            found |= files.intersection(parents(path))
    return sorted(found)


def _is_contested(path: str, ours: Entry | None, known: Entries, head: Entries) -> bool:
    before, theirs = known.get(path), head.get(path)
    if theirs is None:
        return before is not None and ours is not None and before.kind != FOLDER
    if theirs.is_like(before):
        return False
    return ours is None or not ours.is_like(theirs)


def merge(head: Manifest, changes: Changes, fence: int = 0, token: str = "") -> Manifest:
    """The next version: what the newest has, with our changes over it."""
    rev = head.rev + 1
    entries = dict(head.entries)
    for path, ours in changes.items():
        if ours is None:
            entries.pop(path, None)
        elif ours.is_like(entries.get(path)):
            entries[path] = ours._replace(rev=entries[path].rev)
        else:
            entries[path] = ours._replace(rev=rev)
    _fit_folders(entries, changes, rev)
    _check_links(entries, changes)
    done = (*head.done, (token, rev))[-MOST_DONE:] if token else head.done
    return Manifest(rev, max(head.fence, fence), entries, done)


def _fit_folders(entries: dict[str, Entry], changes: Changes, rev: int) -> None:
    """See to it that folders stand above everything, and files above nothing; ours come first."""
    for path, ours in changes.items():
        for above in parents(path) if ours is not None else ():
            if above not in entries or entries[above].kind != FOLDER:
                entries[above] = Entry(FOLDER, 0o755, rev=rev)
    for path in list(entries):
        for above in parents(path):
            # What we took away may have got something into it from somebody else.
            if entries.setdefault(above, Entry(FOLDER, 0o755, rev=rev)).kind != FOLDER:
                entries.pop(path, None)


def _check_links(entries: Entries, changes: Changes) -> None:
    """Refuse links that lead out, one by one or together."""
    if any(ours is not None and ours.kind == LINK for ours in changes.values()):
        for path, entry in entries.items():
            if entry.kind == LINK:
                check_link(path, entries)


def check_link(path: str, entries: Entries) -> None:
    """See to it that a link stays inside.

    Raises:
        PathRefused: it leads out of the volume. One that leads nowhere, or in a circle, is fine.
    """
    try:
        follow(path, lambda at: target(entries, at))
    except PathRefused as error:
        leads = target(entries, path)
        if error.data.get("is_circle"):
            return
        raise PathRefused(
            f"the link {path!r} leads to {leads!r}, out of its volume; link to a relative path "
            "inside, or copy the file",
            path=path,
            target=leads,
        ) from None
