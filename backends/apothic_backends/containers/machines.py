"""Images of which machines are made: one that functions ask for, with an agent of ours in it.

    recipe ──► its image ──► which Python? ──► FROM it, and /opt/apothic ──► apothic/machine:KEY

| in /opt/apothic | what                                                         |
|-----------------|--------------------------------------------------------------|
| `bin/apothic`   | what a machine runs                                          |
| `site-packages` | our packages, and what they need                             |

An image without a Python that will do gets one, at the path where that is here: some know no other.
What the agent needs is what is installed here, too, in the same versions. The last step of the
build starts the agent.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import tarfile
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

from apothic_backends.containers import building, engine, interpreters, ours
from apothic_backends.containers.interpreters import Place
from apothic_backends.images import records
from apothic_backends.images.lanes import DOCKER
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.masks import Masks

_NEEDS: Final = ("click", "cloudpickle", "nvidia-ml-py", "platformdirs", "psutil", "websockets")
_MAY_NEED: Final = ("obstore",)
"""For buckets; it is there where it is here."""
_AT: Final = "/opt/apothic"

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
    """Which agent is put into images."""
    return ours.release_of(_pins())


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
    ours.check_platform(base, found)
    place = interpreters.find(client, base, image.python or python)
    made_of = found["Id"], place.python, place.version, place.installation, release()
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]
    name = f"apothic/machine:{key}"
    with building.only_one(image):
        if not ours.is_here(client, name):
            _build(client, image, place, name, told)
    return name


def _build(
    client: Any, image: ImageSpec, place: Place, name: str, told: Callable[[str], object]
) -> None:
    with tempfile.TemporaryDirectory(prefix="apothic-machine-") as folder:
        site = Path(folder) / "site-packages"
        ours.install(site, place.version, _pins())
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
        ours.put(packed, "Dockerfile", text)
        program = _PROGRAM.format(python=shlex.quote(place.python), at=_AT)
        ours.put(packed, "apothic/bin/apothic", program)
        ours.put(packed, "apothic/bin/agent.py", _AGENT.format(at=_AT))
        packed.add(site, "apothic/site-packages", filter=ours.nobodys)
        if place.installation:
            packed.add(place.installation, "python", filter=ours.nobodys)


def _pins() -> list[str]:
    """What an agent needs, as it is installed here."""
    found = [f"{name}=={metadata.version(name)}" for name in _NEEDS]
    return found + [pin for pin in map(ours.pinned, _MAY_NEED) if pin is not None]
