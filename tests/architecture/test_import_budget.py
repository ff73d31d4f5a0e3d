"""`import apothic` stays cheap: what it pulls in is listed here, not timed."""

from __future__ import annotations

import subprocess
import sys

import pytest

BANNED = frozenset(
    {
        *("asyncio", "cloudpickle", "click", "concurrent.futures", "contextlib", "dataclasses"),
        *("email", "enum", "http", "importlib.metadata", "inspect", "json", "logging", "pathlib"),
        *("pickle", "socket", "ssl", "subprocess", "tempfile", "traceback", "typing", "urllib"),
        *("anyio", "trio", "psutil", "rich", "msgspec", "apothic_backends", "apothic_emulator"),
    }
)
"""Each costs a good part of a bare interpreter start, or pulls in something that does."""

LIST_NEW = "import sys; before = set(sys.modules); {}; print(*(set(sys.modules) - before))"


def newly_imported(statement: str) -> set[str]:
    """The modules that a fresh interpreter loads for the statement."""
    command = [sys.executable, "-I", "-c", LIST_NEW.format(statement)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_importing_apothic_imports_next_to_nothing() -> None:
    assert newly_imported("import apothic") & BANNED == set()


@pytest.mark.parametrize("module", ["asyncio", "click", "inspect", "apothic_emulator", "pathlib"])
def test_declaring_a_function_starts_no_control_plane(module: str) -> None:
    declare = "import apothic; apothic.App('a').function()(lambda: None)"

    assert module not in newly_imported(declare)


@pytest.mark.parametrize(
    "module", ["classes", "generation.config", "methods", "sandboxes", "services", "snapshots"]
)
def test_an_app_that_only_has_functions_loads_nothing_of_other_shapes(module: str) -> None:
    declare = "import apothic; apothic.App('a').function()(lambda: None)"

    loaded = newly_imported(declare)

    assert f"apothic.{module}" not in loaded
    assert "apothic.functions" in loaded


def test_executors_without_an_image_load_nothing_of_images() -> None:
    loaded = newly_imported("import apothic_emulator.agent.agent")

    assert "apothic_emulator.agent.line" in loaded
    assert loaded & {"apothic_backends.images", "apothic_emulator.agent.environments"} == set()


@pytest.mark.parametrize("module", ["pathspec", "tempfile", "shutil"])
def test_an_image_that_brings_no_files_loads_nothing_that_packs_some(module: str) -> None:
    recipe = "import apothic; apothic.Image.debian_slim().pip_install('a').env(A='1').spec()"

    assert module not in newly_imported(recipe)


def test_a_control_plane_that_rents_nothing_loads_nothing_for_that() -> None:
    loaded = newly_imported("from apothic_emulator.core.plane import Plane; Plane('here')")

    core = "apothic_emulator.core"
    of_renting = {f"{core}.{name}" for name in ("machines", "rented", "renting", "supply", "wants")}
    assert loaded & (of_renting | {"apothic_backends.providers.base"}) == set()
    assert f"{core}.plane" in loaded
