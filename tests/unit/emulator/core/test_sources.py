"""What may be said of the files that a function runs in."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import ImageSpec, ImageStep
from tests.unit.emulator.core.driving import Driver

DIGEST = "0123456789abcdef" * 4


def test_a_function_says_which_archive_it_runs_in() -> None:
    driver = Driver()
    here, there = (
        driver.register("g", source=digest, path=("", "a/b")) for digest in (None, DIGEST)
    )

    assert here != there


def test_a_function_says_what_its_image_is_made_of() -> None:
    steps = (ImageStep("add_local_dir", (".apothic/a", "/a")), ImageStep("env", ("../A=1",)))
    driver = Driver()

    image = ImageSpec(base="a", context=DIGEST, steps=steps)
    assert driver.register("g", image=image) != driver.register("g")


@pytest.mark.parametrize(
    "options",
    [{"source": text} for text in ("", "x", DIGEST.upper(), f"../{DIGEST[3:]}", DIGEST + "0")]
    + [{"path": (text,)} for text in ("/", "/etc", "..", "a/../b", "a//b", "./a", "a/", "a\0")]
    + [{"image": ImageSpec(base="a", context="x")}]
    + [
        {"image": ImageSpec(base="a", context=DIGEST, steps=(ImageStep(verb, words),))}
        for verb, words in (
            ("add_local_file", ("../a", "/a")),
            ("add_local_dir", ("/etc", "/a")),
            ("add_local_python_source", (".apothic/a", "..")),
            ("pip_install", ("--requirement=../../requirements.txt",)),
        )
    ],
)
def test_what_cannot_be_an_archive_or_a_folder_in_one_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Driver().register("g", **options)
