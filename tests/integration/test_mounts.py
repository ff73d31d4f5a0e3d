"""Mount namespaces, as root and as somebody without any rights."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from apothic_emulator.executors import mounts
from apothic_emulator.executors.mounts import Bind, Overlay

NOBODY = 65534

WHOLE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"1000 {uid} 1")
open("/proc/self/gid_map", "w").write(f"1000 {gid} 1")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs a program as user 1000 who has no rights, though he may read what his maker may."""

PROGRAM = """
import os
from apothic import App, Volume

app = App("plain")
data = Volume.from_name("data", create_if_missing=True)


@app.function(volumes=[data.mounted_at("/apothic-test/deep")])
def write(text: str) -> tuple[int, str]:
    with open("/apothic-test/deep/x", "a") as file:
        file.write(text)
    with open("/apothic-test/deep/x") as file:
        return os.getuid(), file.read()


if __name__ == "__main__":
    print(write.remote("a"), write.remote("b"), data.stat("x").size)
"""


def in_child(act: Callable[[], None], *, uid: int | None = None) -> None:
    """Do something in a process of its own, maybe as another user."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after an exec: /proc/self is his
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture(params=["as it is", "nobody"])
def uid(request: pytest.FixtureRequest) -> int | None:
    """Somebody who is root by chance is also tried as nobody."""
    return NOBODY if request.param == "nobody" and os.getuid() == 0 else None


@pytest.fixture
def folder(tmp_path: Path, uid: int | None) -> Path:
    """A folder that he may use."""
    place = tmp_path
    while place != Path("/tmp") and place != Path("/"):
        place.chmod(place.stat().st_mode | 0o055)
        place = place.parent
    for name in ("lower", "upper", "work", "scratch", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    (tmp_path / "mine/file").write_text("mine")
    return tmp_path


def overlay(folder: Path, path: str) -> Overlay:
    return Overlay(path, str(folder / "lower"), str(folder / "upper"), str(folder / "work"))


@pytest.mark.parametrize("path", ["/apothic-test", "/apothic-test/a/b"])
def test_what_is_written_over_a_folder_is_in_the_layer_alone(
    folder: Path, uid: int | None, path: str
) -> None:
    (folder / "lower/old").write_text("old")

    def act() -> None:
        mounts.enter([path], str(folder / "scratch"))
        mounts.attach(overlay(folder, path))
        Path(f"{path}/new").write_text("new")
        assert sorted([p.name for p in Path(path).iterdir()]) == ["new", "old"]
        assert mounts.detach(path)
        assert [p.name for p in Path(path).iterdir()] == []

    in_child(act, uid=uid)
    assert [p.name for p in (folder / "upper").iterdir()] == ["new"]
    assert not Path("/apothic-test").exists()


def test_a_bound_folder_can_be_read_only(folder: Path, uid: int | None) -> None:
    def act() -> None:
        mounts.enter(["/apothic-test"], str(folder / "scratch"))
        mounts.attach(Bind("/apothic-test", str(folder / "mine"), read_only=True))
        assert Path("/apothic-test/file").read_text() == "mine"
        with pytest.raises(OSError, match="Read-only"):
            Path("/apothic-test/new").write_text("")

    in_child(act, uid=uid)


def test_what_is_used_is_not_taken_away_unless_that_is_said(folder: Path, uid: int | None) -> None:
    def act() -> None:
        mounts.enter(["/apothic-test"], str(folder / "scratch"))
        mounts.attach(Bind("/apothic-test", str(folder / "mine")))
        with Path("/apothic-test/file").open() as file:
            assert not mounts.detach("/apothic-test")
            assert mounts.detach("/apothic-test", even_if_used=True)
            assert file.read() == "mine"
        assert [*Path("/apothic-test").iterdir()] == []

    in_child(act, uid=uid)


def test_nobody_can_write_where_nothing_is_attached(folder: Path, uid: int | None) -> None:
    def act() -> None:
        paths = ["/apothic-test", str(folder / "mine"), str(folder / "missing")]
        mounts.enter(paths, str(folder / "scratch"))
        for path in paths:
            with pytest.raises(OSError, match="Read-only"):
                Path(f"{path}/x").write_text("")

    in_child(act, uid=uid)
    assert [p.name for p in (folder / "mine").iterdir()] == ["file"]


def test_links_sockets_and_mounts_of_the_machine_stay_what_they_are(
    folder: Path, uid: int | None
) -> None:
    before = {p.name: os.path.realpath(p) for p in Path("/").iterdir()}

    def act() -> None:
        mounts.enter(["/apothic-test"], str(folder / "scratch"))
        after = {p.name: os.path.realpath(p) for p in Path("/").iterdir()}
        assert after.pop("apothic-test") == "/apothic-test"
        assert after == before
        assert Path("/proc/self/comm").read_text()
        assert Path("/dev/null").is_char_device()
        assert os.getuid() == (os.getuid() if uid is None else uid)

    in_child(act, uid=uid)


def test_a_program_without_any_rights_mounts_volumes(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = {**os.environ, "APOTHIC_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        [sys.executable, "-c", WHOLE, str(program)],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "(1000, 'a') (1000, 'ab') 2\n", done.stderr


def test_where_a_link_cannot_be_made_the_way_out_is_told(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"

    program.write_text(PROGRAM)
    env = {**os.environ, "APOTHIC_HOME": str(tmp_path / "home"), "APOTHIC_BACKEND": "inline"}

    done = subprocess.run(
        [sys.executable, str(program)],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "choose a path that is free" in done.stderr
