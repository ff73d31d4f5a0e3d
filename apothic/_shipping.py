"""What ships a project's files, so that functions can be run in them: procedures, for `_drive`.

The files are packed beside the loop, and sent in pieces unless they are there already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple
from weakref import WeakKeyDictionary

from apothic._drive import step, work
from apothic.packaging import Package, package_of
from apothic_backends.base import Backend
from apothic_backends.commands.archives import HasArchive, PutArchive
from apothic_backends.model.archives import MOST_PIECE
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.project import project

_SITES = ("site-packages", "dist-packages")


class Shipped(NamedTuple):
    """The project's files, at a backend."""

    digest: str
    path: tuple[str, ...]
    """The folders in there that modules are imported from."""


_shipped: WeakKeyDictionary[Backend, Shipped] = WeakKeyDictionary()
"""What has been shipped for calls, which are all of the code that this process has loaded."""


async def shipped_once(backend: Backend) -> Shipped:
    """The project's files as they were when this process first called a function there.

    Raises:
        PackageRefused: the project cannot be shipped as it is.
    """
    found = _shipped.get(backend)
    if found is None:
        found = _shipped[backend] = await ship(backend)
    return found


async def ship(backend: Backend) -> Shipped:
    """Send the project's files as they are now, unless they are there already.

    Raises:
        PackageRefused: the project cannot be shipped as it is.
    """
    with TemporaryFile() as file:
        package, digest = await work(lambda: _pack(project(), file))
        await _send(backend, file, digest)
    return Shipped(digest, module_path(package, sys.path))


def running_in(spec: FunctionSpec, shipped: Shipped) -> FunctionSpec:
    """The same function, to be run in files that were shipped."""
    found: FunctionSpec = spec.replace(source=shipped.digest, path=shipped.path)
    return found


def _pack(root: Path, file: BinaryIO) -> tuple[Package, str]:
    package = package_of(root)
    return package, package.write(file)


async def _send(backend: Backend, file: BinaryIO, digest: str) -> None:
    """Send an archive, unless it is there."""
    if await step(backend.start(HasArchive(digest))):
        return
    size, at = file.seek(0, os.SEEK_END), 0
    while at < size:
        file.seek(at)
        piece = Payload(file.read(MOST_PIECE), (), "bytes")
        at = await step(backend.start(PutArchive(digest, size, at, piece)))


def module_path(package: Package, entries: Iterable[object]) -> tuple[str, ...]:
    """The folders of the project that modules are imported from, as far as they are shipped."""
    found: dict[str, None] = {}
    paths = [file.path for file in package.files]
    for entry in entries:
        if not isinstance(entry, str) or any(site in entry for site in _SITES):
            continue
        folder = Path(entry).resolve()
        if not folder.is_relative_to(package.root):
            continue
        below = folder.relative_to(package.root).as_posix().removeprefix(".")
        if not below or any(path.startswith(f"{below}/") for path in paths):
            found[below] = None
    return tuple(found)
