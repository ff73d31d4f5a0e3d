"""What the commands of `apothic volume` do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from apothic.cli import output
from apothic.cli.command import say, size
from apothic.cli.wishes import Wishes
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.volumes import VolumeFile
from apothic_backends.volumes.archive import read_tar, write_tar
from apothic_backends.volumes.files import Files
from apothic_backends.volumes.local import PORTABLE, volumes
from apothic_backends.volumes.transfer import get

SCHEMA = "apothic.volumes.v1"
FILES = "apothic.files.v1"
PIPE = "-"


class Place(NamedTuple):
    """A path in a volume."""

    volume: str
    path: str

    @property
    def files(self) -> Files:
        """Those of the volume."""
        return Files(volumes().open(self.volume))


def place_of(text: str) -> Place | None:
    """`NAME:/path` as a place in a volume; None for a path of the disk.

    A path with a slash before its first colon is one of the disk, as `./a:b` is.
    """
    name, colon, path = text.partition(":")
    return Place(name, path or "/") if colon and name and "/" not in name else None


def create(asked: Wishes, name: str, backend: str) -> None:
    """Make a volume."""
    volumes().open(name, create=backend)
    say(asked, f"volume {name} is there")


def show(asked: Wishes) -> None:
    """Print the volumes."""
    found = [_about(name) for name in volumes().names()]
    if asked.is_json():
        output.put(output.line_of({"schema": SCHEMA, "volumes": found}))
        return
    width = max((len(each["name"]) for each in found), default=0)
    for each in found:
        host = f" on {each['host']}" if each["host"] else ""
        told = f"version {each['rev']}, {each['files']} files, {each['kind']}{host}"
        output.put(f"{each['name']:{width}}  {told}")


def _about(name: str) -> dict[str, Any]:
    store = volumes().open(name)
    version, about = store.read(), store.about()
    files = sum(entry.kind == "file" for entry in version.entries.values())
    kind, host = about["kind"], about["host"]
    return {"name": name, "rev": version.rev, "files": files, "kind": kind, "host": host}


def ls(asked: Wishes, place: str, *, recursive: bool) -> None:
    """Print what is in a folder."""
    at = place_of(place) or Place(place, "/")
    found = at.files.listdir(at.path, recursive=recursive)
    if asked.is_json():
        told = [{field: getattr(file, field) for field in file.fields} for file in found]
        output.put(output.line_of({"schema": FILES, "volume": at.volume, "files": told}))
        return
    width = max((len(str(file.size)) for file in found), default=1)
    for file in found:
        if not output.put(f"{file.size if file.kind == 'file' else '-':>{width}}  {_name(file)}"):
            return


def _name(file: VolumeFile) -> str:
    """What a person reads; a line break in a name breaks no line."""
    shown = file.path if file.path.isprintable() else ascii(file.path)
    ending = {"folder": "/", "link": f" -> {file.target}"}.get(file.kind, "")
    return f"{shown}{ending}"


def cp(_asked: Wishes, source: str, goal: str, *, recursive: bool, force: bool) -> None:
    """Copy files."""
    start, end = place_of(source), place_of(goal)
    if start is not None and end is not None:
        _copy_within(start, end, recursive=recursive)
    elif start is not None:
        _copy_out(start, goal, recursive=recursive, force=force)
    elif end is not None:
        _copy_in(source, end, recursive=recursive, force=force)
    else:
        raise UsageError("neither is in a volume: write NAME:/path, as in models:/v1")


def _copy_within(start: Place, end: Place, *, recursive: bool) -> None:
    if start.volume != end.volume:
        raise UsageError(
            "copying from one volume to another goes by way of the disk, or of "
            "`apothic volume export | apothic volume import`"
        )
    _check_folder(start, recursive=recursive)
    start.files.copy([start.path], end.path)


def _check_folder(place: Place, *, recursive: bool) -> None:
    if not recursive and place.files.stat(place.path).kind == "folder":
        raise UsageError(f"{place.volume}:{place.path} is a folder; copy it with --recursive")


def _copy_out(start: Place, goal: str, *, recursive: bool, force: bool) -> None:
    _check_folder(start, recursive=recursive)
    if goal == PIPE:
        for piece in start.files.read(start.path):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    path = Path(goal)
    if path.is_file() and not force:
        raise FileExistsError(17, "it is there already; --force replaces it", goal)
    get(start.files.store, start.path, path)


def _copy_in(source: str, end: Place, *, recursive: bool, force: bool) -> None:
    path, files = Path(source), end.files
    if source == PIPE:
        files.put_file(sys.stdin.buffer, end.path, force=force)
    elif not path.is_dir():
        is_folder = files.exists(end.path) and files.stat(end.path).kind == "folder"
        into = f"{end.path}/" if is_folder and not end.path.endswith("/") else end.path
        files.put_file(path, into, force=force)
    elif recursive:
        is_there = end.path.endswith("/") or files.exists(end.path)
        goal = f"{end.path}/{path.resolve().name}" if is_there else end.path
        files.put_directory(path, goal, force=force)
    else:
        raise UsageError(f"{source} is a folder; copy it with --recursive")


def rm(asked: Wishes, place: str, *, recursive: bool) -> None:
    """Remove files, or a volume."""
    at = place_of(place)
    if at is not None:
        at.files.remove(at.path, recursive=recursive)
    elif not recursive and volumes().open(place).read().entries:
        raise UsageError(f"volume {place} has files; remove it with --recursive")
    else:
        volumes().delete(place)
    say(asked, f"{place} is removed")


def export(_asked: Wishes, name: str, path: str) -> None:
    """Write a volume as a tar."""
    store = volumes().open(name)
    if path != PIPE:
        with Path(path).open("wb") as file:
            write_tar(store, file)
        return
    if sys.stdout.isatty():
        raise UsageError("a tar is nothing to look at: write it to a file or a pipe")
    write_tar(store, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def take(asked: Wishes, name: str, path: str, *, force: bool) -> None:
    """Put what a tar has into a volume."""
    try:
        store = volumes().open(name)
    except NotFound:
        store = volumes().open(name, create=PORTABLE)
    if path == PIPE:
        count = read_tar(store, sys.stdin.buffer, force=force)
    else:
        with Path(path).open("rb") as file:
            count = read_tar(store, file, force=force)
    say(asked, f"{count} members are in volume {name}")


def du(asked: Wishes, names: tuple[str, ...]) -> None:
    """Print what volumes take on the disk."""
    used = {name: volumes().open(name).used_bytes() for name in names or volumes().names()}
    if asked.is_json():
        told = [{"name": name, "bytes": taken} for name, taken in used.items()]
        output.put(output.line_of({"schema": SCHEMA, "volumes": told}))
        return
    for name, taken in used.items():
        output.put(f"{size(taken):>9}  {name}")
