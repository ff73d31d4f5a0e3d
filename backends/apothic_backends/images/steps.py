"""What steps of recipes have in common, wherever they are carried out."""

from __future__ import annotations

from collections.abc import Iterable

from apothic_backends.model.images import REQUIREMENT, ImageSpec, ImageStep

BROUGHT = ".apothic/"
"""Where the archive of a recipe has what its steps bring, each in a folder named by its content."""
INSTALLS = ("pip_install", "uv_pip_install")
"""The verbs that install Python packages. Their words are those of pip: options, then packages."""


def slim(python: str) -> str:
    """The image that `debian_slim` starts from."""
    return f"python:{python}-slim"


def is_slim(image: ImageSpec) -> bool:
    """Whether it starts from `debian_slim`: then no more is asked for than a series of Python."""
    return bool(image.python) and image.base == slim(image.python)


def arguments(step: ImageStep, brought: str) -> list[str]:
    """What pip, or `uv pip`, is to install: options, then packages.

    `brought` is the folder that stands for `.apothic/` of the archive where they run.
    """
    return [_placed(word, brought) for word in step.words]


def paths(image: ImageSpec) -> list[str]:
    """The files and folders in the archive that its steps name."""
    found: list[str] = []
    for step in image.steps:
        if step.verb == "add_local_python_source":
            found += step.words
        elif step.verb.startswith("add_local_"):
            found += step.words[:1]
        elif step.verb in INSTALLS:
            found += requirements(step)
    return found


def requirements(step: ImageStep) -> Iterable[str]:
    """The folders in the archive that hold its files of requirements."""
    named = (word.removeprefix(REQUIREMENT) for word in step.words if word.startswith(REQUIREMENT))
    return [path.rpartition("/")[0] for path in named]


def _placed(word: str, brought: str) -> str:
    path = word.removeprefix(REQUIREMENT + BROUGHT)
    return word if path == word else f"{REQUIREMENT}{brought}/{path}"
