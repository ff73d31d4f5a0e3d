"""Virtual environments of images on this machine: each made once, and used by many processes.

HOME/images/DIGEST/        the environment; `sources` in it has what the recipe brings
HOME/images/DIGEST/.whole  written last: without it, nobody runs in there
HOME/images/DIGEST.lock    held by whoever makes it and, shared, by whatever runs in it
HOME/images/DIGEST.failed  why it could not be made the last time
HOME/images/ours/NAME/     links to what is ours, for the end of `sys.path`: one for each
                           installation of Apothic, held, shared, by whatever looks there
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from apothic_backends.home import home
from apothic_backends.images import records
from apothic_backends.model.archives import check_digest
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_backends.volumes.disk import remove_tree


class Venv:
    """The environment of one image, be it there or not."""

    def __init__(self, digest: str) -> None:
        self.digest = check_digest(digest)
        self.folder = home() / "images" / digest
        self.python = self.folder / "bin" / "python"
        self.lock = self.folder.with_name(f"{digest}.lock")
        self.marker = self.folder / ".whole"
        self.failure = self.folder.with_name(f"{digest}.failed")

    @property
    def is_whole(self) -> bool:
        """Whether it is there, to be run in; not if the Python has gone that it is of."""
        return self.marker.exists() and self.python.exists()

    def note_use(self) -> None:
        """Write down that it is used now."""
        records.used(self.digest)

    @contextmanager
    def alone(self, *, waits: bool = True) -> Generator[None]:
        """Be the only one at it.

        Raises:
            BlockingIOError: somebody is at it, or in it, and we do not wait.
        """
        self.folder.parent.mkdir(mode=0o700, exist_ok=True)
        while True:
            fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
                if os.fstat(fd).st_nlink:
                    yield
                    return  # else it was removed while we waited for it
            finally:
                os.close(fd)

    def remove(self) -> bool:
        """Remove it, be it whole or not; False if somebody makes it, or runs in it."""
        try:
            with self.alone(waits=False):
                self.marker.unlink(missing_ok=True)
                remove_tree(self.folder)
                self.failure.unlink(missing_ok=True)
                records.forget(self.digest)
                self.lock.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        return True

    def clear(self) -> None:
        """Remove what somebody has begun who was killed."""
        with suppress(OSError):
            if not self.is_whole:
                self.remove()

    def sources(self, image: ImageSpec) -> list[str]:
        """The folders, for `sys.path`, that the recipe brings."""
        steps = [step for step in image.steps if step.verb == "add_local_python_source"]
        return [str(place) for step in steps for place in self.places(step)]

    def places(self, step: ImageStep) -> list[Path]:
        """Where the folders of sources stay."""
        return [self.folder / "sources" / Path(word).name for word in step.words]


def remove(digest: str) -> bool:
    """Remove an image's environment; False if somebody makes it, or runs in it."""
    return Venv(digest).remove()


def ours() -> Path:
    """Where the folders with links are."""
    return home() / "images" / "ours"


def prune_ours(before: float) -> None:
    """Remove those that were last used before that moment, but for what somebody uses now."""
    for folder in ours().iterdir() if ours().is_dir() else ():
        with suppress(OSError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.stat().st_mtime <= before:
                    remove_tree(folder)
            finally:
                os.close(fd)


def variables(image: ImageSpec) -> dict[str, str]:
    """What the `env` steps of a recipe set."""
    found: dict[str, str] = {}
    for step in image.steps:
        if step.verb == "env":
            found |= set_by(step)
    return found


def set_by(step: ImageStep) -> dict[str, str]:
    """What one of them sets."""
    return {name: value for name, _, value in (word.partition("=") for word in step.words)}
