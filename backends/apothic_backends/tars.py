"""Headers of tar files: what stands before the content of each file, in GNU's kind of tar.

What reads them takes nothing but what is written here, to the byte: a header is read, written
again, and both have to be the same. So there are no hard links, devices, pipes, sparse files, odd
modes, owners, checksums that do not fit, or fields that two programs would understand differently.
Any tar can read what is written.

Standard library only: workers use it, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from apothic_backends.model.errors import ArchiveRefused

BLOCK = 512
END = bytes(2 * BLOCK)
"""What stands at the end of a tar."""
MOST_PATH = 4096
"""The longest path in one, in bytes."""
MOST_SIZE = 8**11 - 1
"""The largest file of one, in bytes."""
FILE, FOLDER, LINK = b"0", b"5", b"2"

_SHORT = 100
_LONG_NAME = b"././@LongLink"
_LONG_PATH, _LONG_TARGET = b"L", b"K"
_OTHERS = {
    b"1": "a hard link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file",
    b"x": "an extended header", b"g": "an extended header",
}  # fmt: skip


class Header(NamedTuple):
    """What a tar tells of a file, folder or symbolic link."""

    path: str
    kind: bytes = FILE
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    target: str = ""


def padding(size: int) -> int:
    """How many bytes fill up the last block of a content."""
    return -size % BLOCK


def encoded(header: Header) -> bytes:
    """A header as it is written."""
    name, target = os.fsencode(header.path), os.fsencode(header.target)
    long = _long(_LONG_TARGET, target) + _long(_LONG_PATH, name)
    return long + _block(header, name[:_SHORT], target[:_SHORT])


def _long(kind: bytes, text: bytes) -> bytes:
    """What stands before a header, if a text has no room in it."""
    if len(text) <= _SHORT:
        return b""
    whole = text + b"\0"
    head = _block(Header("", kind, len(whole), 0), _LONG_NAME, b"")
    return head + whole + bytes(padding(len(whole)))


def _block(header: Header, name: bytes, target: bytes) -> bytes:
    """One header, whose checksum counts itself as spaces."""
    fields = (
        name.ljust(_SHORT, b"\0"),
        b"%07o\0" % header.mode,
        b"%07o\0" % 0 * 2,
        b"%011o\0" % header.size,
        b"%011o\0" % header.mtime,
    )
    before = b"".join(fields)
    after = (header.kind + target.ljust(_SHORT, b"\0") + b"ustar  \0").ljust(356, b"\0")
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + after


def read_header(read: Callable[[int], bytes]) -> Header | None:
    """The next header, from what reads so many bytes; None where the end begins.

    Raises:
        ArchiveRefused: it is none that we would write.
    """
    head = read(BLOCK)
    if not any(head):
        return None
    whole = b""
    texts: dict[bytes, bytes] = {}
    while head[156:157] in (_LONG_PATH, _LONG_TARGET) and len(texts) < 2:  # noqa: PLR2004 - both
        length = _number(head[124:136])
        if not _SHORT < length <= MOST_PATH + 1:
            raise ArchiveRefused("a name in this archive is too long")
        text = read(length + padding(length))
        texts[head[156:157]] = text[: length - 1]
        whole += head + text
        head = read(BLOCK)
    header = Header(
        os.fsdecode(texts.get(_LONG_PATH, head[:_SHORT].rstrip(b"\0"))),
        head[156:157],
        _number(head[124:136]),
        _number(head[100:108]),
        _number(head[136:148]),
        os.fsdecode(texts.get(_LONG_TARGET, head[157 : 157 + _SHORT].rstrip(b"\0"))),
    )
    is_odd = "\0" in header.path + header.target or header.kind not in (FILE, FOLDER, LINK)
    if is_odd or whole + head != encoded(header):
        what = _OTHERS.get(header.kind, "not ours")
        raise ArchiveRefused(f"{header.path!r:.200} in this archive is no plain file: it is {what}")
    return header


def _number(field: bytes) -> int:
    text = field.rstrip(b"\0")
    if not text.isdigit():
        raise ArchiveRefused("this is no archive of ours")
    try:
        return int(text, 8)
    except ValueError:
        raise ArchiveRefused("this is no archive of ours") from None
