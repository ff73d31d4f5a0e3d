"""Images of which machines are made: one that functions ask for, with an agent of ours in it.

    recipe ──► its image ──► which Python? ──► FROM it, and /opt/apothic ──► apothic/machine:KEY

| in /opt/apothic | what                                                         |
|-----------------|--------------------------------------------------------------|
| `bin/apothic`   | what a machine runs                                          |
| `site-packages` | our packages, and what they need                             |

An image without a Python that will do gets one, at the path where that is here: some know no other.
What the agent needs is installed here, for the machine's kind of computer and its Python: so the
image needs no pip, and nobody's index is told to a build. It is what is installed here, too, in the
same versions. The last step of the build starts the agent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

from apothic_backends.containers import building, engine, interpreters
from apothic_backends.containers.interpreters import Place
from apothic_backends.images import pip, records
from apothic_backends.images.installing import run
from apothic_backends.images.interpreters import uv
from apothic_backends.images.lanes import DOCKER
from apothic_backends.model.errors import UsageError
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.masks import Masks

PLATFORM: Final = "linux/amd64"
"""What rented machines are."""

_OURS: Final = ("apothic", "apothic_backends", "apothic_emulator")
_NEEDS: Final = ("click", "cloudpickle", "nvidia-ml-py", "platformdirs", "psutil", "websockets")
_MAY_NEED: Final = ("obstore",)
"""For buckets; it is there where it is here."""
_AT: Final = "/opt/apothic"
_STEP: Final = "the agent"
_TAGS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_ANYBODY: Final = 0o755

_DOCKERFILE: Final = """\
FROM {base}
USER 0:0
{shown}COPY apothic {at}
ENV PATH="{at}/bin:$PATH"
ENTRYPOINT []
CMD ["apothic", "agent"]
RUN ["apothic", "check"]
"""
_PROGRAM: Final = """\
#!/bin/sh
exec {python} -I {at}/bin/agent.py "$@"
"""
_AGENT: Final = """\
import sys

sys.path.insert(0, "{at}/site-packages")
from apothic_backends.model.errors import ApothicError
from apothic_emulator.agent import dialing, gpus, process
from apothic_emulator.agent.commands import agent

if sys.argv[1:] != ["check"]:
    try:
        agent(sys.argv[2:], prog_name="apothic agent")
    except ApothicError as error:
        sys.exit(f"{{error.code}}: {{error.message}}")
"""


def release() -> str:
    """Which agent is put into images: the version, and a digest of all that it is."""
    digest = hashlib.sha256(json.dumps(_pins()).encode())
    for name in _OURS:
        folder = _folder_of(name)
        for file in sorted(_files(folder)):
            digest.update(f"{name}/{file.relative_to(folder)}".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{metadata.version('apothic')}+{digest.hexdigest()[:12]}"


def build(
    image: ImageSpec,
    archive: Path | None,
    python: str,
    told: Callable[[str], object],
    client: Any,
) -> str:
    """See to it that an image is here of which machines can be made; its name.

    It is for functions that were pickled under `python`. `archive` has the files of the recipe, and
    `told` is called with lines of output, each with the end of its line.

    Raises:
        ImageBuildFailed: a step has failed, or no Python that will do is to be had.
        ImageMissing: what it begins with is not here, and cannot be pulled.
        NoDocker: there is no Docker that this process may use.
        UsageError: it is for other computers than machines are.
    """
    base = building.build(image, archive, told, client)
    with engine.told():
        found = client.inspect_image(base)
    _check_platform(base, found)
    place = interpreters.find(client, base, image.python or python)
    made_of = found["Id"], place.python, place.version, place.installation, release()
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    name = f"apothic/machine:{key}"
    with building.only_one(image):
        if not _is_here(client, name):
            _build(client, image, place, name, told)
    return name


def _check_platform(base: str, found: dict[str, Any]) -> None:
    platform = f"{found.get('Os') or 'linux'}/{found.get('Architecture') or 'amd64'}"
    if platform != PLATFORM:
        raise UsageError(
            f"the image {base} is for {platform}, and rented machines are {PLATFORM}: publish it "
            "where Docker builds for that (DOCKER_HOST names another Docker)"
        )


def _is_here(client: Any, name: str) -> bool:
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    with engine.told(), suppress(docker.errors.ImageNotFound):
        client.inspect_image(name)
        return True
    return False


def _build(
    client: Any, image: ImageSpec, place: Place, name: str, told: Callable[[str], object]
) -> None:
    with tempfile.TemporaryDirectory(prefix="apothic-machine-") as folder:
        site = Path(folder) / "site-packages"
        _install(site, place.version)
        with tempfile.TemporaryFile(dir=folder) as file:
            _pack(file, place, site)
            file.seek(0)
            building.carry_out(
                client,
                building.Output(Masks([]), told),
                fileobj=file,
                tag=name,
                labels={building.LABEL: image.digest},
            )
    records.write(image, DOCKER)


def _pack(file: IO[bytes], place: Place, site: Path) -> None:
    """The context of the build."""
    copied = json.dumps(["python", place.installation])
    shown = f"COPY {copied}\n" if place.installation else ""
    text = _DOCKERFILE.format(base=place.image, at=_AT, shown=shown)
    with tarfile.open(fileobj=file, mode="w") as packed:
        _put(packed, "Dockerfile", text)
        program = _PROGRAM.format(python=shlex.quote(place.python), at=_AT)
        _put(packed, "apothic/bin/apothic", program)
        _put(packed, "apothic/bin/agent.py", _AGENT.format(at=_AT))
        packed.add(site, "apothic/site-packages", filter=_nobodys)
        if place.installation:
            packed.add(place.installation, "python", filter=_nobodys)


def _put(packed: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), _ANYBODY
    packed.addfile(info, BytesIO(data))


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


# --- what the agent is ---------------------------------------------------------------------------


def _install(site: Path, series: str) -> None:
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
    run([*command, "--python-version", series, "--target", str(site), *_pins()], env, _STEP)
    for name in _OURS:
        shutil.copytree(_folder_of(name), site / name, ignore=shutil.ignore_patterns("__pycache__"))


def _pins() -> list[str]:
    """What our packages need, as it is installed here."""
    found = [f"{name}=={metadata.version(name)}" for name in _NEEDS]
    for name in _MAY_NEED:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name}=={metadata.version(name)}")
    return found


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None, "it comes with this package"
    assert spec.submodule_search_locations, "it is a folder"
    return Path(next(iter(spec.submodule_search_locations)))


def _files(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(top, name) for name in names)
