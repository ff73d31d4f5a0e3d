"""What `apothic image` does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apothic._recipes import Recipe, recipe_of
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.found import Functions, functions_of
from apothic.cli.wishes import Wishes
from apothic.images import Image
from apothic_backends.images import records
from apothic_backends.images.dockerfile import Layer, layers
from apothic_backends.images.lanes import DOCKER, VENV, Lane, lane
from apothic_backends.model.errors import UsageError

EXPLAINED = "apothic.image.v1"

_DIGITS = 12
"""How much of a digest is shown."""
_MOST = 80
"""How much of a step is shown, in characters."""


def explain(asked: Wishes, *, target: str) -> None:
    """Print the Dockerfile of one image, and what is known of its layers."""
    names, image = _only_image(target)
    with Path(os.devnull).open("wb") as nowhere:
        recipe = recipe_of(image, nowhere)
    how, reasons = lane(recipe.spec), records.compared(recipe.spec, records.read())
    shown = [*zip(layers(recipe.spec), _titles(image), reasons, strict=True)]
    if asked.is_json():
        output.put(output.line_of(_document(names, recipe, how, shown)))
        return
    for line in _dockerfile(recipe, shown):
        output.put(line)
    for line in _told(names, recipe, how, reasons):
        say(asked, line)


def images_of(target: str) -> dict[Image, list[str]]:
    """The images of what a target names, each with the names of the functions that run in it."""
    return by_image(functions_of(target))


def by_image(functions: Functions) -> dict[Image, list[str]]:
    """The images of functions, each with their names."""
    found: dict[Image, list[str]] = {}
    for name, handle in functions.items():
        image = handle.options.get("image")
        if image is not None:
            found.setdefault(image, []).append(name)
    return found


def _only_image(target: str) -> tuple[list[str], Image]:
    """The one image of what a target names.

    Raises:
        UsageError: there is none, or there are several.
    """
    images = images_of(target)
    if not images:
        raise UsageError(
            f"nothing of {target} has an image: give one with image=Image.debian_slim()"
        )
    if len(images) > 1:
        listed = ", ".join(names[0].partition("/")[2] for names in images.values())
        raise UsageError(f"{target} has several images; say path.py::name, such as: {listed}")
    ((image, names),) = images.items()
    return names, image


# --- explaining ---------------------------------------------------------------------------------

Shown = tuple[Layer, str, str]
"""A layer, what it is to whoever wrote it, and why it would be built."""


def _titles(image: Image) -> list[str]:
    """The steps as they are written, each in one short line."""
    steps = [(image.start, (image.python or image.base,)), *image.steps]
    here = f"{Path.cwd()}/"
    return [
        short(" ".join([verb, *(word.removeprefix(here) for word in words)]))
        for verb, words in steps
    ]


def short(text: str) -> str:
    """Text in one line that fits beside something."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST else f"{line[: _MOST - 3]}..."


def _dockerfile(recipe: Recipe, shown: list[Shown]) -> Iterator[str]:
    """The Dockerfile, with a line above each layer; none may be above a Dockerfile's own first."""
    for number, (layer, title, why) in enumerate(shown):
        note = f"# {layer.key[:_DIGITS]}  {title}" + (f"  -- built: {short(why)}" if why else "")
        if number or not recipe.spec.dockerfile:
            yield note
        yield from layer.instructions


def _told(names: list[str], recipe: Recipe, how: Lane, reasons: list[str]) -> Iterator[str]:
    digest = recipe.spec.digest[:_DIGITS]
    yield f"{', '.join(names)}: image {digest} is run {_WAYS[how.kind]}: {'; '.join(how.reasons)}"
    missing = sum(map(bool, reasons))
    if not missing:
        yield "it was built here already"
    elif how.kind == VENV:
        first = next(filter(None, reasons))
        yield f"it would be made anew as a whole: {first}"
    else:
        yield f"{missing} of {len(reasons)} layers would be built"
    for path, why in recipe.left_out.items():
        yield f"left out: {path} ({why})"


_WAYS = {VENV: "in a virtual environment", DOCKER: "by Docker"}


def _document(names: list[str], recipe: Recipe, how: Lane, shown: list[Shown]) -> dict[str, Any]:
    return {
        "schema": EXPLAINED,
        "functions": names,
        "digest": recipe.spec.digest,
        "lane": how.kind,
        "reasons": how.reasons,
        "layers": [
            {
                "key": layer.key,
                "step": title,
                "instructions": layer.instructions,
                "built_because": why or None,
            }
            for layer, title, why in shown
        ],
        "files": [{"path": file.path, "size": file.size} for file in recipe.files],
        "left_out": recipe.left_out,
    }
