"""What is told of the files of a volume."""

from __future__ import annotations

from apothic_backends.model.record import Record


class VolumeFile(Record):
    """A file, folder or link in a volume: `kind` is "file", "folder" or "link".

    `size` is in bytes, `mtime` a Unix time, `rev` the version of the volume that changed it last,
    `target` where a link leads.
    """

    path: str
    kind: str
    size: int = 0
    mtime: float = 0.0
    mode: int = 0o644
    rev: int = 0
    target: str | None = None
