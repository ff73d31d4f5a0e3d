"""A driver's library for tests, built from `nvml.c`, which `nvidia-ml-py` loads like a real one."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

GIB = 1 << 30

_SOURCE = Path(__file__).with_name("nvml.c")


@cache
def library(*flags: str) -> Path:
    """The folder of a library that is built with these flags, once for all tests."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler is here")
    folder = Path(tempfile.mkdtemp(prefix="nvml-"))
    atexit.register(shutil.rmtree, folder)
    built = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", built, _SOURCE]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


class Driver:
    """What a driver says: a file with a line for each thing, read again at each question."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._path = folder / "nvml"
        self._flags = flags
        self._told: dict[str, object] = {"count": 0}
        self.tell()

    def tell(self, **told: object) -> None:
        """From now on it says this, too; a `_` in a key stands for the point, None for nothing."""
        self._told |= {key.replace("_", ".").lstrip("."): value for key, value in told.items()}
        lines = [f"{key}={value}\n" for key, value in self._told.items() if value is not None]
        new = self._path.with_suffix(".new")
        new.write_text("".join(lines))
        new.rename(self._path)

    def device(self, place: int, uuid: str, name: str = "NVIDIA L4", gib: int = 24) -> None:
        """There is one more device."""
        count = max(place + 1, int(str(self._told["count"])))
        self.tell(count=count, **_about(str(place), uuid, name, gib))

    def cut(self, place: int, *uuids: str, profile: str = "1g.5gb", gib: int = 5) -> None:
        """A device has MIG on, and these slices."""
        name = f"{self._told[f'{place}.name']} MIG {profile}"
        self.tell(**{f"_{place}_slices": 7})
        for i, uuid in enumerate(uuids):
            self.tell(**_about(f"{place}.{i}", uuid, name, gib))

    def environment(self, **more: str) -> dict[str, str]:
        """What a program needs so that it finds this driver."""
        foreign = "CUDA_", "APOTHIC_", "PYTEST_"
        own = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        there = {
            "LD_LIBRARY_PATH": str(library(*self._flags)),
            "NVML_OF_TESTS": str(self._path),
        }
        return {**own, **there, **more}

    def run(self, code: str, **env: str) -> str:
        """What a program prints."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment(**env),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _about(prefix: str, uuid: str, name: str, gib: int) -> dict[str, Any]:
    told = {"uuid": uuid, "name": name, "total": gib * GIB, "used": 0, "util": 0, "temp": 40}
    return {f"_{prefix}.{key}": value for key, value in told.items()}
