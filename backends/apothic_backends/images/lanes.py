"""Which of two ways an image is run: in a virtual environment, or in a container of Docker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from apothic_backends.images.steps import INSTALLS, is_slim
from apothic_backends.model.images import ImageSpec

VENV, DOCKER = "venv", "docker"

_IN_VENV = (*INSTALLS, "env", "add_local_python_source")
"""What an interpreter of its own on the machine is enough for."""

_WHY_DOCKER = {
    "apt_install": "apt_install changes the system",
    "run_commands": "run_commands may change anything",
    "workdir": "workdir names a folder of the image",
    "add_local_file": "add_local_file puts a file at a path of the image",
    "add_local_dir": "add_local_dir puts files at a path of the image",
}


class Lane(NamedTuple):
    """How an image is run, and why so: "venv" is sooner ready and starts faster."""

    kind: str
    """`VENV` or `DOCKER`."""
    reasons: tuple[str, ...]


def lane(image: ImageSpec) -> Lane:
    """How an image is run: all of its recipe is carried out, in whichever way suffices for that."""
    reasons = tuple(dict.fromkeys(_beyond_python(image)))
    if reasons:
        return Lane(DOCKER, reasons)
    return Lane(VENV, ("it has Python packages, variables and sources of yours, and no more",))


def _beyond_python(image: ImageSpec) -> Iterator[str]:
    """What a virtual environment cannot have."""
    if image.dockerfile:
        yield "it begins with a Dockerfile"
    elif not is_slim(image):
        yield f"it begins with the image {image.base} of a registry"
    for step in image.steps:
        if step.verb not in _IN_VENV:
            yield _WHY_DOCKER.get(step.verb, f"{step.verb} needs one")
