"""The images of the spec's blocks, as recipes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from apothic import App, Image
from apothic_backends.images.dockerfile import render
from apothic_backends.images.lanes import lane
from apothic_backends.model.images import ImageSpec
from tests.spec.blocks import BLOCKS

VERBS = """
    debian_slim from_registry from_dockerfile pip_install uv_pip_install apt_install env workdir
    run_commands add_local_file add_local_dir add_local_python_source
"""
"""What the spec has of images: the names that it gives, and those of what it describes."""


def recipe_of(title: str) -> ImageSpec:
    """The recipe of the one function of a block."""
    (block,) = (block for block in BLOCKS if block.title == title)
    module = ModuleType("spec_block")
    exec(compile(block.code, block.title, "exec"), vars(module))
    app: App = vars(module)["app"]
    (function,) = app.functions.values()
    options: dict[str, Any] = {**function.options}
    image: Image = options["image"]
    return image.spec()


def test_every_verb_of_the_spec_is_there() -> None:
    assert [verb for verb in VERBS.split() if not callable(getattr(Image, verb, None))] == []


def test_the_image_of_a_function_is_the_dockerfile_that_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    recipe = recipe_of("images")
    lines = render(recipe).splitlines()

    assert lane(recipe) == ("docker", ("run_commands may change anything",))
    assert lines[0] == "FROM python:3.11-slim"
    assert "uv pip install" in lines[1]
    assert " numpy pandas;" in lines[1]
    assert lines[2:4] == ["ENV PYTHONUNBUFFERED=1", 'RUN ["/bin/sh", "-c", "mkdir -p /app/cache"]']
    assert lines[4].startswith("COPY ")
    assert recipe.context is not None


def test_the_image_of_a_service_begins_where_it_says() -> None:
    recipe = recipe_of("a heavy service")

    assert recipe.base == "python:3.12-slim"
    assert [(step.verb, step.words) for step in recipe.steps] == [
        ("uv_pip_install", ("fastapi", "uvicorn", "transformers")),
    ]


def test_its_base_is_readable() -> None:
    assert Image.debian_slim("3.12").base == "python:3.12-slim"
    assert Image.from_registry("ubuntu:24.04").base == "ubuntu:24.04"
    assert Path(Image.from_dockerfile("Dockerfile").base).name == "Dockerfile"
