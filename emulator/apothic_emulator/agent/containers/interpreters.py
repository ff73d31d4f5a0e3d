"""Which Python runs an executor in a container: the image's own, or one that it is shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apothic_backends.containers import engine
from apothic_backends.home import home
from apothic_backends.model.images import ImageBuildFailed
from apothic_emulator.agent.containers.plan import Place

VARIABLE = "APOTHIC_PYTHON"
"""Names a folder, or an archive of one, with `bin/python3` in it, that containers may be shown."""

_LEAST = (3, 11)
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
_PATIENCE_S = 60
_INSTALL_S = 600


def find(client: Any, image: str, wanted: str) -> Place:
    """The place in an image where Python `wanted` runs, any that will do if it is empty.

    Raises:
        ImageBuildFailed: it has none that will do, and none is at hand that it could be shown.
        NoDocker: the daemon does not answer.
    """
    own = ""
    for program in dict.fromkeys([f"python{wanted}", "python3", "python"]):
        version = _version_in(client, image, program)
        if version and _will_do(version, wanted):
            return Place(image, program, version)
        own = own or version
    for folder in _at_hand(wanted):
        program = str(folder / "bin" / "python3")
        version = _version_of(program)
        if _will_do(version, wanted):
            return Place(image, program, version, str(folder))
    has = f"has Python {own}" if own else "has no Python"
    needs = wanted or "3.11 or later"
    raise ImageBuildFailed(
        f"the image {image} {has}, and its function needs {needs}: install that in it, or uv on "
        f"this machine, or name the folder of an installation with {VARIABLE}",
        step="python",
        output="",
    )


def _will_do(version: str, wanted: str) -> bool:
    if wanted:
        return version == wanted
    return tuple(int(part) for part in version.split(".") if part) >= _LEAST


def _version_in(client: Any, image: str, program: str) -> str:
    """The series of an interpreter of an image; empty if there is none."""
    import docker.errors  # noqa: PLC0415 - slow to import, and an extra

    with engine.told():
        how = client.create_host_config(network_mode="none", log_config={"Type": "json-file"})
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


def _at_hand(wanted: str) -> Iterator[Path]:
    """Installations of this machine that a container can be shown."""
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser().resolve()
        yield path if path.is_dir() else _unpacked(path)
    uv = shutil.which("uv")
    if uv and wanted:
        how = [uv, "python", "find", "--managed-python", "--no-project", wanted]
        if not _said(how):
            _said([uv, "python", "install", wanted], _INSTALL_S)
        found = _said(how)
        if found:
            yield Path(found).resolve().parents[1]


def _unpacked(archive: Path) -> Path:
    """The folder of an archive, which is unpacked if nobody has done so."""
    try:
        status = archive.stat()
        into = home() / "pythons" / f"{archive.name}-{status.st_size}-{status.st_mtime_ns}"
        if not into.is_dir():
            coming = into.with_name(f".{into.name}.{os.getpid()}")
            with tarfile.open(archive) as packed:
                packed.extractall(coming, filter="tar")
            coming.rename(into)
    except (OSError, tarfile.TarError) as error:
        raise ImageBuildFailed(
            f"{VARIABLE}={archive} is no folder, nor an archive that can be unpacked: {error}",
            step="python",
            output="",
        ) from error
    inner = [*into.iterdir()]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() else into


def _version_of(program: str) -> str:
    return _said([program, "-I", "-S", "-c", _ASK])


def _said(argv: list[str], timeout_s: float = _PATIENCE_S) -> str:
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if not ran.returncode else ""
