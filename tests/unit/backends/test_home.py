from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from apothic_backends.home import home
from apothic_backends.model.errors import UsageError


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "a" / "b"))

    assert home() == tmp_path / "a" / "b"


def test_else_it_is_where_the_platform_has_such_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APOTHIC_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert home() == tmp_path / "apothic"


@pytest.mark.parametrize("mode", [None, 0o755, 0o770])
def test_nobody_else_may_look_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None
) -> None:
    path = tmp_path / "here"
    monkeypatch.setenv("APOTHIC_HOME", str(path))
    if mode is not None:
        path.mkdir()
        path.chmod(mode)

    assert stat.S_IMODE(home().stat().st_mode) == 0o700


def test_one_that_everybody_writes_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))

    with pytest.raises(UsageError, match="everybody"):
        home()


def test_one_that_would_depend_on_the_directory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_HOME", "here")

    with pytest.raises(UsageError, match="absolute"):
        home()


def test_a_file_in_its_place_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "file"))

    with pytest.raises(UsageError, match="File exists"):
        home()


@pytest.mark.parametrize("uid", [os.geteuid() + 1])
def test_one_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    with pytest.raises(UsageError, match="belongs to user"):
        home()
