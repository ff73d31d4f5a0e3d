"""Builds, in a builder, the virtual environment of an image; and what of ours goes beside it."""

from __future__ import annotations

import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from apothic_backends.images.interpreters import series
from apothic_backends.images.making import make
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_backends.volumes.disk import remove_tree
from apothic_emulator.executors import trees
from apothic_emulator.executors.control import Control

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRAS = ("web", "secrets", "s3", "agent")
"""What executors may need of us, if it is installed here."""


def build(task: dict[str, Any], control: Control) -> None:
    """Have the environment there, and the folder of our own packages."""
    told = task["image"]
    steps = tuple(ImageStep(verb, tuple(words)) for verb, words in told["steps"])
    image = ImageSpec(told["base"], told["python"], "", steps, told["context"])
    link(Path(task["ours"]), [Path(it) for it in task["packages"]], image.python)
    brought = trees.opened(task["tree"], control) if task["tree"] else None
    make(image, brought)


def link(folder: Path, packages: list[Path], python: str) -> None:
    """Have a folder with links to our packages, and to what they need and another Python can load.

    It is for the end of `sys.path`: nothing else of what is installed here is to be found in there.
    """
    if folder.exists():
        return
    coming = folder.with_name(f".{folder.name}.{os.urandom(4).hex()}")
    coming.mkdir(mode=0o700, parents=True)
    for package in [*packages, *_needed(any_kind=python == series())]:
        target = coming / package.name
        if not target.is_symlink():
            target.symlink_to(package)
    try:
        coming.rename(folder)
    except OSError:
        remove_tree(coming)
        if not folder.exists():  # else somebody was faster
            raise


def _needed(*, any_kind: bool) -> list[Path]:
    """The packages that ours need; of `any_kind`, or those in Python alone."""
    found: dict[str, list[Path]] = {}
    todo = ["apothic", "cloudpickle"]
    while todo:
        name = todo.pop()
        if name not in found:
            try:
                distribution = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            found[name] = _packages(distribution, any_kind=any_kind)
            todo += _requirements(distribution, _EXTRAS if name == "apothic" else ())
    return [path for paths in found.values() for path in paths]


def _requirements(distribution: metadata.Distribution, extras: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for line in distribution.requires or ():
        name, (_, _, marker) = _NAME.match(line), line.partition(";")
        wanted = re.findall(r"""extra == ["']([\w-]+)["']""", marker)
        if name is not None and (not wanted or any(extra in extras for extra in wanted)):
            names.append(name[0].lower().replace("_", "-"))
    return names


def _packages(distribution: metadata.Distribution, *, any_kind: bool) -> list[Path]:
    """What it has put at the top of `site-packages`, for imports and for its metadata."""
    files = distribution.files or []
    if not any_kind and any(file.suffix in (".so", ".pyd") for file in files):
        return []
    tops = dict.fromkeys(file.parts[0] for file in files if file.parts[0] != "..")
    paths = [Path(str(distribution.locate_file(top))) for top in tops]
    left_out = ("__pycache__", "__editable__")
    return [it for it in paths if not it.name.startswith(left_out) and it.suffix != ".pth"]
