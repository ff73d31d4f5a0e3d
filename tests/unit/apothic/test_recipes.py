"""Recipes of images as backends are told of them, with the files that they bring."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from apothic import Image, InvalidOption, NotFound, PackageRefused
from apothic._recipes import Recipe, dockerignore, recipe_of
from apothic_backends.images.dockerfile import render
from apothic_backends.model.images import ImageSpec, ImageStep

BASE = Image.debian_slim("3.12")


def write(root: Path, *paths: str, text: str = "") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text or path)


def read(image: Image) -> tuple[Recipe, dict[str, str]]:
    """The recipe, and what is in its archive."""
    out = io.BytesIO()
    recipe = recipe_of(image, out)
    if recipe.spec.context is None:
        return recipe, {}
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        files = {name: tar.extractfile(name) for name in tar.getnames()}
        return recipe, {name: file.read().decode() for name, file in files.items() if file}


def brought(image: Image) -> list[str]:
    """The files of its only step that brings some, below their folder."""
    _, files = read(image)
    (top,) = {tuple(path.split("/")[:2]) for path in files}
    assert top[0] == ".apothic"
    return [path.removeprefix("/".join(top) + "/") for path in files]


def test_a_recipe_without_files_has_no_archive() -> None:
    recipe, files = read(BASE.pip_install("numpy", pre=True).env(A="1").workdir("/app"))

    assert files == {}
    assert recipe.spec == ImageSpec(
        base="python:3.12-slim",
        python="3.12",
        steps=(
            ImageStep("pip_install", ("--pre", "numpy")),
            ImageStep("env", ("A=1",)),
            ImageStep("workdir", ("/app",)),
        ),
    )


def test_a_file_is_brought_under_the_name_that_it_gets(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", text="x = 1")
    recipe, files = read(BASE.add_local_file(tmp_path / "a.toml", "/etc/b.toml"))

    (step,) = recipe.spec.steps
    assert files == {step.words[0]: "x = 1"}
    assert step.words[0].endswith("/b.toml")
    assert step.words[1] == "/etc/b.toml"


def test_a_folder_is_brought_with_all_that_is_in_it(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "deep/er/b.csv", "é x/c", "d/[a] *?")
    recipe, files = read(BASE.add_local_dir(tmp_path, "/data"))

    (step,) = recipe.spec.steps
    folder = step.words[0]
    assert step.words == (folder, "/data")
    names = ["a.csv", "d/[a] *?", "deep/er/b.csv", "é x/c"]
    assert [*files.items()] == [(f"{folder}/{name}", name) for name in names]


def test_what_is_made_anew_everywhere_is_left_out_where_nothing_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "__pycache__/a.pyc", ".venv/lib/x.py", "deep/node_modules/x.js")

    assert brought(BASE.add_local_dir(tmp_path, "/app")) == ["a.py"]


def test_the_dockerignore_in_a_folder_says_what_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.log", "deep/c.log", "__pycache__/d", "out/e", "out/keep")
    write(tmp_path, ".dockerignore", text="# logs\n*.log\n\nout\n!out/keep\n")
    recipe, _ = read(BASE.add_local_dir(tmp_path, "/app"))

    assert brought(BASE.add_local_dir(tmp_path, "/app")) == [
        *("__pycache__/d", "a.py", "deep/c.log", "out/keep"),
    ]
    assert recipe.left_out[str(tmp_path / "b.log")] == ".dockerignore"


def test_what_is_said_to_be_ignored_counts_in_place_of_the_dockerignore(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.log", "deep/c.log")
    write(tmp_path, ".dockerignore", text="*.py")

    image = BASE.add_local_dir(tmp_path, "/app", ignore=["**/*.log"])
    assert brought(image) == ["a.py"]
    assert brought(BASE.add_local_dir(tmp_path, "/app", ignore=[])) == [
        "a.py",
        "b.log",
        "deep/c.log",
    ]


@pytest.mark.parametrize(
    ("lines", "path", "is_out"),
    [
        (["*.log"], "a.log", True),
        (["*.log"], "deep/a.log", False),
        (["**/*.log"], "a.log", True),
        (["**/*.log"], "x/y/a.log", True),
        (["/a"], "a", True),
        (["./a/"], "a/b/c", True),
        (["a"], "b/a", False),
        (["a/../b"], "b", True),
        (["*"], "x/y", True),
        (["*", "!x"], "x/y", False),
        (["*", "!x/y"], "x/y", False),
        (["*", "!x/y"], "x/z", True),
        (["x/*", "!x"], "x/y", False),
        (["!x/y", "x"], "x/y", True),
        (["x", "!x/y", "x/y"], "x/y", True),
        (["# x", "", "  "], "# x", False),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[ab]"], "b", True),
        ([], "x", False),
        (["."], "x", False),
        (["x"], "x/", True),
        (["x", "!x/y"], "x/", False),
    ],
)
def test_patterns_are_those_of_a_dockerignore(lines: list[str], path: str, is_out: bool) -> None:
    assert dockerignore(lines)(path) is is_out


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with pytest.raises(InvalidOption, match="is no pattern"):
        BASE.add_local_dir(tmp_path, "/a", ignore=["a\\"]).spec()


# --- what is not brought ------------------------------------------------------------------------

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n"


def test_secrets_in_a_folder_are_left_out_and_told(tmp_path: Path) -> None:
    write(tmp_path, "a.py", ".env", "deep/.env.local", ".git/config", ".ssh/config", ".netrc")
    write(tmp_path, "id_ed25519", "tls/server.pem", text=KEY)
    write(tmp_path, "tls/chain.pem", text="-----BEGIN CERTIFICATE-----\nabc\n")
    image = BASE.add_local_dir(tmp_path, "/app", ignore=[])
    recipe, _ = read(image)

    assert brought(image) == ["a.py", "tls/chain.pem"]
    told = {
        Path(path).relative_to(tmp_path).as_posix(): why for path, why in recipe.left_out.items()
    }
    assert told == {
        ".env": "never shipped",
        "deep/.env.local": "never shipped",
        ".netrc": "never shipped",
        "id_ed25519": "a private key",
        "tls/server.pem": "a private key",
    }


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        (".env", "A=1", "never shipped"),
        (".ssh/config", "x", "never shipped"),
        ("id_rsa", KEY, "a private key"),
        ("server.key", KEY, "a private key"),
    ],
)
def test_a_secret_that_is_named_is_refused_with_the_way_out(
    tmp_path: Path, path: str, text: str, why: str
) -> None:
    write(tmp_path, path, text=text)
    with pytest.raises(PackageRefused, match=f"{why}, .*put it into a Secret"):
        BASE.add_local_file(tmp_path / path, "/x").spec()


def test_a_link_to_a_secret_is_one(tmp_path: Path) -> None:
    write(tmp_path, ".env")
    (tmp_path / "plain").symlink_to(".env")
    with pytest.raises(PackageRefused, match="put it into a Secret"):
        BASE.add_local_file(tmp_path / "plain", "/x").spec()


def test_sockets_and_pipes_in_a_folder_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))

        assert brought(BASE.add_local_dir(tmp_path, "/x")) == ["a"]


def test_a_pipe_that_is_named_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PackageRefused, match="pipe is no file"):
        BASE.add_local_file(tmp_path / "pipe", "/x").spec()


def test_links_are_brought_as_what_they_lead_to(tmp_path: Path) -> None:
    write(tmp_path, "a/b")
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "folder").symlink_to("a")

    assert brought(BASE.add_local_dir(tmp_path, "/x")) == ["a/b", "folder/b", "link"]


def test_links_that_lead_outwards_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "in/a", "out")
    (tmp_path / "in/link").symlink_to("../out")
    with pytest.raises(PackageRefused, match=r"link\. .*leave them out with .dockerignore"):
        BASE.add_local_dir(tmp_path / "in", "/x").spec()

    assert brought(BASE.add_local_dir(tmp_path / "in", "/x", ignore=["link"])) == ["a"]


@pytest.mark.parametrize("path", ["/", "~"])
def test_all_there_is_is_refused(path: str) -> None:
    with pytest.raises(PackageRefused, match="is all there is"):
        BASE.add_local_dir(Path(path).expanduser(), "/x").spec()


def test_what_is_missing_is_said_when_the_image_is_needed(tmp_path: Path) -> None:
    write(tmp_path, "file")
    (tmp_path / "empty").mkdir()
    there = tmp_path / "file"
    gone = tmp_path / "gone"
    for image, told in [
        (BASE.add_local_file(gone, "/x"), f"there is no file {gone}"),
        (BASE.add_local_file(tmp_path, "/x"), "is a folder; bring it with add_local_dir"),
        (BASE.add_local_dir(gone, "/x"), f"{gone} is no folder"),
        (BASE.add_local_dir(there, "/x"), "is no folder; bring it with add_local_file"),
        (BASE.pip_install(requirements=gone), f"pip_install: there is no file {gone}"),
        (Image.from_dockerfile(gone), f"from_dockerfile: there is no file {gone}"),
        (BASE.add_local_python_source("no_such_module"), "no module 'no_such_module'"),
    ]:
        with pytest.raises(NotFound, match=told):
            image.spec()
    with pytest.raises(PackageRefused, match="has no files that can be brought"):
        BASE.add_local_dir(tmp_path / "empty", "/x").spec()


# --- Dockerfiles, requirements, sources ---------------------------------------------------------


def test_a_dockerfile_brings_its_folder_and_steps_come_after_it(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "secret.txt", "other/x.log")
    write(tmp_path, "Dockerfile", text="FROM a\nCOPY . .\n")
    write(tmp_path, ".dockerignore", text="secret.txt\n**/*.log\n")
    write(tmp_path, "more/y")
    image = Image.from_dockerfile(tmp_path / "Dockerfile").add_local_dir(tmp_path / "more", "/y")
    recipe, files = read(image)

    (step,) = recipe.spec.steps
    assert [*files] == [f"{step.words[0]}/y", "Dockerfile", "app.py", "more/y"]
    assert (recipe.spec.base, recipe.spec.python) == ("", "")
    assert render(recipe.spec) == f'FROM a\nCOPY . .\nCOPY ["{step.words[0]}/", "/y/"]\n'


@pytest.mark.parametrize("text", ["\n", "FROM a\nRUN b \\\n"])
def test_a_dockerfile_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, "Dockerfile", text=text)
    with pytest.raises(InvalidOption, match="is empty, or ends in the middle of a line"):
        Image.from_dockerfile(tmp_path / "Dockerfile").spec()


def test_a_dockerfile_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidOption, match="is no text"):
        Image.from_dockerfile(tmp_path / "Dockerfile").spec()


def test_requirements_are_brought_under_one_name(tmp_path: Path) -> None:
    write(tmp_path, "dev.txt", text="numpy\n")
    recipe, files = read(BASE.uv_pip_install("scipy", requirements=tmp_path / "dev.txt"))

    ((path, text),) = files.items()
    assert (path.rpartition("/")[2], text) == ("requirements.txt", "numpy\n")
    assert recipe.spec.steps[0].words == (f"--requirement={path}", "scipy")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from."""
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "single_one.py", "a_package/__init__.py", "a_package/deep/data.csv")
    write(tmp_path, "a_package/__pycache__/x.pyc", "spaced/inner.py", "other.py")
    return tmp_path


def test_modules_and_packages_are_brought_by_their_names(modules: Path) -> None:
    image = BASE.add_local_python_source("single_one", "a_package", "spaced")

    assert brought(image) == [
        *("a_package/__init__.py", "a_package/deep/data.csv", "single_one.py", "spaced/inner.py"),
    ]
    assert "a_package" not in sys.modules


@pytest.mark.parametrize("name", ["sys", "zipimport"])
def test_a_module_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(PackageRefused, match=f"{name} is no file"):
        BASE.add_local_python_source(name).spec()


# --- the digest ---------------------------------------------------------------------------------


def test_the_same_files_elsewhere_give_the_same_recipe(tmp_path: Path) -> None:
    digests: list[str] = []
    for place in ("here", "over/there"):
        root = tmp_path / place
        write(root, "a.txt", "deep/b", "Dockerfile", text="FROM x")
        os.utime(root / "a.txt", (1, len(digests) + 1))
        image = Image.from_dockerfile(root / "Dockerfile").add_local_dir(root / "deep", "/d")
        digests.append(image.add_local_file(root / "a.txt", "/a").spec().digest)

    assert digests[0] == digests[1]


def test_a_file_that_changes_changes_its_step_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, "a/x", "b/y")
    image = BASE.add_local_dir(tmp_path / "a", "/a").add_local_dir(tmp_path / "b", "/b")
    before = image.spec()
    write(tmp_path, "b/y", text="new")
    after = image.spec()

    assert before.digest != after.digest
    assert before.steps[0] == after.steps[0]
    assert before.steps[1] != after.steps[1]


def test_what_may_be_executed_counts(tmp_path: Path) -> None:
    write(tmp_path, "a")
    image = BASE.add_local_file(tmp_path / "a", "/a")
    before = image.spec().digest
    (tmp_path / "a").chmod(0o755)

    assert image.spec().digest != before


TEXT = st.text("abc=-. é", min_size=1, max_size=4).filter(lambda text: text[0] != "-")
LISTS = st.lists(TEXT, min_size=1, max_size=3)
NAMES = st.text("ABC", min_size=1, max_size=3)

STEPS = st.one_of(
    st.tuples(st.just("pip_install"), LISTS),
    st.tuples(st.just("uv_pip_install"), LISTS),
    st.tuples(st.just("apt_install"), LISTS),
    st.tuples(st.just("run_commands"), LISTS),
    st.tuples(st.just("workdir"), st.lists(TEXT.map("/w{}".format), min_size=1, max_size=1)),
    st.tuples(
        st.just("env"), st.lists(st.dictionaries(NAMES, TEXT, min_size=1), min_size=1, max_size=1)
    ),
)
BASES = st.sampled_from(
    [
        *map(Image.debian_slim, ("3.11", "3.12")),
        *map(Image.from_registry, ("a", "python:3.11-slim")),
    ]
)


def made(base: Image, steps: list[tuple[str, list[Any]]]) -> Image:
    for verb, words in steps:
        base = getattr(base, verb)(*words)
    return base


IMAGES = st.builds(made, BASES, st.lists(STEPS, max_size=4))


@given(IMAGES, IMAGES)
def test_two_images_have_one_digest_exactly_when_they_are_equal(one: Image, other: Image) -> None:
    assert (one.spec().digest == other.spec().digest) is (one == other)


@given(IMAGES)
def test_a_recipe_that_brings_no_files_is_the_same_however_it_is_made(image: Image) -> None:
    assert not image.brings_files
    assert image.spec() == recipe_of(image, io.BytesIO()).spec


@given(IMAGES, STEPS)
def test_any_step_more_makes_another_digest(image: Image, step: tuple[str, list[Any]]) -> None:
    assert made(image, [step]).spec().digest != image.spec().digest


def test_an_image_of_which_nothing_is_left_here_is_missing_something(tmp_path: Path) -> None:
    write(tmp_path, "d/x")
    image = BASE.add_local_dir(tmp_path / "d", "/d")
    image.spec()
    shutil.rmtree(tmp_path / "d")
    with pytest.raises(NotFound):
        image.spec()
