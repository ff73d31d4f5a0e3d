"""Images on their way from a program to what runs its functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic import Image, NotFound
from apothic._drive import block
from apothic._placing import placed
from apothic._shipping import ship_image
from apothic_backends.base import Backend
from apothic_backends.commands import RegisterFunction
from apothic_backends.commands.archives import GetArchive, HasArchive
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.payloads import Payload
from apothic_backends.registry import open_backend

BASE = Image.debian_slim("3.12")


@pytest.fixture(params=["local", "inline"])
def backend(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    """One that has seen no archive before."""
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    backend = open_backend(request.param)
    yield backend
    backend.close()


FUNCTION = RegisterFunction(FunctionSpec("app", "f"), Payload(b"mod:f", codec="ref"))


def introduced(backend: Backend, image: Image) -> RegisterFunction:
    """How a function in that image is introduced."""
    (command,) = block(placed(backend, lambda: [FUNCTION], image))
    assert isinstance(command, RegisterFunction)
    return command


def test_the_files_of_an_image_are_there_before_a_function_in_it_is(
    backend: Backend, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("first")
    image = BASE.add_local_file(tmp_path / "a", "/a")
    recipe = introduced(backend, image).spec.image

    assert recipe == image.spec()
    assert recipe is not None
    assert recipe.context is not None
    assert backend.start(HasArchive(recipe.context)).wait()
    assert b"first" in backend.start(GetArchive(recipe.context, 0)).wait().data


def test_an_image_without_files_sends_nothing(backend: Backend) -> None:
    image = BASE.pip_install("numpy")

    assert block(ship_image(backend, image)).context is None


def test_calls_go_to_the_image_that_the_first_of_them_met_and_deployments_to_a_new_one(
    backend: Backend, tmp_path: Path
) -> None:
    image = BASE.add_local_file(tmp_path / "a", "/a")
    (tmp_path / "a").write_text("first")
    calls = [introduced(backend, image)]
    (tmp_path / "a").write_text("second")
    calls.append(introduced(backend, image))

    assert calls[0] == calls[1]
    assert block(ship_image(backend, image)) == image.spec()


def test_what_is_missing_is_told_at_the_call(backend: Backend, tmp_path: Path) -> None:
    image = BASE.add_local_dir(tmp_path / "gone", "/a")
    with pytest.raises(NotFound, match="gone is no folder"):
        introduced(backend, image)
