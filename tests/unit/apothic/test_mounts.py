"""`volumes=` of a function: what is mounted where."""

from __future__ import annotations

from typing import Any

import pytest

from apothic import InvalidOption, PathRefused, Volume
from apothic.mounts import mounts_of

ONE = Volume.from_name("one")
DEFAULT = Volume.from_name("two", mount_path_default="/default")


def paths(volumes: Any) -> list[tuple[str, str]]:
    return [(mount.source.name, mount.path) for mount in mounts_of("volumes", volumes)]


@pytest.mark.parametrize(
    ("volumes", "mounted"),
    [
        ([ONE.mounted_at("/a")], [("one", "/a")]),
        ([DEFAULT], [("two", "/default")]),
        ([DEFAULT.mounted_at("/a")], [("two", "/a")]),
        ({"/a": ONE}, [("one", "/a")]),
        ({"/a": DEFAULT}, [("two", "/a")]),
        ({"/a/": ONE.mounted_at("/a")}, [("one", "/a")]),
        ([ONE.mounted_at("/ab"), DEFAULT.mounted_at("/a")], [("one", "/ab"), ("two", "/a")]),
        ([ONE.mounted_at("/tmp/x")], [("one", "/tmp/x")]),
    ],
)
def test_a_key_counts_more_than_mounted_at_and_that_more_than_the_default(
    volumes: Any, mounted: list[tuple[str, str]]
) -> None:
    assert paths(volumes) == mounted


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ({"/a": ONE.mounted_at("/b")}, "to be at /a and, by mounted_at\\(\\), at /b"),
        ([ONE], "one has no path; write .mounted_at"),
        ([ONE.mounted_at("/a"), DEFAULT.mounted_at("/a")], "two are mounted at /a"),
        ([ONE.mounted_at("/a/b"), DEFAULT.mounted_at("/a")], "/a/b is inside of /a"),
        ([ONE.mounted_at("/a"), DEFAULT.mounted_at("/a/b/c")], "/a/b/c is inside of /a"),
        ({"a": ONE}, "an absolute path"),
        ({"/..": ONE}, "an absolute path"),
        ({"/usr": ONE}, "a path of your own"),
        (ONE, "a list of what Volume.mounted_at"),
        (["one"], "what Volume.mounted_at\\(path\\) gives"),
    ],
)
def test_mounts_that_cannot_be_meant_are_refused_with_the_way_out(
    volumes: Any, message: str
) -> None:
    with pytest.raises(InvalidOption, match=message):
        mounts_of("volumes", volumes)


@pytest.mark.parametrize("sub_path", ["..", "a/../..", "~", "//x"])
def test_a_sub_path_does_not_lead_out(sub_path: str) -> None:
    with pytest.raises(PathRefused):
        ONE.with_mount_options(sub_path=sub_path)


def test_options_of_a_mount_are_those_of_its_volume_until_they_are_said() -> None:
    mount = ONE.read_only().with_mount_options(sub_path="/d/").mounted_at("/a")

    assert (mount.is_read_only, mount.sub_path) == (True, "d")
    again = mount.with_mount_options(read_only=False)
    assert (again.is_read_only, again.sub_path) == (False, "d")


def test_only_one_volume_of_a_function_may_stay_on_a_host() -> None:
    fast, faster = (Volume.create(name, backend="vast_local") for name in ("fast", "faster"))

    assert paths([fast.mounted_at("/a"), ONE.mounted_at("/b")]) == [("fast", "/a"), ("one", "/b")]
    assert len(mounts_of("volumes", [fast.mounted_at("/a"), fast.mounted_at("/b")])) == 2
    with pytest.raises(InvalidOption, match="fast and faster are vast_local"):
        mounts_of("volumes", {"/a": fast, "/b": faster})


def test_what_a_backend_must_know_of_a_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Volume.create("v", backend="vast_local").mounted_at("/a", strict=True).spec()

    assert (spec.kind, spec.name, spec.path) == ("volume", "v", "/a")
    assert (spec.create, spec.strict, spec.read_only) == ("vast_local", True, False)
    monkeypatch.setenv("APOTHIC_VOLUMES", "strict")
    assert ONE.mounted_at("/a").spec().strict
    monkeypatch.setenv("APOTHIC_VOLUMES", "nonsense")
    with pytest.raises(InvalidOption, match="'strict' or 'live'"):
        ONE.mounted_at("/a").spec()
