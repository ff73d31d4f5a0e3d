from __future__ import annotations

from pathlib import Path

import pytest

from apothic_emulator.dev.files import MOST_MADE, Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A project that ships two files."""
    (tmp_path / "app.py").write_text("x = 1\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "page.html").write_text("<p>")
    files = Files(tmp_path)
    files.ship(["app.py", "pkg/page.html"])
    return files


def test_a_file_that_is_written_with_the_same_has_not_changed(files: Files) -> None:
    (files.root / "app.py").write_text("x = 1\n")

    assert files.changed(["app.py"]) == set()


def test_a_change_is_told_once(files: Files) -> None:
    (files.root / "app.py").write_text("x = 2\n")

    assert files.changed(["app.py", "pkg/page.html"]) == {"app.py"}
    assert files.changed(["app.py"]) == set()


def test_a_file_that_is_gone_has_changed(files: Files) -> None:
    (files.root / "app.py").unlink()

    assert files.changed(["app.py"]) == {"app.py"}


def test_what_is_not_shipped_is_asked_about_once(files: Files) -> None:
    assert files.unknown(["app.py", "data.log"]) == {"data.log"}
    files.leave_out(["data.log"])

    assert files.unknown(["data.log"]) == set()


def test_what_is_not_shipped_is_asked_about_again_when_the_rules_are_others(files: Files) -> None:
    files.leave_out(["data.log"])
    files.unknown([".gitignore"])

    assert files.unknown(["data.log"]) == {"data.log"}


def test_what_ships_anew_and_what_does_no_more_is_told(files: Files) -> None:
    assert files.ship(["app.py", "new.py"]) == {"pkg/page.html", "new.py"}
    assert files.all == ["app.py", "new.py"]


@pytest.mark.parametrize("name", [".apothic/state/x", ".git/index", "pkg/__pycache__/app.pyc"])
def test_what_never_ships_has_no_name(files: Files, name: str) -> None:
    assert files.relative(str(files.root / name)) is None


def test_what_lies_elsewhere_has_no_name(files: Files) -> None:
    assert files.relative("/etc/passwd") is None


@pytest.mark.parametrize("text", ["", "def f(:", "x = (1,\n", "x = '\0'"])
def test_a_program_that_cannot_be_read_looks_half_written(files: Files, text: str) -> None:
    (files.root / "app.py").write_text(text)

    assert files.half(["app.py"]) == {"app.py"}


def test_a_file_that_was_taken_away_looks_half_written(files: Files) -> None:
    (files.root / "app.py").unlink()

    assert files.half(["app.py"]) == {"app.py"}


def test_other_files_look_half_written_when_they_are_empty(files: Files) -> None:
    assert files.half(["pkg/page.html"]) == set()
    (files.root / "pkg" / "page.html").write_text("")

    assert files.half(["pkg/page.html"]) == {"pkg/page.html"}


def test_folders_are_watched_that_have_files_or_were_made(files: Files) -> None:
    (files.root / "new" / "below").mkdir(parents=True)
    files.leave_out(["new"])

    assert files.folders() == {".", "pkg", "new", "new/below"}


def test_a_folder_with_very_many_below_it_is_not_watched(files: Files) -> None:
    for number in range(MOST_MADE + 1):
        (files.root / "new" / str(number)).mkdir(parents=True)
    files.leave_out(["new"])

    assert files.folders() == {".", "pkg"}
