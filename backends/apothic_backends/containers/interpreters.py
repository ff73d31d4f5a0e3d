"""Which Python runs an executor in a container: the image's own, or one that it is shown."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apothic_backends.containers import engine
from apothic_backends.containers.passing import bind
from apothic_backends.home import home
from apothic_backends.images import interpreters
from apothic_backends.model.images import ImageBuildFailed
from apothic_backends.model.record import Record
from apothic_backends.volumes.disk import remove_tree

VARIABLE = "APOTHIC_PYTHON"
"""Names a folder, or an archive of one, with `bin/python3` in it, that containers may be shown."""

_LEAST = (3, 11)
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
_PATIENCE_S = 60
_INSTALL_S = 600


class Place(Record):
    """An image that is here, and the interpreter in it or for it.

    `image_id` is what its name stood for when that was found. `python` is a program of the image;
    or one of this machine, in `installation`, which the container is shown.
    """

    image: str
    python: str
    version: str
    installation: str = ""
    image_id: str = ""


def find_own(client: Any, image: str, wanted: str) -> Place | None:
    """The place in an image where a Python `wanted` of its own runs; None if it has none.

    Raises:
        NoDocker: the daemon does not answer.
    """
    found = _own(client, image, wanted)
    its = (Place(image, *one) for one in found if one[1] and _will_do(one[1], wanted))
    return next(its, None)


def _own(client: Any, image: str, wanted: str) -> Iterator[tuple[str, str]]:
    """Programs of an image that may be a Python, and their versions; empty for none."""
    for program in dict.fromkeys([f"python{wanted}", "python3", "python"]):
        yield program, _version_in(client, image, program)


def find(client: Any, image: str, wanted: str) -> Place:
    """The place in an image where Python `wanted` runs, any that will do if it is empty.

    Raises:
        ImageBuildFailed: it has none that will do, and none is at hand that it could be shown.
        NoDocker: the daemon does not answer.
    """
    own = ""
    for program, version in _own(client, image, wanted):
        if version and _will_do(version, wanted):
            return Place(image, program, version)
        own = own or version
    shown: list[str] = []
    for name, folder in _at_hand(wanted):
        program = str(folder / "bin" / "python3")
        version = _version_in(client, image, program, str(folder))
        if version and _will_do(version, wanted):
            return Place(image, program, version, str(folder))
        shown.append(f"{name} is Python {version}" if version else _no_python(name, folder))
    has = f"has Python {own}" if own else "has no Python"
    needs = wanted or "3.11 or later"
    raise ImageBuildFailed(
        f"the image {image} {has}, and its function needs {needs}: install that in it, or uv on "
        f"this machine, or name the folder or an archive of an installation with {VARIABLE}"
        + "".join(f"; {one}" for one in shown),
        step="python",
        output="",
    )


def _no_python(name: str, folder: Path) -> str:
    if not (folder / "bin" / "python3").exists():
        return f"{name} has no bin/python3 in it"
    return f"the Python of {name} does not run in this image"


def _will_do(version: str, wanted: str) -> bool:
    if wanted:
        return version == wanted
    return tuple(int(part) for part in version.split(".") if part) >= _LEAST


def _version_in(client: Any, image: str, program: str, installation: str = "") -> str:
    """The series of an interpreter in an image, or one that it is shown; empty if none runs."""
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    with engine.told():
        mounts = [bind(installation, installation)] if installation else []
        how = client.create_host_config(
            network_mode="none", log_config={"Type": "json-file"}, mounts=mounts
        )
        entrypoint = [program, "-I", "-S", "-c", _ASK]
        made = client.create_container(image, entrypoint=entrypoint, command=[], host_config=how)
        try:
            client.start(made["Id"])
            client.wait(made["Id"], timeout=_PATIENCE_S)
            said = client.logs(made["Id"], stdout=True, stderr=False).decode().strip()
        except docker.errors.APIError as error:
            if error.status_code not in {400, 404}:
                raise
            return ""  # there is no such program
        finally:
            client.remove_container(made["Id"], force=True)
    return said if said.replace(".", "").isdigit() else ""


def _at_hand(wanted: str) -> Iterator[tuple[str, Path]]:
    """Installations of this machine that a container can be shown, and what they are called."""
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser().resolve()
        yield f"{VARIABLE}={named}", path if path.is_dir() else _unpacked(path)
    uv = interpreters.uv()
    if uv and wanted:
        how = [uv, "python", "find", "--managed-python", "--no-project", wanted]
        never = [*how, "--no-python-downloads"]
        if not _said(never):
            _said([uv, "python", "install", wanted], _INSTALL_S)
        found = _said(never)
        if found:
            yield "that of uv", Path(found).resolve().parents[1]


def _unpacked(archive: Path) -> Path:
    """The folder of an archive, which is unpacked if nobody has done so."""
    try:
        status = archive.stat()
        into = home() / "pythons" / f"{archive.name}-{status.st_size}-{status.st_mtime_ns}"
        if not into.is_dir():
            _unpack(archive, into)
    except (OSError, tarfile.TarError) as error:
        raise ImageBuildFailed(
            f"{VARIABLE}={archive} is no folder, nor an archive that can be unpacked: {error}",
            step="python",
            output="",
        ) from error
    inner = [*into.iterdir()]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else into


def _unpack(archive: Path, into: Path) -> None:
    coming = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(coming, filter="tar")
        coming.rename(into)
    except OSError:
        if not into.is_dir():  # else somebody was faster
            raise
    finally:
        remove_tree(coming)


def _said(argv: list[str], timeout_s: float = _PATIENCE_S) -> str:
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if not ran.returncode else ""
