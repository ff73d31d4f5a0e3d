"""Volumes from another machine than the control plane's; they lie beside the core.

A version is a manifest, which says what is at each path, and contents by their hash. Whoever writes
puts the contents first, piece by piece and in any order, and then commits what changes.
"""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.payloads import Payload
from apothic_backends.model.volumes import MOST_PIECE, Piece, Pieces, VolumeHead


class ListVolumes(Command[tuple[str, ...]]):
    """What volumes there are."""

    beside_core = True


class FindVolume(Command[VolumeHead]):
    """The volume of that name as it is now; with `create`, one of that kind if there is none."""

    beside_core = True

    name: str
    create: str | None = None


class PlaceVolume(Command[VolumeHead]):
    """Bind a volume to a host, unless it is bound to one: which, the reply says."""

    beside_core = True

    name: str
    volume_id: str
    host: str


class DropVolume(Command[None]):
    """Delete a volume and all that is in it, unless a function has it mounted."""

    beside_core = True

    name: str


class GetManifest(Command[Payload]):
    """Give a piece of the manifest of that version, from `at` on; only the newest is there."""

    beside_core = True

    name: str
    volume_id: str
    rev: int
    at: int = 0
    most: int = MOST_PIECE


class GetPieces(Command[Pieces]):
    """Give pieces of contents, without what is holes in them."""

    beside_core = True

    name: str
    volume_id: str
    wanted: tuple[Piece, ...]


class FindMissing(Command[tuple[str, ...]]):
    """Which of these contents the volume has not; those that it has stay for a while."""

    beside_core = True

    name: str
    volume_id: str
    contents: tuple[str, ...]


class PutPieces(Command[None]):
    """Take pieces of contents; one that is whole is looked at, and kept if it is what it says."""

    beside_core = True

    name: str
    volume_id: str
    pieces: tuple[Piece, ...]
    data: Payload


class CommitVolume(Command[VolumeHead]):
    """Make the next version out of the newest and these changes; what has become of it.

    `changes` is what `volumes/changes.py` writes. A commit with a token that was seen is not made
    again, and gets the same answer.
    """

    beside_core = True

    name: str
    volume_id: str
    changes: Payload
    token: str
    on_conflict: str = "fail"
    fence: int = 0


class GetVolumeUse(Command[int]):
    """How many bytes the contents of a volume take on the disk."""

    beside_core = True

    name: str
    volume_id: str
