"""Prices as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from apothic_backends.model.costs import Prices
from apothic_backends.model.errors import InvalidOption
from apothic_backends.prices import project_prices, read_prices


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text)
    return path


def test_a_price_is_exactly_what_was_written(tmp_path: Path) -> None:
    text = "cpu = 0.0000131\nmemory_gib = 2\ngpu = { H100 = 0.001097 }\n"

    found = read_prices(written(tmp_path, text))

    assert found == Prices(13_100_000, 2 * 10**12, {"H100": 1_097_000_000})


def test_what_has_no_price_is_free(tmp_path: Path) -> None:
    assert read_prices(written(tmp_path, "")) == Prices()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpu = -0.1", "cpu in"),
        ("cpu = 1e300", "from 0 to 1000000"),
        ("cpu = nan", "cpu in"),
        ("cpu = true", "cpu in"),
        ('cpu = "1"', "cpu in"),
        ("cpu = 1.00000000000001e-3", "at most 12 digits"),
        ("disk = 1", "prices of disk"),
        ("gpu = 1", "gpu in"),
        ("gpu = { H100 = -1 }", "gpu.H100 in"),
        ("cpu =", "cannot be read"),
    ],
)
def test_prices_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        read_prices(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"none\.toml"):
        read_prices(tmp_path / "none.toml")


def test_a_project_has_prices_of_its_own(tmp_path: Path) -> None:
    assert project_prices(tmp_path) is None

    (tmp_path / "pyproject.toml").write_text("[tool.apothic.prices]\ncpu = 1\n")

    assert project_prices(tmp_path) == Prices(10**12)


def test_the_prices_of_a_project_are_a_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.apothic]\nprices = 1\n")

    with pytest.raises(InvalidOption, match="a table"):
        project_prices(tmp_path)
