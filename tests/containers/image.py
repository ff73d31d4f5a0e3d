"""The image that containers of tests are made from, out of Debian packages: none is pulled."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

NAME = "apothic-test-base:1"
EMPTY = "apothic-test-empty:1"
"""One without a program in it."""


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
    include = "--include=python3"
    subprocess.run(["debootstrap", "--variant=minbase", include, "stable", root], check=True)
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)


if __name__ == "__main__":
    make()
