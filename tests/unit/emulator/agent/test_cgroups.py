"""Control groups in a folder of plain files: what is written where, and what counts as proof."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic_emulator.agent import cgroups
from apothic_emulator.agent.cgroups import Groups, Wanted, find
from apothic_emulator.core.facts import Excess
from apothic_emulator.executors import groups as folders


@pytest.fixture
def v2(tmp_path: Path) -> Groups:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return _opened(tmp_path)


@pytest.fixture
def v1(tmp_path: Path) -> Groups:
    return _opened(tmp_path)


def _opened(root: Path) -> Groups:
    groups = find("mark", str(root))
    assert groups is not None
    return groups


def _put(groups: Groups, number: int = 7, cores: int = 0) -> Path:
    groups.put(number, Wanted(os.getpid(), 64, cores))
    groups.work()
    groups.close()  # a folder with plain files in it stays
    return Path(groups.memory) / str(number)


def test_an_executor_of_version_2_gets_its_limits_before_it_is_moved(v2: Groups) -> None:
    group = _put(v2, cores=2)

    assert (group / "memory.max").read_text() == str(64 << 20)
    assert (group / "cpu.max").read_text() == "200000 100000"
    assert (group / "cgroup.procs").read_text().isdigit()


def test_an_executor_of_version_1_gets_its_limits(v1: Groups) -> None:
    group = _put(v1)

    assert (group / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert not (group / "cpu.cfs_quota_us").exists()


def test_swap_is_forbidden_where_the_kernel_counts_it(v2: Groups) -> None:
    group = Path(v2.memory) / "7"
    made = os.mkdir

    def mkdir(path: str) -> None:
        made(path)
        (Path(path) / "memory.swap.max").write_text("max")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgroups.os, "mkdir", mkdir)
        _put(v2)

    assert (group / "memory.swap.max").read_text() == "0"


def test_a_kill_for_want_of_memory_is_proof(v2: Groups) -> None:
    group = _put(v2)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 1\n")
    (group / "memory.peak").write_text(f"{64 << 20}\n")

    assert v2.excess(7) == Excess(64, 64, "cgroup-v2")


@pytest.mark.parametrize("events", ["max 12\noom 3\noom_kill 0\n", "", "oom_kill many\n"])
def test_a_limit_that_was_only_reached_is_no_proof(v2: Groups, events: str) -> None:
    (_put(v2) / "memory.events").write_text(events)

    assert v2.excess(7) is None


def test_nothing_is_known_of_an_executor_that_is_in_no_group(v2: Groups) -> None:
    assert v2.excess(8) is None


def test_an_executor_that_cannot_be_put_into_one_is_told(v2: Groups) -> None:
    told: list[str] = []
    v2.failed = lambda: told.append("failed")
    (Path(v2.memory) / "7").mkdir()

    _put(v2)

    assert told == ["failed"]


def test_an_executor_that_has_ended_is_not_put_anywhere(v2: Groups) -> None:
    v2.put(7, Wanted(os.getpid(), 64, 0))
    v2.remove(7)
    v2.work()
    v2.close()

    assert not (Path(v2.memory) / "7").exists()


def test_there_are_no_groups_where_the_memory_controller_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "cgroup.subtree_control").mkdir()  # cannot be written

    assert find("mark", str(tmp_path)) is None
    assert list(tmp_path.glob("apothic-*")) == []


def test_there_are_no_groups_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert find("mark", str(tmp_path / "nowhere")) is None


def test_what_dead_hosts_have_left_is_removed_and_what_others_have_is_not(tmp_path: Path) -> None:
    dead = tmp_path / "apothic-4194304-1-mark" / "3"
    dead.mkdir(parents=True)
    reused = tmp_path / f"apothic-{os.getpid()}-1-mark"
    living = tmp_path / folders.name_of(os.getpid(), "mark")
    other = tmp_path / "apothic-of-somebody"
    for folder in (reused, living, other):
        folder.mkdir()

    folders.remove_dead(str(tmp_path))

    assert {*tmp_path.iterdir()} == {living, other}


def test_the_group_of_a_host_whose_processes_are_counted_apart_is_not_removed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "apothic-1-0-elsewhere"  # the first process here has started later
    read = folder / "7"
    read.mkdir(parents=True)
    host = Groups(cgroups.V1, str(folder), None)

    folders.remove_dead(str(tmp_path))

    assert read.exists()
    host.close()
    assert not folder.exists()


def test_the_own_group_is_found_where_only_a_part_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text("9:cpu,cpuacct:/\n8:memory:/docker/1/worker\n0::/\n")
    (tmp_path / "mounts").write_text(
        "30 25 0:26 /docker/1 /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
        "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "33 25 0:29 / / rw - ext4 /dev/vda rw\n"
    )
    monkeypatch.setattr(cgroups, "_OWN", str(tmp_path / "own"))
    monkeypatch.setattr(cgroups, "_MOUNTS", str(tmp_path / "mounts"))

    assert cgroups._own_folders() == {
        "memory": "/sys/fs/cgroup/memory/worker",
        "cpu": "/sys/fs/cgroup/cpu",
        "cpuacct": "/sys/fs/cgroup/cpu",
        "": "/sys/fs/cgroup/unified",
    }
