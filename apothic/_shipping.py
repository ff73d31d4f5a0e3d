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

from apothic._declared import FROZEN
from apothic._drive import step, work
from apothic._recipes import recipe_of
from apothic.images import CARRIED, Image
from apothic.packaging import Package, package_of
from apothic_backends.base import Backend
from apothic_backends.commands.archives import HasArchive, PutArchive
from apothic_backends.model.archives import MOST_PIECE
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.project import project

_SITES = ("site-packages", "dist-packages")


class Shipped(NamedTuple):
    """The project's files, at a backend."""

    digest: str
    path: tuple[str, ...]
    """The folders in there that modules are imported from."""


_images: WeakKeyDictionary[Backend, dict[Image, ImageSpec]] = WeakKeyDictionary()
"""The recipes of images, with the files that they had when a function was first called there."""

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


async def image_once(backend: Backend, image: Image) -> ImageSpec:
    """The recipe of an image as it was when this process first called a function in it there.

    Raises:
        NotFound: as `ship_image`.
        PackageRefused: as `ship_image`.
    """
    known = _images.setdefault(backend, {})
    found = known.get(image)
    if found is None:
        found = known[image] = await ship_image(backend, image)
    return found


async def ship_image(backend: Backend, image: Image) -> ImageSpec:
    """The recipe of an image as it is now; its files are sent, unless they are there already.

    Raises:
        NotFound: a file or a module that belongs to it is missing.
        PackageRefused: its files cannot be shipped as they are.
    """
    with TemporaryFile() as file:
        recipe = await work(lambda: recipe_of(image, file))
        if recipe.spec.context is not None:
            await _send(backend, file, recipe.spec.context)
            CARRIED[image] = recipe.spec
    return recipe.spec


def running_in(spec: FunctionSpec, shipped: Shipped) -> FunctionSpec:
    """The same function, to be run in files that were shipped."""
    found: FunctionSpec = spec.replace(source=shipped.digest, path=shipped.path)
    return found


def _pack(root: Path, file: BinaryIO) -> tuple[Package, str]:
    package = package_of(root, map(Path, FROZEN))
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
