"""Images as they are declared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apothic import Image, InvalidOption

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = Image.debian_slim("3.12")


def words(image: Image) -> tuple[str, ...]:
    """What its last step is told."""
    return image.steps[-1][1]


def test_it_begins_with_the_python_of_the_program_where_none_is_named() -> None:
    assert Image.debian_slim() == Image.debian_slim(OWN)
    assert Image.debian_slim().base == f"python:{OWN}-slim"
    assert Image.debian_slim("3.13").python == "3.13"
    assert Image.from_registry("python:3.13-slim").python == ""


@pytest.mark.parametrize(
    ("version", "way_out"),
    [
        ("3.11.7", "a series such as '3.11', without its patch"),
        (3.11, "'3.10' and '3.1' are the same number"),
        ("3.8", "one of 3.11, 3.12"),
        ("2.7", "one of 3.11, 3.12"),
        ("3", "one of 3.11, 3.12"),
        ("three", "one of 3.11, 3.12"),
        ("", "a non-empty string"),
    ],
)
def test_a_python_that_is_no_series_is_refused_with_one_that_is(version: Any, way_out: str) -> None:
    with pytest.raises(InvalidOption, match=way_out):
        Image.debian_slim(version)


@pytest.mark.parametrize(
    "reference", ["", "a b", "a\nRUN x", "$IMAGE", "-x", "a:1;b", 'a"b', None, 1]
)
def test_a_reference_that_no_registry_has_is_refused(reference: Any) -> None:
    with pytest.raises(InvalidOption):
        Image.from_registry(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "ubuntu",
        "ubuntu:24.04",
        "ghcr.io/acme/tool@sha256:" + "a" * 64,
        "127.0.0.1:5000/a_b/c-d:1.0",
    ],
)
def test_references_are_kept_as_they_are_written(reference: str) -> None:
    assert Image.from_registry(reference).base == reference


def test_a_dockerfile_counts_from_where_the_program_was_when_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = Image.from_dockerfile("sub/Dockerfile")
    monkeypatch.chdir("/")

    assert image.base == f"{tmp_path}/sub/Dockerfile"
    assert image == Image.from_dockerfile(tmp_path / "sub" / "Dockerfile")


@pytest.mark.parametrize(
    "same",
    [
        BASE.pip_install(),
        BASE.pip_install([]),
        BASE.uv_pip_install(pre=True),
        BASE.apt_install(),
        BASE.env(),
        BASE.env({}),
        BASE.run_commands(),
        BASE.add_local_python_source(),
    ],
)
def test_an_empty_call_adds_nothing(same: Image) -> None:
    assert same == BASE


def test_a_step_leaves_the_image_as_it_was() -> None:
    richer = BASE.pip_install("numpy")

    assert BASE.steps == ()
    assert richer.steps == (("pip_install", ("numpy",)),)
    assert richer != BASE
    assert richer == BASE.pip_install(["numpy"])
    assert len({richer, BASE, BASE.pip_install("numpy")}) == 2


def test_it_is_shown_as_the_calls_that_make_it() -> None:
    image = BASE.apt_install("git").env(A="1").workdir("/app/")

    assert repr(image) == "Image.debian_slim('3.12').apt_install('git').env('A=1').workdir('/app')"
    assert repr(Image.from_registry("ubuntu:24.04")) == "Image.from_registry('ubuntu:24.04')"


# --- packages -----------------------------------------------------------------------------------


def test_packages_may_stand_in_lists_one_deep() -> None:
    assert words(BASE.pip_install("a", ["b", "c"], "d")) == ("a", "b", "c", "d")
    with pytest.raises(InvalidOption):
        BASE.pip_install([["a"]])  # type: ignore[list-item]


@pytest.mark.parametrize("verb", ["pip_install", "uv_pip_install"])
def test_options_of_an_installation_stand_before_the_packages(verb: str) -> None:
    image = getattr(BASE, verb)(
        "torch",
        index_url="https://a/simple",
        extra_index_url="https://b/simple",
        find_links="/wheels",
        pre=True,
        extra_options="--no-deps --only-binary ':all:'",
    )

    assert words(image) == (
        *("--index-url=https://a/simple", "--extra-index-url=https://b/simple"),
        *("--find-links=/wheels", "--pre", "--no-deps", "--only-binary", ":all:", "torch"),
    )


def test_a_file_of_requirements_is_enough_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert words(BASE.pip_install(requirements="more.txt")) == (
        f"--requirement={tmp_path}/more.txt",
    )


@pytest.mark.parametrize("verb", ["pip_install", "uv_pip_install", "apt_install"])
def test_an_option_among_packages_is_refused(verb: str) -> None:
    with pytest.raises(InvalidOption, match="'--upgrade' is an option"):
        getattr(BASE, verb)("numpy", ["--upgrade"])


def test_an_option_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidOption, match="no option 'indexurl'; there are: requirements, index_"
    ):
        BASE.pip_install("a", indexurl="https://a")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "make",
    [
        lambda: BASE.pip_install("a", index_url="https://user:hunter2@host/simple"),
        lambda: BASE.pip_install("a", extra_index_url="https://hunter2@host/simple"),
        lambda: BASE.pip_install("git+https://hunter2@host/repo"),
        lambda: BASE.uv_pip_install("a", extra_options="--index https://u:hunter2@host/x"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_told(make: Callable[[], Image]) -> None:
    with pytest.raises(InvalidOption, match="has a password or a token in it") as caught:
        make()

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.data)


def test_an_address_for_ssh_names_its_user() -> None:
    assert words(BASE.pip_install("git+ssh://git@host/repo@main")) == (
        "git+ssh://git@host/repo@main",
    )


# --- the rest -----------------------------------------------------------------------------------


def test_variables_come_as_keywords_or_as_a_dictionary() -> None:
    assert words(BASE.env({"A": "1", "B": ""}, C="x=y $HOME")) == ("A=1", "B=", "C=x=y $HOME")


@pytest.mark.parametrize(
    "variables",
    [
        {"A": 1},
        {"A": None},
        {"A": "1\nRUN evil"},
        {"A": "1\rx"},
        {"A": "1\0"},
        {"A": "\udce9"},
        {"": "1"},
        {"1A": "1"},
        {"A B": "1"},
        {"A=B": "1"},
        {"A\n": "1"},
        {1: "1"},
        ["A=1"],
        "A=1",
    ],
    ids=repr,
)
def test_what_can_be_no_variable_is_refused(variables: Any) -> None:
    with pytest.raises(InvalidOption):
        BASE.env(variables)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BASE.workdir("app"),
        lambda: BASE.workdir("/a/../b"),
        lambda: BASE.workdir("/a\nb"),
        lambda: BASE.workdir(""),
        lambda: BASE.workdir(None),  # type: ignore[arg-type]
        lambda: BASE.run_commands(""),
        lambda: BASE.run_commands("a\0b"),
        lambda: BASE.run_commands("\udce9"),
        lambda: BASE.run_commands(["a", ["b"]]),  # type: ignore[list-item]
        lambda: BASE.apt_install("a\nb"),
        lambda: BASE.add_local_file("a", "b"),
        lambda: BASE.add_local_file("a\0", "/b"),
        lambda: BASE.add_local_file(b"a", "/b"),  # type: ignore[arg-type]
        lambda: BASE.add_local_file(1, "/b"),  # type: ignore[arg-type]
        lambda: BASE.add_local_dir("a", "b"),
        lambda: BASE.add_local_dir("a", "/b", ignore="*.csv"),  # type: ignore[arg-type]
        lambda: BASE.add_local_dir("a", "/b", ignore=["a\nb"]),
        lambda: BASE.add_local_dir("a", "/b", ignore=[1]),  # type: ignore[list-item]
        lambda: BASE.add_local_python_source("my-package"),
        lambda: BASE.add_local_python_source("./my_package"),
        lambda: BASE.add_local_python_source("a.b"),
        lambda: BASE.add_local_python_source(os),  # type: ignore[arg-type]
        lambda: Image.from_dockerfile(""),
        lambda: Image.from_dockerfile(None),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(make: Callable[[], Image]) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_a_command_may_have_several_lines() -> None:
    assert words(BASE.run_commands("set -e\nmake", ["make install"])) == (
        "set -e\nmake",
        "make install",
    )


@pytest.mark.parametrize(
    ("remote", "meant"),
    [
        ("/etc/x.toml", "/etc/x.toml"),
        ("/etc/", "/etc/a.toml"),
        ("/", "/a.toml"),
        ("//b//./c", "/b/c"),
    ],
)
def test_a_file_keeps_its_name_below_a_slash(remote: str, meant: str) -> None:
    assert words(BASE.add_local_file("/conf/a.toml", remote)) == ("/conf/a.toml", meant)


def test_what_is_left_out_is_part_of_the_image() -> None:
    plain = BASE.add_local_dir("/data", "/data")

    assert words(plain.add_local_dir("/data", "/d/", ignore=["*.csv", "!a.csv"])) == (
        *("/data", "/d", "*.csv\n!a.csv"),
    )
    assert plain != BASE.add_local_dir("/data", "/data", ignore=[])
