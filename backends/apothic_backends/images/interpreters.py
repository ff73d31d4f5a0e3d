"""Finding a Python of some series on this machine: the running one, one on PATH, one of uv's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from apothic_backends.model.images import ImageBuildFailed

OLDEST = (3, 11)
"""What Apothic's own code needs."""

_PATIENCE_S = 20.0
_SERIES = "import sys; print('%d.%d' % sys.version_info[:2])"


def uv() -> str | None:
    """The path of uv, on PATH or installed beside the Python that runs this."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


def series() -> str:
    """That of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find(wanted: str) -> str:
    """The path of a Python of that series, such as "3.12".

    Raises:
        ImageBuildFailed: there is none here, or it is too old for Apothic.
    """
    major, _, minor = wanted.partition(".")
    if (int(major), int(minor)) < OLDEST:
        raise ImageBuildFailed(
            f"the image is for Python {wanted}, and functions run under {OLDEST[0]}.{OLDEST[1]} "
            "or later; name another python_version",
            step=f"python {wanted}",
            output="",
        )
    if wanted == series():
        return sys.executable
    for path in _candidates(wanted):
        if _says([path, "-I", "-c", _SERIES]) == wanted:
            return path
    raise ImageBuildFailed(
        f"there is no Python {wanted} on this machine, which the image is for: install it "
        f"(`uv python install {wanted}`, or python{wanted} on PATH), or name the python_version "
        f"that is here, {series()}",
        step=f"python {wanted}",
        output="",
    )


def _candidates(wanted: str) -> Iterator[str]:
    on_path = shutil.which(f"python{wanted}")
    if on_path:
        yield on_path
    found = uv()
    if found:
        told = _says([found, "python", "find", "--no-project", "--no-python-downloads", wanted])
        if told:
            yield told


def _says(command: list[str]) -> str:
    """What a command prints; nothing if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter, or uv
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
