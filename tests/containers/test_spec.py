"""The spec's function with an image of its own, in that image: built, with packages of an index."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import Ran
from tests.containers.image import NAME
from tests.spec.blocks import BLOCKS

pytestmark = pytest.mark.docker

BASE = "python:3.11-slim"
VERSION = "9.9.9"
PACKAGES = ("numpy", "pandas")

ASKING = """

@app.function(image=analyze.options["image"])
def look():
    import importlib.metadata, my_package
    versions = [importlib.metadata.version(name) for name in ("numpy", "pandas")]
    return *versions, my_package.NAME, os.environ["PYTHONUNBUFFERED"], os.path.isdir("/app/cache")


if __name__ == "__main__":
    print(analyze.remote(), *look.remote())
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing of it."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nobody reads it."""


@pytest.fixture
def base(client: Any) -> Iterator[None]:
    """The image that the spec's begins with: the real one if it is here, else that of tests."""
    is_here = bool(client.images(BASE))
    if not is_here:
        client.tag(NAME, *BASE.split(":"))
    yield
    if not is_here:
        client.remove_image(BASE)


@pytest.fixture
def index(client: Any, tmp_path: Path) -> Iterator[str]:
    """The address of an index with packages of these names, which containers reach."""
    for name in PACKAGES:
        folder = tmp_path / "index" / "simple" / name
        folder.mkdir(parents=True)
        _wheel(folder, name)
    [network] = client.inspect_network("bridge")["IPAM"]["Config"]
    serve = partial(Quiet, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer((network["Gateway"], 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{network['Gateway']}:{server.server_port}/simple"
        server.shutdown()


def _wheel(folder: Path, name: str) -> None:
    """A package of one empty module."""
    files = {
        f"{name}.py": "",
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{VERSION}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            at = file if file.endswith(".py") else f"{name}-{VERSION}.dist-info/{file}"
            wheel.writestr(at, text)


def test_the_function_of_the_spec_runs_in_the_image_that_it_declares(
    base: None, index: str, ran: Callable[..., Ran], tmp_path: Path
) -> None:
    (block,) = (block for block in BLOCKS if block.title == "images")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("NAME = 'mine'")
    host = index.removeprefix("http://").partition(":")[0]

    program = ran(block.code + ASKING, PIP_INDEX_URL=index, PIP_TRUSTED_HOST=host)

    assert program.end() == f"ready {VERSION} {VERSION} mine 1 True"
