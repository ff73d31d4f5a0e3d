"""The image of machines for which nobody names another: a Python, and this very Apothic.

    python:X.Y-slim, or another base ──► FROM it, and /opt/apothic ──► apothic/machine:KEY

It has all that `apothic serve` and `apothic agent` need there. A file beside the packages of the
base's Python says where that is, so functions find it as if it had been installed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

from apothic_backends.containers import building, engine, interpreters, ours
from apothic_backends.images import records
from apothic_backends.images.lanes import DOCKER
from apothic_backends.model.errors import UsageError
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.masks import Masks

SERIES: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE: Final = f"python:{SERIES}-slim"

EXTRAS: Final = frozenset({"agent", "cloud", "postgres", "s3", "server", "surrealdb", "web"})
"""What control planes and agents may need; functions bring what they need."""

_EXTRA: Final = re.compile(r"extra == ['\"]([\w-]+)['\"]")
_NAME: Final = re.compile(r"([\w.-]+)(\[[^]]*])?")
_WINDOWS: Final = re.compile(r"sys_platform == ['\"]win32['\"]")
_AT: Final = "/opt/apothic"

_DOCKERFILE: Final = """\
FROM {base}
USER 0:0
COPY apothic {at}
RUN ["{python}", "{at}/bin/known.py"]
ENTRYPOINT []
CMD ["apothic", "agent"]
RUN ["apothic", "serve", "--help"]
"""
_PROGRAM: Final = """\
#!/bin/sh
exec {python} -P -m apothic.cli "$@"
"""
_KNOWN: Final = """\
import os, pathlib, site

folder = pathlib.Path(site.getsitepackages()[0])
folder.mkdir(parents=True, exist_ok=True)
(folder / "apothic.pth").write_text("{at}/site-packages\\n")
os.makedirs("/usr/local/bin", exist_ok=True)
os.symlink("{at}/bin/apothic", "/usr/local/bin/apothic")
"""


def build(base: str, told: Callable[[str], object], client: Any) -> str:
    """See to it that the image is here, on that base; its name.

    `told` is called with lines of output, each with the end of its line.

    Raises:
        ImageBuildFailed: a step has failed.
        ImageMissing: the base is not here, and cannot be pulled.
        NoDocker: there is no Docker that this process may use.
        UsageError: the base is for other computers than machines are, or has no Python of the
            series that runs here: functions are pickled under it.
    """
    image = ImageSpec(base=base)
    found = engine.find_image(client, base)
    ours.check_platform(base, found)
    place = interpreters.find_own(client, base, SERIES)
    if place is None:
        raise UsageError(
            f"the image {base} has no Python {SERIES}, which runs here: functions are pickled for "
            f"it. Name another one, such as {BASE}, with --base"
        )
    needs = _needs()
    made_of = found["Id"], place.python, ours.release_of(needs), _DOCKERFILE, _KNOWN
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    name = f"apothic/machine:{key}"
    with building.only_one(image):
        if not ours.is_here(client, name):
            with tempfile.TemporaryFile() as file:
                _pack(file, base, place.python, needs)
                file.seek(0)
                output = building.Output(Masks([]), told)
                labels = {building.LABEL: image.digest}
                building.carry_out(client, output, fileobj=file, tag=name, labels=labels)
            records.write(image, DOCKER)
    return name


def _pack(file: IO[bytes], base: str, python: str, needs: list[str]) -> None:
    """The context of the build."""
    with (
        tempfile.TemporaryDirectory(prefix="apothic-machine-") as folder,
        tarfile.open(fileobj=file, mode="w") as packed,
    ):
        site = Path(folder) / "site-packages"
        ours.install(site, SERIES, needs)
        _describe(site)
        text = _DOCKERFILE.format(base=base, at=_AT, python=python)
        ours.put(packed, "Dockerfile", text)
        program = _PROGRAM.format(python=shlex.quote(python), at=_AT)
        ours.put(packed, "apothic/bin/apothic", program)
        ours.put(packed, "apothic/bin/known.py", _KNOWN.format(at=_AT))
        packed.add(site, "apothic/site-packages", filter=ours.nobodys)


def _describe(site: Path) -> None:
    """Say what is installed there, and which commands and backends it has."""
    its = metadata.distribution("apothic")
    folder = site / f"apothic-{its.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(its.read_text(name) or "", "utf-8")


def _needs() -> list[str]:
    """What all of it needs: in the versions that are installed here, else as it is asked for."""
    return sorted({*_wanted(metadata.requires("apothic") or [])})


def _wanted(told: list[str]) -> Iterator[str]:
    for line in told:
        need, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if _WINDOWS.search(marker) or (extra is not None and extra[1] not in EXTRAS):
            continue
        name = _NAME.match(need)
        assert name is not None, need
        pin = ours.pinned(name[1])
        yield need.strip() if pin is None else pin.replace("==", f"{name[2] or ''}==")
