"""What a commit from another machine changes, as text: a line for each path.

    [path, what it becomes, what was known of it]     null takes it away; null if nothing was known
    [path, what was known of it]                      it lies below a file that the commit makes

Of all that was known, that is what a commit has to be compared with. Whoever reads it believes
nothing: paths are those of a volume, and an entry is one that a volume may have.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, cast

from apothic_backends.model.errors import PathRefused, UsageError, VolumeDamaged
from apothic_backends.volumes.manifest import (
    FILE,
    FOLDER,
    LINK,
    Changes,
    Entries,
    Entry,
    Manifest,
)
from apothic_backends.volumes.paths import inside, parents

_MOST = 1 << 62
_MOST_TARGET = 4095
_DIGITS = frozenset("0123456789abcdef")
_DIGEST = 64


class Wanted(NamedTuple):
    """What a commit changes, and what was known where that matters."""

    changes: Changes
    known: Entries


def encode(changes: Changes, known: Entries) -> bytes:
    """Changes to what was known, as text."""
    lines: list[Any] = [[path, ours, known.get(path)] for path, ours in changes.items()]
    files = {path for path, ours in changes.items() if ours is not None and ours.kind != FOLDER}
    for path, entry in known.items() if files else ():
        if path not in changes and not files.isdisjoint(parents(path)):
            lines.append([path, entry])
    return "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines).encode()


def decode(data: bytes) -> Wanted:
    """What `encode` was given, as far as it matters.

    Raises:
        UsageError: it is nothing that `encode` makes.
        PathRefused: a path leads out of the volume.
    """
    changes: dict[str, Entry | None] = {}
    known: dict[str, Entry] = {}
    try:
        for told, *ours, before in map(json.loads, data.splitlines()):
            path = _path(told)
            if before is not None:
                known[path] = _entry(before)
            if ours:
                (entry,) = ours
                changes[path] = None if entry is None else _entry(entry)
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise UsageError(f"these are no changes of a volume: {error!r:.200}") from None
    return Wanted(changes, known)


def checked(version: Manifest, where: str) -> Manifest:
    """A version as another machine tells it.

    Raises:
        VolumeDamaged: it has what no volume can have, such as a path that leads out of it.
    """
    try:
        for path, entry in version.entries.items():
            _path(path)
            _entry([*entry])
    except (ValueError, TypeError, PathRefused) as error:
        raise VolumeDamaged(f"{where} has what no volume can have: {error!r:.200}") from None
    return version


def _path(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError("a path that is no text")
    path = inside(told)
    if not path or path != told:
        raise PathRefused(f"{told!r:.200} is no path as a volume has it", path=told)
    return path


def _entry(told: Any) -> Entry:
    kind, mode, mtime_ns, size, content, rev = cast("list[Any]", told)
    numbers = (mode, mtime_ns, size, rev)
    if not all(type(number) is int and abs(number) < _MOST for number in numbers):
        raise ValueError("a number that is none")
    if kind not in (FILE, FOLDER, LINK) or min(mode, size, rev) < 0 or mode > 0o777:  # noqa: PLR2004 - all rights
        raise ValueError(f"an entry of kind {kind!r:.40}")
    if not isinstance(content, str) or "\0" in content or not _fits(kind, content):
        raise ValueError("a content that is none")
    return Entry(kind, mode, mtime_ns, size, content, rev)


def _fits(kind: str, content: str) -> bool:
    if kind == FILE:
        return is_digest(content)
    return not content if kind == FOLDER else 0 < len(content) <= _MOST_TARGET


def is_digest(text: str) -> bool:
    """Whether it is what names a content."""
    return len(text) == _DIGEST and _DIGITS.issuperset(text)
