"""Environments of images that need no more than Python: virtual environments of this machine."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import apothic_backends
import apothic_emulator
from apothic_backends.home import home
from apothic_backends.images.venvs import Venv, variables
from apothic_backends.model.images import ImageSpec
from apothic_emulator.agent import interpreter
from apothic_emulator.agent.zygote import CONTROL_FD, MARK, Child, Launch, Launched, spawn
from apothic_emulator.core.effects import StartExecutor

IDLE_S = 60.0
"""A zygote without executors ends after this long, as executors without work do."""

_PROGRAM = """\
import sys, os, fcntl
fcntl.flock(os.open({lock!r}, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH)
sys.path.append({ours!r})
from apothic_emulator.executors.zygote import main
main({fd}, {pid}, by_value={by_value}, idle_s={idle_s})
"""
_DROPPED = ("PYTHONPATH", "PYTHONHOME")
"""They are about another Python."""
_SITES = ("site-packages", "dist-packages")


class VenvEnvironment:
    """The virtual environment of one image."""

    def __init__(self, image: ImageSpec, tree: dict[str, str] | None) -> None:
        self.key = image.digest
        self._image, self._tree = image, tree
        self._venv = Venv(image.digest)
        self._packages = _own_packages()
        self._ours = home() / "images" / "ours" / _name(self._packages, image.python)
        self._variables = variables(image)
        self._sources = self._venv.sources(image)

    def task(self) -> dict[str, Any] | None:
        """What `executors.venvs` has to do; None if all is there."""
        if self._venv.is_whole and self._ours.exists():
            return None
        image = self._image
        return {
            "module": "apothic_emulator.executors.venvs",
            "image": {
                "base": image.base,
                "python": image.python,
                "steps": [[step.verb, step.words] for step in image.steps],
                "context": image.context,
            },
            "tree": self._tree,
            "ours": str(self._ours),
            "packages": list(map(str, self._packages)),
        }

    def settle(self, load: dict[str, Any]) -> None:
        """It has the user's modules first, then what is installed there, and nothing of ours."""
        load["path"] = [] if load["tree"] else interpreter.projects()
        load["is_guest"] = True
        load["env"] = self._inside(load["env"])

    def _inside(self, env: dict[str, str]) -> dict[str, str]:
        """Variables of this program as they are in there: those of the recipe come before."""
        folder = str(self._venv.folder)
        own = {"VIRTUAL_ENV": folder, "PATH": f"{folder}/bin:{env.get('PATH', os.defpath)}"}
        if self._sources:
            own["PYTHONPATH"] = ":".join(self._sources)
        kept = {name: value for name, value in env.items() if name not in _DROPPED}
        return {**kept, **own, **self._variables}

    def launcher(self, effect: StartExecutor) -> Launch:
        """What starts a zygote there."""
        by_value = effect.code.codec != "ref"

        def launch(far: socket.socket, mark: str) -> Launched:
            self._venv.note_use()
            program = _PROGRAM.format(
                lock=str(self._venv.lock),
                ours=str(self._ours),
                fd=CONTROL_FD,
                pid=os.getpid(),
                by_value=by_value,
                idle_s=IDLE_S,
            )
            env = {**self._inside(dict(os.environ)), MARK: mark}
            return Child(spawn([str(self._venv.python), "-P", "-c", program], far, env))

        return launch

    def abandoned(self) -> None:
        """Remove what a builder has begun."""
        self._venv.clear()


def _own_packages() -> list[Path]:
    """The folders of our packages, and of the SDK, as this process finds them."""
    found = [Path(next(iter(it.__path__))) for it in (apothic_emulator, apothic_backends)]
    return [*found, *map(Path, interpreter.sdk())]


def _name(packages: list[Path], python: str) -> str:
    """Another one for another installation of ours, and when something is installed beside it."""
    sites = [entry for entry in interpreter.path() if entry.endswith(_SITES)]
    ages = [os.stat(site).st_mtime_ns for site in sites if os.path.isdir(site)]  # noqa: PTH116, PTH112
    said = repr((packages, python, sys.version_info[:2], sites, ages))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
