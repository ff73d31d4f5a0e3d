"""Archives of code, by their digest, which lie beside the core: it never sees what is in them."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.archives import MOST_PIECE
from apothic_backends.model.payloads import Payload


class HasArchive(Command[bool]):
    """Whether an archive is there, whole."""

    beside_core = True

    digest: str


class PutArchive(Command[int]):
    """Take a piece of an archive of `size` bytes; the reply is how many of them are there.

    A piece that begins elsewhere changes nothing: whoever sends goes on from the reply. With the
    last piece the whole is looked at, and refused if it is not what the digest says.
    """

    beside_core = True

    digest: str
    size: int
    at: int
    data: Payload


class GetArchive(Command[Payload]):
    """Give a piece of an archive, `most` bytes or fewer; an empty one at its end."""

    beside_core = True

    digest: str
    at: int
    most: int = MOST_PIECE
