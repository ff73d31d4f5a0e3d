"""Volumes in worker processes, at the paths that were asked for."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import (
    App,
    FileRefused,
    Function,
    HostGone,
    MountFailed,
    NotFound,
    UsageError,
    Volume,
    VolumeBusy,
    VolumeConflict,
    WorkerLost,
    batched,
)
from tests.integration.support import AT_ONCE, nothing_leaks, read_when_there

ODD = "/apothic-test"
"""A path that no machine has."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path / "home"))
    with nothing_leaks():
        yield tmp_path / "home"
    assert not Path(ODD).exists()


@pytest.fixture
def data() -> Volume:
    return Volume.from_name("data", create_if_missing=True)


def runner(*volumes: Any, **options: Any) -> Function[..., Any]:
    """A function with these volumes that calls what it is given."""

    def run(action: Callable[..., Any], *args: Any) -> Any:
        return action(*args)

    run.__name__ = f"run{time.monotonic_ns()}"  # a worker of its own
    function: Any = App("volumes").function(volumes=[*volumes], **options)(run)
    return function


def write(path: str, text: str = "1") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def read(path: str) -> str:
    return Path(path).read_text()


def files(volume: Volume) -> dict[str, str]:
    return {
        file.path: b"".join(volume.read_file(file.path)).decode()
        for file in volume.listdir(recursive=True)
        if file.kind == "file"
    }


# --- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ODD, f"{ODD}/deep/er"])
def test_a_path_that_the_machine_does_not_have_is_there(data: Volume, path: str) -> None:
    run = runner(data.mounted_at(path))

    run.remote(write, f"{path}/d/x", "hello")

    assert files(data) == {"d/x": "hello"}
    assert run.remote(lambda: (Path("/etc/passwd").exists(), Path("/proc/self/stat").exists()))


@pytest.mark.parametrize("where", ["there", "missing", "missing/deep", "in, odd:place"])
def test_a_path_below_a_folder_of_the_user_is_there_and_nothing_is_made_on_the_disk(
    data: Volume, tmp_path: Path, where: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "folder").mkdir()
    if where == "there":
        (tmp_path / where).mkdir()
        (tmp_path / where / "hidden").write_text("")
    before = sorted(tmp_path.rglob("*"))
    path = str(tmp_path / where)
    run = runner(data.mounted_at(path))
    run.remote(write, f"{path}/x", "hello")

    assert run.remote(os.listdir, path) == ["x"]
    assert run.remote(read, str(tmp_path / "mine")) == "mine"
    run.remote(write, str(tmp_path / "folder/out"), "out")
    assert (tmp_path / "folder/out").read_text() == "out"
    (tmp_path / "folder/out").unlink()
    assert [p for p in sorted(tmp_path.rglob("*")) if "home" not in p.parts] == before


def test_a_new_file_beside_a_mount_point_that_was_made_up_is_refused_and_not_lost(
    data: Volume, tmp_path: Path
) -> None:
    run = runner(data.mounted_at(str(tmp_path / "missing")))

    with pytest.raises(OSError, match="Read-only file system"):
        run.remote(write, str(tmp_path / "beside"))


def test_below_tmp_the_folder_is_made_and_goes_with_the_worker(data: Volume) -> None:
    path = f"/tmp/mounted-{os.getpid()}"
    run = runner(data.mounted_at(path))
    run.remote(write, f"{path}/x", "hello")
    run.remote(write, f"{path}.out", "seen by all")

    assert read(f"{path}.out") == "seen by all"
    Path(f"{path}.out").unlink()
    assert files(data) == {"x": "hello"}


def test_several_volumes_are_at_several_paths(tmp_path: Path) -> None:
    one, two = (Volume.from_name(name, create_if_missing=True) for name in ("one", "two"))
    run = runner(one.mounted_at(ODD), two.mounted_at(str(tmp_path / "two")))

    def copy(start: str, end: str) -> None:
        write(f"{start}/x", "1")
        write(f"{end}/y", read(f"{start}/x"))

    run.remote(copy, ODD, str(tmp_path / "two"))

    assert (files(one), files(two)) == ({"x": "1"}, {"y": "1"})


def test_a_read_only_volume_cannot_be_written_to(data: Volume) -> None:
    runner(data.mounted_at(ODD)).remote(write, f"{ODD}/x", "1")
    run = runner(data.read_only().mounted_at(ODD))

    assert run.remote(read, f"{ODD}/x") == "1"
    with pytest.raises(OSError, match="Read-only file system"):
        run.remote(write, f"{ODD}/x", "2")


def test_a_folder_of_a_volume_is_mounted(data: Volume) -> None:
    runner(data.mounted_at(ODD)).remote(write, f"{ODD}/d/x", "1")
    run = runner(data.with_mount_options(sub_path="d").mounted_at(ODD))

    run.remote(write, f"{ODD}/y", "2")

    assert run.remote(os.listdir, ODD) == ["x", "y"]
    assert files(data) == {"d/x": "1", "d/y": "2"}


def test_a_mount_that_would_hide_what_the_worker_needs_is_refused(data: Volume) -> None:
    with pytest.raises(MountFailed, match="would hide"):
        runner(data.mounted_at(sys.prefix)).remote(read, "x")


def test_a_mount_that_would_hide_what_is_mounted_is_refused(data: Volume, home: Path) -> None:
    with pytest.raises(MountFailed, match="would hide"):
        runner(data.mounted_at(str(home))).remote(read, "x")


def test_a_mount_over_a_file_is_refused(data: Volume, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(MountFailed, match="it is no folder"):
        runner(data.mounted_at(str(tmp_path / "file/x"))).remote(read, "x")


def test_a_missing_volume_is_told_when_it_is_first_needed() -> None:
    run = runner(Volume.from_name("nowhere").mounted_at(ODD))

    with pytest.raises(NotFound, match="apothic volume create nowhere"):
        run.remote(read, "x")


def test_a_volume_of_a_host_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Volume.create("fast", backend="vast_local").mounted_at(ODD)
    runner(fast).remote(write, f"{ODD}/x")
    monkeypatch.setenv("APOTHIC_HOST", "elsewhere")

    with pytest.raises(HostGone, match="'local', which is not here: this is 'elsewhere'"):
        runner(fast).remote(read, f"{ODD}/x")


# --- what is seen, and when -----------------------------------------------------------------------


def test_the_next_call_of_a_warm_worker_sees_what_others_have_committed(data: Volume) -> None:
    one, other = runner(data.mounted_at(ODD)), runner(data.mounted_at(ODD))
    for n in range(3):
        one.remote(write, f"{ODD}/x", str(n))
        assert other.remote(read, f"{ODD}/x") == str(n)

    assert one.remote(os.getpid) == one.remote(os.getpid)


def test_a_failed_call_leaves_nothing(data: Volume) -> None:
    run = runner(data.mounted_at(ODD))
    run.remote(write, f"{ODD}/x", "before")

    def fail() -> None:
        write(f"{ODD}/x", "after")
        write(f"{ODD}/y", "after")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run.remote(fail)
    assert run.remote(os.listdir, ODD) == ["x"]
    assert files(data) == {"x": "before"}


def test_a_result_that_cannot_be_sent_leaves_nothing(data: Volume) -> None:
    run = runner(data.mounted_at(ODD))

    def lose() -> Any:
        write(f"{ODD}/x")
        return os.scandir("/")

    with pytest.raises(Exception, match="cannot be sent back"):
        run.remote(lose)
    assert files(data) == {}


def test_a_killed_call_leaves_nothing(data: Volume, home: Path) -> None:
    run = runner(data.mounted_at(ODD))
    run.remote(write, f"{ODD}/x", "before")

    def die() -> None:
        write(f"{ODD}/x", "after")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerLost):
        run.remote(die)
    assert files(data) == {"x": "before"}
    assert run.remote(read, f"{ODD}/x") == "before"
    assert len([*(home / "volumes/data/views").iterdir()]) == 1


def test_what_a_function_of_any_kind_has_written_is_committed(data: Volume) -> None:
    app = App("kinds")
    mounts = [data.mounted_at(ODD)]

    @app.function(volumes=mounts)
    async def later(name: str) -> str:
        write(f"{ODD}/{name}")
        return name

    @app.function(volumes=mounts)
    def items(name: str) -> Iterator[int]:
        write(f"{ODD}/{name}")
        yield 1
        yield 2

    @app.function(volumes=mounts)
    async def async_items(name: str) -> Any:
        write(f"{ODD}/{name}")
        yield 1

    @batched(max_batch_size=2, wait_ms=50)
    @app.function(volumes=mounts)
    def together(names: list[str]) -> list[str]:
        for name in names:
            write(f"{ODD}/{name}")
        return names

    assert later.remote("a") == "a"
    assert [*items.remote_gen("b")] == [1, 2]
    assert [*async_items.remote_gen("c")] == [1]
    together.map(["d", "e"])
    assert sorted(files(data)) == ["a", "b", "c", "d", "e"]


def test_an_exception_is_told_without_what_stands_around_the_call(data: Volume) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        runner(data.mounted_at(ODD)).remote(fail)
    assert "apothic_emulator" not in str(caught.value.__cause__)


def test_two_at_once_who_write_one_file_are_told_and_a_retry_sees_the_others(
    data: Volume, tmp_path: Path
) -> None:
    def add(go: str, come: str) -> None:
        names = Path(f"{ODD}/names")
        so_far = names.read_text() if names.exists() else ""
        Path(go).write_text("\n")
        while not so_far and not Path(come).exists():
            time.sleep(0.002)
        names.write_text(so_far + go[-1])

    paths = [str(tmp_path / name) for name in "ab"]
    runs = [runner(data.mounted_at(ODD), retries=AT_ONCE) for _ in paths]
    jobs = [run.spawn(add, *way) for run, way in zip(runs, (paths, paths[::-1]), strict=True)]
    for job in jobs:
        job.wait()

    assert sorted(files(data)["names"]) == ["a", "b"]


def test_a_conflict_fails_the_call_and_what_it_wrote_is_thrown_away(
    data: Volume, tmp_path: Path
) -> None:
    one, other = runner(data.mounted_at(ODD)), runner(data.mounted_at(ODD))

    def slow(here: str, there: str) -> None:
        write(f"{ODD}/x", "slow")
        Path(here).write_text("\n")
        while not Path(there).exists():
            time.sleep(0.002)

    job = one.spawn(slow, str(tmp_path / "a"), str(tmp_path / "b"))
    read_when_there(tmp_path / "a")
    other.remote(write, f"{ODD}/x", "fast")
    (tmp_path / "b").write_text("")

    with pytest.raises(VolumeConflict, match="'x'"):
        job.wait()
    assert one.remote(read, f"{ODD}/x") == "fast"


# --- from inside ----------------------------------------------------------------------------------


def test_commit_and_reload_work_inside_a_function(data: Volume) -> None:
    def steps() -> list[Any]:
        write(f"{ODD}/x", "1")
        first = data.commit()
        seen = files(data)
        data.put_file(Path("/etc/hostname"), "other")
        before = Path(f"{ODD}/other").exists()
        second = data.reload()
        return [first, seen, before, second, Path(f"{ODD}/other").exists()]

    assert runner(data.mounted_at(ODD)).remote(steps) == [1, {"x": "1"}, False, 2, True]


def test_reload_with_open_files_is_refused_with_their_names(data: Volume) -> None:
    def hold() -> str:
        write(f"{ODD}/d/x", "1")
        data.commit()
        with Path(f"{ODD}/d/x").open():
            data.put_file(Path("/etc/hostname"), "other")
            try:
                data.reload()
            except VolumeBusy as error:
                return str(error.data["files"])
        return "reloaded"

    assert runner(data.mounted_at(ODD)).remote(hold) == f"['{ODD}/d/x']"


def test_reload_does_not_lose_what_is_not_committed(data: Volume) -> None:
    def forget() -> str:
        write(f"{ODD}/x", "1")
        try:
            data.reload()
        except UsageError as error:
            return f"{error.code} {read(f'{ODD}/x')}"
        return "reloaded"

    assert runner(data.mounted_at(ODD)).remote(forget) == "usage 1"


def test_what_is_written_to_a_file_that_stays_open_is_committed_each_time(data: Volume) -> None:
    def log(text: str) -> None:
        import builtins

        kept: Any = builtins
        if not hasattr(kept, "log"):
            kept.log = Path(f"{ODD}/log").open("a", buffering=1)  # noqa: SIM115
        kept.log.write(text)
        kept.log.flush()

    run = runner(data.mounted_at(ODD))
    for text in "abc":
        run.remote(log, text)

    assert files(data) == {"log": "abc"}


def test_who_has_an_old_file_mapped_reads_on_while_the_next_call_sees_the_newest(
    data: Volume,
) -> None:
    def look() -> list[str]:
        import builtins
        import mmap

        kept: Any = builtins
        if not hasattr(kept, "model"):
            with Path(f"{ODD}/model").open("rb") as file:
                kept.model = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return [bytes(kept.model).decode(), read(f"{ODD}/model")]

    run, other = runner(data.mounted_at(ODD)), runner(data.mounted_at(ODD))
    other.remote(write, f"{ODD}/model", "old")
    run.remote(look)
    other.remote(write, f"{ODD}/model", "new")

    assert run.remote(look) == ["old", "new"]


def test_special_files_fail_the_call(data: Volume) -> None:
    with pytest.raises(FileRefused, match="'fifo'"):
        runner(data.mounted_at(ODD)).remote(os.mkfifo, f"{ODD}/fifo")


def test_a_copied_file_can_be_copied_again(data: Volume) -> None:
    import shutil

    run = runner(data.mounted_at(ODD))
    run.remote(write, f"{ODD}/a")
    run.remote(shutil.copy2, f"{ODD}/a", f"{ODD}/b")

    assert run.remote(shutil.copy2, f"{ODD}/a", f"{ODD}/b") == f"{ODD}/b"


def test_a_strict_volume_is_seen_as_in_a_cloud_and_says_what_is_missing(data: Volume) -> None:
    strict = runner(data.mounted_at(ODD, strict=True))
    strict.remote(os.listdir, ODD)
    runner(data.mounted_at(ODD)).remote(write, f"{ODD}/new", "1")

    with pytest.raises(FileNotFoundError) as caught:
        strict.remote(read, f"{ODD}/new")
    assert "call volume.reload() first" in "".join(caught.value.__notes__)

    def look() -> str:
        data.reload()
        return read(f"{ODD}/new")

    assert strict.remote(look) == "1"


def test_a_strict_worker_keeps_its_own_and_shows_nothing_of_others(data: Volume) -> None:
    strict = runner(data.mounted_at(ODD, strict=True))
    strict.remote(write, f"{ODD}/mine", "1")
    runner(data.mounted_at(ODD)).remote(write, f"{ODD}/theirs", "2")
    strict.remote(write, f"{ODD}/mine", "3")

    assert strict.remote(os.listdir, ODD) == ["mine"]
    assert files(data) == {"mine": "3", "theirs": "2"}


def test_handles_come_back_live_in_workers(data: Volume) -> None:
    def put(volume: Volume) -> Volume:
        volume.put_file(Path("/etc/hostname"), "host")
        return volume

    assert runner().remote(put, data).exists("host")


# --- many, and killed -----------------------------------------------------------------------------


def test_calls_in_many_workers_lose_nothing(data: Volume) -> None:
    run = runner(data.mounted_at(ODD), max_containers=4)
    run.starmap([(write, f"{ODD}/{n}", str(n)) for n in range(40)])

    assert files(data) == {str(n): str(n) for n in range(40)}


def test_workers_that_are_killed_at_any_moment_leave_whole_versions(data: Volume) -> None:
    def work(n: int) -> int:
        import random
        import threading

        doom = threading.Timer(random.random() * 0.03, os.kill, (os.getpid(), signal.SIGKILL))
        doom.daemon = True
        if random.random() < 0.5:
            doom.start()
        for part in "ab":
            write(f"{ODD}/{n}/{part}", str(n))
        data.commit()
        doom.cancel()
        return n

    run = runner(data.mounted_at(ODD), max_containers=3)
    done: set[int] = set()
    for n, job in enumerate([run.spawn(work, n) for n in range(40)]):
        try:
            done.add(job.wait())
        except WorkerLost:
            continue
        assert n in done

    found = files(data)
    whole = {int(path.split("/")[0]) for path in found}
    assert done <= whole
    assert found == {f"{n}/{part}": str(n) for n in whole for part in "ab"}
