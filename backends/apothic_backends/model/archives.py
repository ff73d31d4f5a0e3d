"""What names an archive of code, and a path in it."""

from __future__ import annotations

from typing import Final

from apothic_backends.model.errors import InvalidOption

MOST_PIECE: Final = 1 << 20
"""The most bytes of an archive that travel at once."""

_DIGITS = frozenset("0123456789abcdef")
_LENGTH = 64


def check_digest(digest: str) -> str:
    """See to it that something is the digest of an archive.

    Raises:
        InvalidOption: it is not.
    """
    if len(digest) != _LENGTH or not _DIGITS.issuperset(digest):
        raise InvalidOption(f"{digest!r:.100} is no digest of an archive", option="source")
    return digest


def check_inside(path: str) -> str:
    """See to it that a folder lies in an archive; "" is its top.

    Raises:
        InvalidOption: it does not.
    """
    parts = path.split("/") if path else []
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidOption(f"{path!r:.100} is no folder in an archive", option="path")
    return path
