"""Making the virtual environment of an image, step by step."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from apothic_backends.images import interpreters, records
from apothic_backends.images.installing import Tool, failed, run, shown
from apothic_backends.images.lanes import VENV
from apothic_backends.images.steps import BROUGHT, INSTALLS, arguments
from apothic_backends.images.venvs import Venv, set_by
from apothic_backends.model.images import ImageBuildFailed, ImageSpec
from apothic_backends.volumes.disk import remove_tree

_DROPPED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""Variables of our own Python that would make another one look in the wrong place."""


def make(image: ImageSpec, brought: Path | None) -> None:
    """Have an image's environment there: made now, or by another process meanwhile.

    `brought` is the unpacked archive of the recipe, if that brings files. What the tools print
    goes to our own output.

    Raises:
        ImageBuildFailed: a step failed; of those who waited for it, all are told the same.
    """
    venv = Venv(image.digest)
    before = _last_failure(venv)
    with venv.alone():
        if venv.is_whole:
            return
        _tell_failure(venv, before)
        try:
            with _full_disk_told():
                remove_tree(venv.folder)
                _fill(venv, image, brought)
                records.write(image, VENV)
        except ImageBuildFailed as error:
            _note_failure(venv, error)
            raise
        finally:
            if not venv.is_whole:
                remove_tree(venv.folder)


def _fill(venv: Venv, image: ImageSpec, brought: Path | None) -> None:
    env = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    env["UV_PYTHON_DOWNLOADS"] = "never"  # it is told which Python to take
    _create(venv, interpreters.find(image.python), env)
    for step in image.steps:
        if step.verb == "env":
            env |= set_by(step)
        elif step.verb in INSTALLS:
            words = arguments(step, f"{brought}/{BROUGHT.rstrip('/')}")
            told = f"{step.verb} {shown(step.words)}"
            os.write(1, f"{told}\n".encode())
            Tool(venv.python, step.verb).install(words, env, told)
        elif brought is not None:
            for word, place in zip(step.words, venv.places(step), strict=True):
                shutil.copytree(brought / word, place, dirs_exist_ok=True)
    venv.marker.touch()


def _create(venv: Venv, python: str, env: dict[str, str]) -> None:
    folder, uv = str(venv.folder), interpreters.uv()
    if uv is not None:
        command = [uv, "venv", "--quiet", "--no-project", "--python", python, folder]
    else:
        command = [python, "-m", "venv", "--without-pip", folder]
    run(command, env, "virtual environment")


def _last_failure(venv: Venv) -> int:
    """When it could not be made the last time; 0 if that was never."""
    try:
        return venv.failure.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _tell_failure(venv: Venv, before: int) -> None:
    """Raise what kept it from being made while we waited."""
    if _last_failure(venv) == before:
        return
    with suppress(ValueError, OSError):
        told = json.loads(venv.failure.read_text())
        raise ImageBuildFailed(told["message"], step=told["step"], output=told["output"])


def _note_failure(venv: Venv, error: ImageBuildFailed) -> None:
    with suppress(OSError):
        told = {"message": error.message, **error.data}
        venv.failure.write_text(json.dumps(told, default=str))


@contextmanager
def _full_disk_told() -> Generator[None]:
    """Say of an error of ours what it means.

    Raises:
        ImageBuildFailed: the disk does not take it, or the like.
    """
    try:
        yield
    except OSError as error:
        step = "virtual environment"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise failed(step, os.strerror(errno.ENOSPC)) from error
        raise failed(step, str(error)) from error
