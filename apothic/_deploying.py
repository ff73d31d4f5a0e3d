"""What carries out a deploy: procedures, for `_drive`.

The project's files are packed beside the loop, and sent in pieces unless they are there already.
Then one command makes all functions live at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from apothic._connect import ask, connect
from apothic._drive import work
from apothic.functions import Declared
from apothic.packaging import Package, package_of
from apothic_backends.commands import GetDurability, RegisterFunction
from apothic_backends.commands.archives import HasArchive, PutArchive
from apothic_backends.commands.deployments import Deploy
from apothic_backends.model.archives import MOST_PIECE
from apothic_backends.model.deployments import Deployed, DeployedFunction
from apothic_backends.model.errors import UsageError
from apothic_backends.model.payloads import Payload
from apothic_backends.project import project

_SITES = ("site-packages", "dist-packages")


async def deploy(app_name: str, functions: Mapping[str, Declared[..., Any]]) -> Deployed:
    """Ship the project, and make these functions live.

    Raises:
        UsageError: there are none.
        PackageRefused: the project cannot be shipped as it is.
    """
    if not functions:
        raise UsageError(
            f"the app {app_name!r} has no functions to deploy; declare some with @app.function, "
            "and deploy after that"
        )
    await ask(GetDurability())  # refused while a worker imports the module that deploys
    handles = [*functions.values()]
    code = [await _introduced(handle) for handle in handles]
    with TemporaryFile() as file:
        package, digest = await work(lambda: _pack(project(), file))
        await _ship(file, digest)
    path = module_path(package, sys.path)
    shipped = [one.spec.replace(source=digest, path=path) for one in code]
    deployed = await ask(
        Deploy(
            app_name,
            tuple(
                DeployedFunction(spec, one.code, _rule(handle))
                for spec, one, handle in zip(shipped, code, handles, strict=True)
            ),
        )
    )
    backend = connect()
    for handle in handles:
        handle.calls.go_to(backend, f"{app_name}/{handle.name}")
    return deployed


async def _introduced(handle: Declared[..., Any]) -> RegisterFunction:
    """What there is to say of a function; its secrets are given already."""
    *before, introduced = handle.introduction()
    for command in before:
        await ask(command)
    assert isinstance(introduced, RegisterFunction)
    return introduced


def _rule(handle: Declared[..., Any]) -> Any:
    schedule = handle.options.get("schedule")
    return None if schedule is None else schedule.rule


def _pack(root: Path, file: BinaryIO) -> tuple[Package, str]:
    package = package_of(root)
    return package, package.write(file)


async def _ship(file: BinaryIO, digest: str) -> None:
    """Send an archive, unless it is there."""
    if await ask(HasArchive(digest)):
        return
    size, at = file.seek(0, os.SEEK_END), 0
    while at < size:
        file.seek(at)
        at = await ask(PutArchive(digest, size, at, Payload(file.read(MOST_PIECE), (), "bytes")))


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
