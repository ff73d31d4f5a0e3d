"""Opening beneath a folder: whatever stands in the way, nothing outside of it is opened."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from apothic_backends.sandboxes.beneath import FOLDER, PLACE, open_beneath


def opened(root: Path, path: str, *, follow: bool = True) -> str:
    """Where what was opened is."""
    at = os.open(root, PLACE)
    try:
        fd = open_beneath(at, path, os.O_PATH, follow=follow)
    finally:
        os.close(at)
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    finally:
        os.close(fd)


def number_of(root: Path, path: str, *, follow: bool = True) -> int | None:
    """The error that comes of it."""
    try:
        opened(root, path, follow=follow)
    except OSError as error:
        return error.errno
    return None


@pytest.fixture
def tree(root: Path, way: str) -> Path:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "file").write_text("file")
    return root


@pytest.mark.parametrize(
    ("target", "leads"),
    [("file", "a/file"), ("b/../file", "a/file"), ("../a/./b/", "a/b"), ("b/..", "a"), ("..", "")],
)
def test_a_link_to_what_is_beneath_is_followed(tree: Path, target: str, leads: str) -> None:
    (tree / "a" / "link").symlink_to(target)

    assert opened(tree, "a/link") == str(tree / leads)


def test_a_link_is_followed_on_the_way_too(tree: Path) -> None:
    (tree / "link").symlink_to("a/b")

    assert opened(tree, "link/../file") == str(tree / "a" / "file")


@pytest.mark.parametrize(
    "target", ["..", "../", "../work", "a/../../work/a", "/", "/etc", "../outside"]
)
def test_a_link_that_leads_out_is_an_error(tree: Path, target: str) -> None:
    (tree / "link").symlink_to(target)

    assert number_of(tree, "link") == errno.EXDEV
    assert number_of(tree, "link/canary") == errno.EXDEV


def test_an_absolute_link_is_an_error_even_if_it_leads_back(tree: Path) -> None:
    (tree / "link").symlink_to(tree / "a")

    assert number_of(tree, "link/file") == errno.EXDEV


def test_a_path_that_climbs_out_is_an_error(tree: Path) -> None:
    assert number_of(tree, "../outside/canary") == errno.EXDEV
    assert number_of(tree, "a/../../outside/canary") == errno.EXDEV
    assert number_of(tree, "/etc/passwd") == errno.EXDEV


def test_links_in_a_circle_are_an_error(tree: Path) -> None:
    (tree / "one").symlink_to("two")
    (tree / "two").symlink_to("one")

    assert number_of(tree, "one") == errno.ELOOP


def test_no_link_is_followed_if_none_may_be(tree: Path) -> None:
    (tree / "link").symlink_to("a")

    assert number_of(tree, "link/file", follow=False) == errno.ELOOP


@pytest.mark.parametrize("path", ["self/root", "self/cwd", "self/exe"])
def test_the_links_of_proc_to_what_is_open_lead_nowhere(way: str, path: str) -> None:
    assert number_of(Path("/proc"), path) in (errno.ELOOP, errno.EXDEV)


def test_a_descriptor_is_not_reached_through_proc(way: str, root: Path) -> None:
    fd = os.open(root.parent / "outside" / "canary", os.O_RDONLY)
    try:
        found = number_of(Path("/proc"), f"self/fd/{fd}")
    finally:
        os.close(fd)

    assert found in (errno.ELOOP, errno.EXDEV)


def test_what_is_missing_or_no_directory_is_told(tree: Path) -> None:
    assert number_of(tree, "a/missing") == errno.ENOENT
    assert number_of(tree, "missing/x") == errno.ENOENT
    assert number_of(tree, "a/file/x") == errno.ENOTDIR
    assert number_of(tree, "a\0b") == errno.EINVAL


def test_a_folder_is_opened_for_its_names(tree: Path) -> None:
    at = os.open(tree, PLACE)
    fd = open_beneath(at, "a", FOLDER)
    try:
        with os.scandir(fd) as entries:
            assert sorted(entry.name for entry in entries) == ["b", "file"]
    finally:
        os.close(fd)
        os.close(at)


PARTS = st.sampled_from(
    ["a", "b", "file", "in", "out", "up", "abs", "loop", "..", ".", "", "x", "socket", "~", "é"]
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(PARTS, max_size=8), begins=st.sampled_from(["", "/"]), follow=st.booleans())
def test_whatever_the_path_is_what_is_opened_is_beneath(
    tree: Path, parts: list[str], begins: str, follow: bool
) -> None:
    if not (tree / "in").is_symlink():
        (tree / "in").symlink_to("a/b")
        (tree / "a" / "up").symlink_to("..")
        (tree / "a" / "b" / "out").symlink_to("../../../outside")
        (tree / "out").symlink_to("../outside/canary")
        (tree / "abs").symlink_to("/etc")
        (tree / "loop").symlink_to("loop")
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tree / "socket"))
    try:
        found = Path(opened(tree, begins + "/".join(parts), follow=follow))
    except OSError:
        return

    assert found.is_relative_to(tree)
