"""What `apothic check` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from apothic._connect import connect
from apothic._recipes import recipe_of
from apothic.cli import output
from apothic.cli.command import say, size
from apothic.cli.found import functions_of
from apothic.cli.wishes import Wishes
from apothic.functions import Declared
from apothic.images import Image
from apothic.options import placed
from apothic.packaging import Package, package_of
from apothic_backends.commands.secrets import CheckSecrets
from apothic_backends.containers import engine
from apothic_backends.images.lanes import DOCKER, Lane, lane
from apothic_backends.model.errors import ApothicError, UsageError
from apothic_backends.project import project

SCHEMA = "apothic.check.v1"

T = TypeVar("T")


class Checked(NamedTuple):
    """A function, and what was found out about it."""

    name: str
    lane: Lane | None
    gpu: str
    secrets: tuple[str, ...]
    problems: list[str]


def check(asked: Wishes, *, target: str) -> None:
    """Look at all that a target declares, and print what was found.

    Raises:
        UsageError: something is wrong.
    """
    problems: list[str] = []
    package = _tried(problems, lambda: package_of(project()))
    found = [_checked(name, handle) for name, handle in functions_of(target).items()]
    if asked.is_json():
        output.put(output.line_of(_document(package, found, problems)))
    else:
        _put(asked, package, found)
    problems += [f"{one.name}: {problem}" for one in found for problem in one.problems]
    if problems:
        raise UsageError("\n".join([f"{len(problems)} problems" * (len(problems) > 1), *problems]))
    say(asked, "all is well")


def _checked(name: str, handle: Declared[..., Any]) -> Checked:
    problems: list[str] = []
    image = handle.options.get("image")
    how = None if image is None else _tried(problems, lambda: _lane(image))
    if how is not None and how.kind == DOCKER:
        _tried(problems, _see_to_docker)
    _tried(problems, lambda: _introduce(handle))
    secrets = tuple(map(str, handle.options.get("secrets") or ()))
    return Checked(name, how, _gpu(handle), secrets, problems)


def _tried(problems: list[str], do: Callable[[], T]) -> T | None:
    """What it gives; if it fails, that is a problem."""
    try:
        return do()
    except ApothicError as error:
        problems.append(error.message)
        return None


def _lane(image: Image) -> Lane:
    with Path(os.devnull).open("wb") as nowhere:
        return lane(recipe_of(image, nowhere).spec)


def _see_to_docker() -> None:
    """See whether there is a Docker here, if it is here that functions run."""
    if connect().shares_files:
        engine.connect().close()


def _introduce(handle: Declared[..., Any]) -> None:
    """Do all that comes before a function is made known; nothing is generated for that."""
    if handle.liv is not None:
        from apothic.generation.freezing import check  # for few functions  # noqa: PLC0415

        check(handle)
        return
    *before, _ = handle.introduction()
    spec = handle.spec()
    if spec.needs:
        backend = connect()
        for command in before:
            backend.start(command).wait()
        backend.start(CheckSecrets(spec)).wait()


def _gpu(handle: Declared[..., Any]) -> str:
    """What a function wants of GPUs, in a few words."""
    wish = placed(handle.options)
    if not wish.get("gpu_count"):
        return ""
    told = f"{wish['gpu_count']} x {' or '.join(wish['gpu']) or 'any'}"
    return f"{told} of {wish['min_vram_gb']} GB" if wish["min_vram_gb"] else told


# --- output -------------------------------------------------------------------------------------


def _put(asked: Wishes, package: Package | None, found: list[Checked]) -> None:
    rows = [("FUNCTION", "IMAGE", "GPU", "SECRETS", "")]
    for one in found:
        image = "" if one.lane is None else f"{one.lane.kind}: {'; '.join(one.lane.reasons)}"
        state = "problem" if one.problems else "fine"
        rows.append((one.name, image, one.gpu, ", ".join(one.secrets), state))
    for line in output.columns(rows):
        output.put(line)
    if package is not None:
        say(asked, f"{package.root}: {len(package.files)} files, {size(package.nbytes)} to ship")


def _document(package: Package | None, found: list[Checked], problems: list[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "files": None if package is None else len(package.files),
        "nbytes": None if package is None else package.nbytes,
        "problems": problems,
        "functions": [
            {
                "name": one.name,
                "lane": one.lane and one.lane.kind,
                "reasons": one.lane and one.lane.reasons,
                "gpu": one.gpu or None,
                "secrets": one.secrets,
                "problems": one.problems,
            }
            for one in found
        ],
    }
