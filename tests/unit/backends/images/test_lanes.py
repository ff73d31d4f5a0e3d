"""Which images are virtual environments, and which need Docker."""

from __future__ import annotations

import pytest

from apothic_backends.images.lanes import lane
from apothic_backends.model.images import ImageSpec, ImageStep

SLIM = ImageSpec(base="python:3.11-slim", python="3.11")


@pytest.mark.parametrize(
    "verb", ["pip_install", "uv_pip_install", "env", "add_local_python_source"]
)
def test_what_only_python_needs_is_a_virtual_environment(verb: str) -> None:
    found = lane(SLIM.replace(steps=(ImageStep(verb, ("x",)),)))

    assert found.kind == "venv"
    assert found.reasons == ("it has Python packages, variables and sources of yours, and no more",)


@pytest.mark.parametrize(
    "verb", ["apt_install", "run_commands", "workdir", "add_local_file", "add_local_dir"]
)
def test_what_changes_the_system_needs_docker_and_is_named(verb: str) -> None:
    steps = (ImageStep("pip_install", ("x",)), ImageStep(verb, ("x",)), ImageStep(verb, ("y",)))
    found = lane(SLIM.replace(steps=steps))

    assert found.kind == "docker"
    (reason,) = found.reasons
    assert reason.startswith(f"{verb} ")


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (ImageSpec(base="ubuntu:24.04"), "it begins with the image ubuntu:24.04 of a registry"),
        (ImageSpec(dockerfile="FROM ubuntu:24.04"), "it begins with a Dockerfile"),
        (
            ImageSpec(base="python:3.11-slim"),
            "it begins with the image python:3.11-slim of a registry",
        ),
    ],
)
def test_an_image_that_begins_with_more_than_python_needs_docker(
    image: ImageSpec, reason: str
) -> None:
    assert lane(image) == ("docker", (reason,))


def test_a_step_that_is_not_known_needs_docker() -> None:
    found = lane(SLIM.replace(steps=(ImageStep("conjure"),)))

    assert found == ("docker", ("conjure needs one",))
