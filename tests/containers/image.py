"""The images that containers of tests are made from, out of Debian packages: none is pulled."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "apothic-test-base:2"
EMPTY = "apothic-test-empty:1"
"""One without a program in it."""

RELEASES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Debian's by the Python that they have, which is to be that of the tests."""


def make() -> None:
    """Make both, unless they are there; that takes a minute, and root."""
    import docker
    import docker.errors

    client = docker.from_env()
    client.api.import_image_from_data(bytes(10240), *EMPTY.split(":"))
    try:
        client.images.get(NAME)
    except docker.errors.ImageNotFound:
        with tempfile.TemporaryDirectory() as folder:
            _bootstrap(Path(folder) / "root", Path(folder) / "root.tar")
            client.api.import_image_from_file(str(Path(folder) / "root.tar"), *NAME.split(":"))
    finally:
        client.close()


def _bootstrap(root: Path, archive: Path) -> None:
    release = RELEASES.get(sys.version_info[:2])
    if release is None:
        known = ", ".join(f"{major}.{minor}" for major, minor in RELEASES)
        sys.exit(f"no Debian has the Python {sys.version} of these tests; run them with {known}")
    include = "--include=python3,python3-pip"
    subprocess.run(["debootstrap", "--variant=minbase", include, release, root], check=True)
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)


if __name__ == "__main__":
    make()
