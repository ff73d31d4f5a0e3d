"""Environments of images that need no more than Python: virtual environments of this machine."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import apothic_backends
import apothic_emulator
from apothic_backends.images.interpreters import series
from apothic_backends.images.venvs import Venv, ours, variables
from apothic_backends.model.images import ImageSpec
from apothic_emulator.agent import interpreter
from apothic_emulator.agent.zygote import CONTROL_FD, MARK, Child, Launch, Launched, Zygote, spawn
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.executors import guests
from apothic_emulator.executors.guests import Guest

IDLE_S = 60.0
"""A zygote without executors ends after this long, as executors without work do."""

_PROGRAM = """\
import sys, os, fcntl
for held, how in (({lock!r}, os.O_RDWR | os.O_CREAT), ({ours!r}, os.O_RDONLY)):
    fcntl.flock(os.open(held, how | os.O_CLOEXEC, 0o600), fcntl.LOCK_SH)
sys.path.append({ours!r})
from apothic_emulator.executors.zygote import main
main({fd}, {pid}, by_value={by_value}, idle_s={idle_s})
"""
_DROPPED = ("PYTHONPATH", "PYTHONHOME")
"""They are about another Python."""
_AT_STARTS = ("GLIBC_", "LANG", "LC_", "LD_", "MALLOC_", "PYTHON", "TZ")
"""What the loader, the C library and Python look at when a program starts."""
_SITES = ("site-packages", "dist-packages")


class VenvEnvironment:
    """The virtual environment of one image."""

    disk = ""

    def __init__(self, image: ImageSpec, tree: dict[str, str] | None) -> None:
        self.key = image.digest
        self._image, self._tree = image, tree
        self._venv = Venv(image.digest)
        self._packages = _own_packages()
        self._ours = ours() / _name(self._packages, image.python)
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

    def launcher(self, effect: StartExecutor, own: Zygote) -> Launch:
        """What starts a zygote there, or has it forked where that is the same."""
        by_value = effect.code.codec != "ref"

        def launch(far: socket.socket, mark: str) -> Launched:
            self._note_use()
            if self._is_like_ours():
                return own.fork_guest(far, self._order(mark, by_value=by_value))
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

    def _note_use(self) -> None:
        self._venv.note_use()
        with suppress(OSError):
            os.utime(self._ours)

    def _is_like_ours(self) -> bool:
        """Whether a start of its Python would make what our zygote is, but for where it looks.

        Some variables of a recipe count when a program starts, and not later.
        """
        own = self._venv.folder / "lib" / f"python{series()}" / "site-packages/apothic_emulator"
        return (
            not any(name.startswith(_AT_STARTS) for name in self._variables)
            and not interpreter.has_hooks()
            and os.path.realpath(self._venv.python) == os.path.realpath(sys.executable)
            and not own.exists()
        )

    def _order(self, mark: str, *, by_value: bool) -> bytes:
        env = self._inside(dict(os.environ))
        return guests.pack(
            Guest(
                folder=str(self._venv.folder),
                lock=str(self._venv.lock),
                sources=self._sources,
                stdlib=interpreter.stdlib(),
                ours=str(self._ours),
                env={name: env[name] for name in ("PATH", "VIRTUAL_ENV")} | {MARK: mark},
                dropped=[*_DROPPED],
                by_value=by_value,
                idle_s=IDLE_S,
            )
        )

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
