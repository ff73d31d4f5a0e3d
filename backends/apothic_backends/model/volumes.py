"""What is told of the files of a volume."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.payloads import Payload
from apothic_backends.model.record import Record

PORTABLE, VAST_LOCAL = "portable", "vast_local"
"""Volumes that are wherever their functions are; and such as lie on one host."""

HOST: Final = "APOTHIC_HOST"
"""The environment variable that names the host that a machine plays; "local" otherwise."""

LOCAL_VOLUME: Final = "APOTHIC_LOCAL_VOLUME"
LOCAL_FOLDER: Final = "APOTHIC_LOCAL_FOLDER"
"""The environment variables that tell a rented machine which volume lies there, and where."""

MOST_PIECE: Final = 1 << 20
"""The most bytes of contents that travel at once."""

MOST_PIECES: Final = 256
"""The most pieces of contents that travel at once."""


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


class VolumeHead(Record):
    """A volume as its control plane has it: the newest version's number, digest and bytes.

    `volume_id` is of this one alone: a volume that is deleted and made again has another.
    """

    name: str
    volume_id: str
    kind: str
    host: str | None = None
    rev: int = 0
    digest: str = ""
    size: int = 0


class Piece(Record):
    """Where some bytes belong: in which content of how many bytes in all, and from where on.

    `parts` of the first piece of a file with holes says where it has data: "0-4096,8192-9000".
    """

    content: str
    at: int = 0
    length: int = 0
    size: int = 0
    parts: str = ""


class Pieces(Record):
    """Pieces of contents, and their bytes one after the other."""

    pieces: tuple[Piece, ...]
    data: Payload
