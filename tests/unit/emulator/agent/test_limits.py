"""Who keeps an executor within its limits, and what it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.agent.limits import Keeper
from apothic_emulator.core.facts import Excess
from apothic_emulator.executors.limits import Limits

SPEC = FunctionSpec("app", "f", memory_mb=64)
ONE_CORE = FunctionSpec("app", "f", memory_mb=64, cpu=1)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("APOTHIC_CGROUP", "off")
    monkeypatch.setenv("APOTHIC_LIMITS", "enforce")


def keeper(mode: str = "enforce") -> Keeper:
    os.environ["APOTHIC_LIMITS"] = mode
    made = Keeper()
    made.find()
    return made


def test_without_groups_zygotes_watch_and_executors_are_bound() -> None:
    made = keeper()

    assert made.watches
    assert made.enforced == {"memory": "watchdog", "cpu": "affinity", "disk": "file"}
    assert made.allow(1, SPEC) == Limits(64 << 20)


def test_who_works_beside_each_other_is_bound_to_different_cores() -> None:
    made = keeper()
    cores = [made.allow(number, ONE_CORE).cores for number in range(4)]

    assert sorted(cores) == [(0,), (1,), (2,), (3,)]


def test_who_finds_no_free_core_is_left_to_the_scheduler() -> None:
    made = keeper()
    for number in range(4):
        made.allow(number, ONE_CORE)

    assert made.allow(4, ONE_CORE).cores == ()


def test_the_cores_of_an_executor_that_has_ended_are_free() -> None:
    made = keeper()
    for number in range(4):
        made.allow(number, ONE_CORE)
    made.ended(2)

    assert len(made.allow(4, ONE_CORE).cores) == 1


def test_who_may_use_every_core_is_not_bound() -> None:
    assert keeper().allow(1, FunctionSpec("app", "f", cpu=4)).cores == ()


def test_libraries_are_told_of_the_limit_unless_the_user_has_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert keeper().environment(ONE_CORE) == {"OMP_NUM_THREADS": "1"}
    assert keeper().environment(SPEC) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert keeper().environment(ONE_CORE) == {}


def test_with_groups_nobody_is_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory cpu")
    monkeypatch.setenv("APOTHIC_CGROUP", str(tmp_path))
    made = keeper()

    assert made.enforced == {"memory": "cgroup-v2", "cpu": "quota", "disk": "file"}
    assert made.allow(1, ONE_CORE).cores == ()
    made.close()


def test_zygotes_watch_where_groups_take_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_CGROUP", str(tmp_path))
    made = keeper()
    made.allow(1, SPEC)
    (next(tmp_path.glob("apothic-*")) / "1").mkdir()
    made.started(1, os.getpid())
    assert made._groups is not None

    made._groups.work()

    made.close()
    assert made.enforced == {"memory": "watchdog", "cpu": "affinity", "disk": "file"}


def test_a_zygote_does_not_come_before_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_CGROUP", str(tmp_path))
    relaxed: list[tuple[int, int]] = []
    made = keeper()
    made.relax = lambda number, limit_mb: relaxed.append((number, limit_mb))
    made.allow(1, SPEC)
    made.started(1, os.getpid())
    assert made._groups is not None

    made._groups.work()

    made.close()
    assert relaxed == [(1, 96)]


def test_what_a_zygote_has_seen_is_proof_until_the_executor_has_ended() -> None:
    made = keeper()
    made.allow(1, SPEC)

    made.over(1, 80)
    assert made.excess(1) == Excess(64, 80, "watchdog")
    made.ended(1)
    made.over(1, 80)

    assert made.excess(1) is None


def test_a_warning_comes_once_for_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    made = keeper("warn")
    for number in (1, 2):
        made.allow(number, SPEC)
        made.over(number, 80)

    assert capsys.readouterr().err.count("f uses 80 MB, more than memory_mb=64 allows") == 1
    assert made.excess(1) is None
    assert made.enforced == {"memory": "warning", "cpu": "none"}
    assert not made.allow(3, ONE_CORE).is_enforced


def test_limits_that_are_off_are_nobodys_concern() -> None:
    made = keeper("off")

    assert not made.watches
    assert made.allow(1, ONE_CORE) == Limits()
    assert made.environment(ONE_CORE) == {}
    assert made.enforced == {"memory": "none", "cpu": "none"}
