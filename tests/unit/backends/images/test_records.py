"""What is remembered of images that were built, and what it says of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic_backends.images import records
from apothic_backends.images.records import compared
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import ImageSpec, ImageStep

SLIM = ImageSpec(base="python:3.11-slim", python="3.11")
AFTER = "it comes after that"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "images"


def with_steps(*steps: tuple[str, *tuple[str, ...]]) -> ImageSpec:
    return SLIM.replace(steps=tuple(ImageStep(verb, tuple(words)) for verb, *words in steps))


def test_what_was_built_is_remembered_until_it_is_forgotten() -> None:
    image = with_steps(("pip_install", "numpy"))
    records.write(image, "venv")
    (built,) = records.read()

    assert (built.digest, built.lane) == (image.digest, "venv")
    assert built.title == "FROM python:3.11-slim, pip_install numpy"
    records.forget(image.digest)
    records.forget(image.digest)
    assert records.read() == []


def test_the_last_comes_first_and_use_is_remembered(folder: Path) -> None:
    first, second = SLIM, with_steps(("env", "A=1"))
    records.write(first, "venv")
    records.write(second, "docker")
    os.utime(folder / f"{first.digest}.json", (1, 1))
    before = {built.digest: built.used_at for built in records.read()}
    records.used(first.digest)
    after = {built.digest: built.used_at for built in records.read()}

    assert [built.digest for built in records.read()] == [second.digest, first.digest]
    assert before[first.digest] == 1
    assert after[first.digest] > 1
    assert after[second.digest] == before[second.digest]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"layers": [], "lane": "", "built_at": 1}',
        '{"layers": 1}',
        '{"layers": [[1]], "lane": 1}',
    ],
)
def test_what_is_damaged_is_as_good_as_not_there(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / f"{SLIM.digest}.json").write_text(text)

    assert records.read() == []


def test_nothing_is_remembered_where_nothing_can_be_written(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("in the way")
    records.write(SLIM, "venv")
    records.used(SLIM.digest)

    assert records.read() == []


def test_a_name_that_is_no_digest_is_refused() -> None:
    with pytest.raises(InvalidOption):
        records.forget("../../x")


# --- comparing ----------------------------------------------------------------------------------


def why(image: ImageSpec, *built: ImageSpec) -> list[str]:
    for one in built:
        records.write(one, "docker")
    return compared(image, records.read())


def test_what_was_built_is_not_built_again() -> None:
    image = with_steps(("env", "A=1"))

    assert why(image, image) == ["", ""]


def test_where_nothing_was_built_everything_is() -> None:
    assert why(with_steps(("env", "A=1"))) == ["nothing that begins so was built here", AFTER]
    assert why(ImageSpec(base="x"), SLIM) == ["nothing that begins so was built here"]


def test_a_step_that_changed_is_told_with_what_it_was() -> None:
    image = with_steps(("env", "A=1"), ("run_commands", "new"), ("env", "B=1"))
    before = with_steps(("env", "A=1"), ("run_commands", "old"), ("env", "B=1"))

    assert why(image, before) == ["", "", "it was: run_commands old", AFTER]


def test_a_step_behind_all_others_is_new() -> None:
    assert why(with_steps(("env", "A=1"), ("env", "B=1")), with_steps(("env", "A=1"))) == [
        *("", "", "it is new"),
    ]


def test_files_that_changed_are_told_as_that() -> None:
    image, before = (
        with_steps(("add_local_dir", f".apothic/{digit * 16}", "/data")) for digit in "01"
    )

    assert why(image, before) == ["", "its files have changed"]


def test_a_dockerfile_whose_folder_changed_is_told_as_that() -> None:
    image, before = (ImageSpec(dockerfile="FROM a", context=digit * 64) for digit in "01")

    assert why(image, before) == ["its files have changed"]


def test_it_is_compared_with_the_one_that_is_most_like_it() -> None:
    image = with_steps(("env", "A=1"), ("env", "B=2"))
    near = with_steps(("env", "A=1"), ("env", "B=1"))

    assert why(image, near, SLIM, with_steps(("env", "A=3"))) == ["", "", "it was: env B=1"]
