"""What was generated, as modules of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apothic import UsageError
from apothic.generation.artifacts import (
    Artifact,
    artifact_of,
    frozen_at,
    module_of,
    path_of,
    rendered,
)
from apothic.generation.stubs import Stub

CODE = "import re\n\ndef work(a: int) -> int:\n    return a + len(re.findall('a', 'b'))\n"
ARTIFACT = Artifact("id", "demo", "work", 'm"""\n', "2026-01-01T00:00:00+00:00", 1, True, CODE)


def frozen(folder: Path) -> Path:
    """A module as it is frozen."""
    stub = Stub("demo", "work", "function", "", file=str(folder / "a'''b.py"), root=str(folder))
    path = path_of(stub)
    path.parent.mkdir(parents=True)
    path.write_text(rendered(ARTIFACT, stub))
    return path


def test_a_frozen_module_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert frozen_at(frozen(tmp_path)) == ARTIFACT


def test_it_can_be_imported_as_any_other(tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    exec(frozen(tmp_path).read_text(), scope)

    assert scope["work"](3) == 3


def test_there_is_nothing_where_there_is_no_file(tmp_path: Path) -> None:
    assert frozen_at(tmp_path / "none.py") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a + len", "a - len"),
        ("import re", "import os\nimport re"),
        ('"""work()', 'import os\n"""work()'),
        ("\n# liv: ", "\nimport os\n# liv: "),
        ('"identity": "id"', '"identity": 3'),
        ('"answers": 1', '"answers": 1, "more": 2'),
        ("# liv: {", "# liv: ["),
        ("# liv: ", "# by hand: "),
    ],
)
def test_one_that_was_changed_by_hand_is_refused_with_the_way_out(
    tmp_path: Path, old: str, new: str
) -> None:
    path = frozen(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(UsageError, match=r"is not as it was written.*delete the file"):
        frozen_at(path)


def test_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = frozen(tmp_path)
    path.write_bytes(b"\xff")

    with pytest.raises(UsageError, match="is not as it was written"):
        frozen_at(path)


@pytest.mark.parametrize(
    ("app_name", "module"),
    [
        ("demo", "apothic_liv.demo.work"),
        ("liv-demo", "apothic_liv.liv_demo.work"),
        ("3d", "apothic_liv.app_3d.work"),
        ("class", "apothic_liv.app_class.work"),
    ],
)
def test_every_app_has_a_name_that_can_be_imported(app_name: str, module: str) -> None:
    assert module_of(app_name, "work") == module


@pytest.mark.parametrize("told", [None, 3, [], {}, {"identity": "id"}, "text"])
def test_what_is_no_artefact_is_none(told: Any) -> None:
    assert artifact_of(told) is None


def test_one_whose_code_is_another_is_none() -> None:
    assert artifact_of(ARTIFACT.to_json() | {"code": "import os"}) is None
    assert artifact_of(ARTIFACT.to_json()) == ARTIFACT
