"""Recipes of images, as they travel: what the place where a function runs has to have in it."""

from __future__ import annotations

from apothic_backends.model.errors import BackendError, SetupFailed
from apothic_backends.model.record import Record


class ImageBuildFailed(SetupFailed):
    """A step of an image's recipe failed: `data["step"]`, and the end of its output in `output`.

    Nothing has run. The next call tries once more.
    """

    code = "image_build_failed"


class ImageMissing(SetupFailed):
    """There is no image of that name (`data["image"]`) here, and it cannot be pulled."""

    code = "image_missing"


class NoDocker(BackendError):
    """There is no Docker that this process may use; `data["reason"]` says why."""

    code = "no_docker"


REQUIREMENT = "--requirement="
"""What begins a word of a step that names a file of requirements; its path follows."""


class ImageStep(Record):
    """One verb of a recipe with its arguments, such as `pip_install` and names of packages."""

    verb: str
    words: tuple[str, ...] = ()


class ImageSpec(Record):
    """A recipe: what it begins with, and steps in order.

    `base` names an image of a registry; it is empty where `dockerfile`, a text, says how to begin.
    `python` is the series that was asked for, such as "3.11"; any that the base has if it is empty.
    Files of the user's machine are in the archive with the digest `context`.
    """

    base: str = ""
    python: str = ""
    dockerfile: str = ""
    steps: tuple[ImageStep, ...] = ()
    context: str | None = None

    @property
    def digest(self) -> str:
        """What it is known by: 64 hexadecimal digits, the same for the same recipe and files."""
        import hashlib  # noqa: PLC0415 - few functions have an image, and all load this module
        import json  # noqa: PLC0415 - as above

        steps = [[step.verb, *step.words] for step in self.steps]
        said = [self.base, self.python, self.dockerfile, steps, self.context]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
