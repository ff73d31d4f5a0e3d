"""What images of machines are made of, and where they may be put."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import pytest

from apothic_backends.containers import machines
from apothic_backends.containers.interpreters import Place
from apothic_backends.containers.pushing import check_registry
from apothic_backends.model.errors import UsageError


def context(folder: Path, place: Place) -> dict[str, str]:
    """The files of a build, with their text."""
    site = folder / "site"
    site.mkdir()
    (site / "click.py").write_text("click")
    with tempfile.TemporaryFile() as file:
        machines._pack(file, place, site)
        file.seek(0)
        with tarfile.open(fileobj=file) as packed:
            found = {it.name: packed.extractfile(it) for it in packed if it.isfile()}
            return {name: it.read().decode() for name, it in found.items() if it is not None}


def test_a_machine_runs_the_agent_by_the_python_of_its_image(tmp_path: Path) -> None:
    found = context(tmp_path, Place("apothic/1", "python3.11", "3.11"))

    assert found["Dockerfile"].startswith("FROM apothic/1\nUSER 0:0\nCOPY apothic /opt/apothic\n")
    assert "exec python3.11 -I /opt/apothic/bin/agent.py" in found["apothic/bin/apothic"]
    assert found["apothic/site-packages/click.py"] == "click"


def test_a_python_that_the_image_lacks_comes_to_where_it_is_here(tmp_path: Path) -> None:
    installed = tmp_path / "a python"
    (installed / "bin").mkdir(parents=True)
    (installed / "bin" / "python3").write_text("program")
    python = str(installed / "bin" / "python3")

    found = context(tmp_path, Place("apothic/1", python, "3.11", str(installed)))

    assert f'COPY ["python", "{installed}"]\n' in found["Dockerfile"]
    assert f"exec '{python}' -I" in found["apothic/bin/apothic"]
    assert found["python/bin/python3"] == "program"


def test_the_agent_is_another_one_only_where_it_differs() -> None:
    assert machines.release() == machines.release()
    version, _, digest = machines.release().partition("+")
    assert version
    assert len(digest) == 12


@pytest.mark.parametrize(
    "place", ["ghcr.io/me/apothic", "docker.io/me/a.b-c", "localhost/a", "127.0.0.1:5000/me/own"]
)
def test_a_place_in_a_registry_has_a_host_and_a_name(place: str) -> None:
    assert check_registry(place) == place


@pytest.mark.parametrize(
    "place", ["", "me", "me/apothic", "ghcr.io", "ghcr.io/", "ghcr.io/Me", "ghcr.io/a:1", "-a.b/c"]
)
def test_what_is_no_place_in_a_registry_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="names no place in a registry"):
        check_registry(place)
