"""Volumes as tar files: out, and in again with nothing but files, folders and inside links."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import BinaryIO, Self

from apothic_backends.model.errors import FileRefused, PathRefused
from apothic_backends.volumes.files import Files, Upload
from apothic_backends.volumes.manifest import FILE, FOLDER, LINK, Entry, Manifest
from apothic_backends.volumes.paths import inside
from apothic_backends.volumes.store import Store, permissions

_TruncatedHeaderError: type[Exception] = tarfile.TruncatedHeaderError  # type: ignore[attr-defined]
_EmptyHeaderError: type[Exception] = tarfile.EmptyHeaderError  # type: ignore[attr-defined]
MOST_MEMBERS = 1_000_000
MOST_EXTRA = 1 << 20
"""Bytes of an extended header, or of a long name, which are read before anything is known of it."""

_EXTRA = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


def write_tar(store: Store, out: BinaryIO) -> Manifest:
    """Write the newest version as a tar; the version."""
    with store.locked(shared=True):
        version = store.read_held()
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path, entry in sorted(version.entries.items()):
                member = _member(path, entry)
                if entry.kind != FILE:
                    tar.addfile(member)
                    continue
                with store.opened(entry) as fd, os.fdopen(os.dup(fd), "rb") as file:
                    tar.addfile(member, file)
    return version


def _member(path: str, entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode = entry.mode
    member.mtime = entry.mtime_ns / 1e9
    if entry.kind == FILE:
        member.size = entry.size
    elif entry.kind == FOLDER:
        member.type = tarfile.DIRTYPE
    else:
        member.type = tarfile.SYMTYPE
        member.linkname = entry.content
    return member


class _Member(tarfile.TarInfo):
    """A member of a plausible size, told from the end of a tar which was cut off."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in _EXTRA and found.size > MOST_EXTRA):
            raise FileRefused("a header in the tar has a size that none has", files=[])
        return found

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile)
        except (_TruncatedHeaderError, _EmptyHeaderError):
            raise EOFError("it is cut off") from None


def read_tar(store: Store, source: BinaryIO, *, force: bool = False) -> int:
    """Put what a tar has into a volume, all or nothing; the number of its members.

    Nothing is extracted to the disk: each content goes straight to its hash, and paths are only
    names in the next version.

    Raises:
        PathRefused: a path or a link leads out.
        FileRefused: it has hard links, devices or pipes, comes twice to a path, or is no tar.
        FileExistsError: something is there already, and `force` does not say to replace it.
    """
    count = 0
    try:
        with (
            Files(store).upload(force=force) as upload,
            tarfile.open(fileobj=source, mode="r|*", tarinfo=_Member) as tar,
        ):
            for member in tar:
                count += 1
                if count > MOST_MEMBERS:
                    raise FileRefused(f"it has more than {MOST_MEMBERS} members", files=[])
                _put(tar, member, upload)
    except (tarfile.TarError, EOFError) as error:
        raise FileRefused(f"it is no tar that can be read: {error}", files=[]) from error
    return count


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, upload: Upload) -> None:
    if member.name.startswith("/"):
        raise PathRefused(f"{member.name!r} in the tar is no path inside a volume")
    path = inside(member.name)
    if member.isdir():
        if path and path not in upload.entries:
            upload.put(path, _entry(FOLDER, member))
        return
    if path in upload.entries:
        raise FileRefused(f"{path!r} is in the tar twice", files=[path])
    if member.issym():
        upload.put(path, _entry(LINK, member, member.linkname))
        return
    file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if file is None:
        raise FileRefused(
            f"{path!r} in the tar is no file, folder or symbolic link, which is all that a volume "
            "takes from one",
            files=[path],
        )
    upload.put_file(file, path)  # type: ignore[arg-type]  # it reads bytes
    upload.entries[path] = upload.entries[path]._replace(
        mode=permissions(member.mode), mtime_ns=round(member.mtime * 1e9)
    )


def _entry(kind: str, member: tarfile.TarInfo, content: str = "") -> Entry:
    mode = permissions(member.mode | (stat.S_IRWXU if kind == FOLDER else 0))
    return Entry(kind, mode, round(member.mtime * 1e9), len(content), content)
