"""What is installed here of ours, and of what we need, on its way into images of machines.

It is installed here, for the machine's kind of computer and its Python: so no image needs pip, and
nobody's index is told to a build.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from apothic_backends.containers import engine
from apothic_backends.images import pip
from apothic_backends.images.installing import run
from apothic_backends.images.interpreters import uv
from apothic_backends.model.errors import UsageError

PLATFORM: Final = "linux/amd64"
"""What rented machines are."""

_OURS: Final = ("apothic", "apothic_backends", "apothic_emulator")
_STEP: Final = "the agent"
_TAGS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_ANYBODY: Final = 0o755


def release_of(needs: Sequence[str]) -> str:
    """What is put into images: the version, and a digest of all that it is."""
    digest = hashlib.sha256(json.dumps([*needs]).encode())
    for name in _OURS:
        folder = _folder_of(name)
        for file in sorted(_files(folder)):
            digest.update(f"{name}/{file.relative_to(folder)}".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{metadata.version('apothic')}+{digest.hexdigest()[:12]}"


def install(site: Path, series: str, needs: Sequence[str]) -> None:
    """Put our packages, and what they need under a Python of that series, into a folder."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    if importlib.util.find_spec("pip") is not None:
        tags = [f"--platform={tag}" for tag in _TAGS]
        how = ["--no-input", "--disable-pip-version-check", "--implementation=cp", *tags]
        command = [sys.executable, "-m", "pip", "install", *how, "--only-binary=:all:"]
    else:
        env |= pip.for_uv(env)
        how = ["--python-platform", f"x86_64-{_TAGS[0]}", "--only-binary", ":all:"]
        command = [uv() or "uv", "pip", "install", *how]
    run([*command, "--python-version", series, "--target", str(site), *needs], env, _STEP)
    for name in _OURS:
        shutil.copytree(_folder_of(name), site / name, ignore=shutil.ignore_patterns("__pycache__"))


def pinned(name: str) -> str | None:
    """What is installed here under a name, in its version; None if nothing is."""
    with suppress(metadata.PackageNotFoundError):
        return f"{name}=={metadata.version(name)}"
    return None


def check_platform(base: str, found: dict[str, Any]) -> None:
    """See to it that an image is for the computers that machines are.

    Raises:
        UsageError: it is for others.
    """
    platform = f"{found.get('Os') or 'linux'}/{found.get('Architecture') or 'amd64'}"
    if platform != PLATFORM:
        raise UsageError(
            f"the image {base} is for {platform}, and rented machines are {PLATFORM}: publish it "
            "where Docker builds for that (DOCKER_HOST names another Docker)"
        )


def is_here(client: Any, name: str) -> bool:
    """Whether there is an image of that name."""
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    with engine.told(), suppress(docker.errors.ImageNotFound):
        client.inspect_image(name)
        return True
    return False


def put(packed: tarfile.TarFile, name: str, text: str) -> None:
    """Add a file that anybody may run."""
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), _ANYBODY
    packed.addfile(info, BytesIO(data))


def nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file that is not said to be of somebody here."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, "it comes with this package"
    assert spec.submodule_search_locations, "it is a folder"
    return Path(next(iter(spec.submodule_search_locations)))


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(top, name) for name in names)
