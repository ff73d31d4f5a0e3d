"""What has to be there before a container can be: its image, with an interpreter for it.

What was found is kept in a file, by the digest of the recipe, so that later starts need not ask the
daemon for all of it. Should the image be gone meanwhile, or another one, the file goes too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from apothic_backends.containers import building, engine, interpreters
from apothic_backends.containers.interpreters import Place
from apothic_backends.home import home
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_emulator.agent.containers import hosts
from apothic_emulator.executors import archives
from apothic_emulator.executors.control import Control


def place_file(image: ImageSpec, python: str) -> Path:
    """Where it is kept what was found for functions of that Python in that image."""
    key = sha256(f"{image.digest} {python}".encode()).hexdigest()
    return home() / "images" / "docker" / f"{key}.json"


def read(file: Path) -> Place | None:
    """What was found, if something was."""
    try:
        return Place(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def task(image: ImageSpec, python: str, archive: Path | None) -> dict[str, Any]:
    """What a builder has to know to prepare that."""
    return {
        "module": __name__,
        "base": image.base,
        "python": image.python,
        "dockerfile": image.dockerfile,
        "steps": [[step.verb, *step.words] for step in image.steps],
        "context": image.context,
        "archive": None if archive is None else str(archive),
        "wanted": python,
    }


def build(
    task: dict[str, Any], control: Control | None, told: Callable[[str], object] | None = None
) -> Place:
    """Prepare what a task says; a builder's process calls it, and what it prints is shown.

    Raises:
        ImageBuildFailed: a step of the recipe failed, or no Python that will do is to be had.
        ImageMissing: there is no such image.
        NoDocker: there is no Docker that this process may use.
    """
    image = ImageSpec(
        base=task["base"],
        python=task["python"],
        dockerfile=task["dockerfile"],
        steps=tuple(ImageStep(verb, tuple(words)) for verb, *words in task["steps"]),
        context=task["context"],
    )
    archive = None if task["archive"] is None else Path(task["archive"])
    if archive is not None and image.context is not None and control is not None:
        archives.fetch(control, image.context, archive)
    client = engine.connect()
    try:
        hosts.reap_once(client)
        name = building.build(image, archive, told or _show, client)
        place = interpreters.find(client, name, task["wanted"])
        with engine.told():
            place = place.replace(image_id=client.inspect_image(name)["Id"])
    finally:
        client.close()
    file = place_file(image, task["wanted"])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    coming = file.with_name(f".{file.name}.{os.getpid()}")
    coming.write_text(json.dumps({name: getattr(place, name) for name in Place.fields}))
    coming.rename(file)
    return place


def _show(line: str) -> None:
    print(line, end="", flush=True)  # noqa: T201 - it is a builder's output
