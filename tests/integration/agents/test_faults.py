"""Agents and their control plane are cut off, killed and started again while work goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apothic_backends.connection import use
from apothic_emulator.stores.sqlite import SqliteEngine
from apothic_emulator.stores.store import Store
from tests.integration.agents import functions as f
from tests.integration.agents.server import LEASE_S, Server, start_agent
from tests.integration.agents.setting import Setting
from tests.integration.support import wait_gone, wait_until


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    yield setting
    setting.close()


def test_work_stops_by_itself_when_nothing_is_acknowledged_for_a_lease(setting: Setting) -> None:
    setting.agent()
    setting.begin()

    setting.server.go_silent()

    wait_gone(setting.pids[0])


def test_what_may_run_again_does_so_elsewhere_after_a_lease(setting: Setting) -> None:
    setting.agent("a")
    job = setting.begin(f.persist)
    first = setting.pids[0]
    setting.server.cut()
    setting.server.until(lambda plane: plane.fleet.agents.far[1].is_given_up)
    setting.server.mend()
    wait_until(lambda: len(setting.pids) == 2)
    wait_gone(first)

    setting.let_go()

    assert job.wait() == setting.pids[1]


def test_what_must_not_run_twice_is_lost_when_its_agent_comes_back_without_it(
    setting: Setting,
) -> None:
    setting.agent()
    job = setting.begin()
    setting.server.cut()
    wait_gone(setting.pids[0])

    setting.server.mend()

    assert setting.server.outcome(job).status.value == "lost"
    assert len(setting.pids) == 1


def test_an_outcome_behind_a_cut_counts_when_the_agent_comes_back_in_the_grace(
    setting: Setting,
) -> None:
    setting.agent()
    job = setting.begin()
    setting.server.go_silent()
    setting.let_go()
    setting.server.until(lambda plane: plane.fleet.agents.far[1].is_given_up)

    setting.server.cut()
    setting.server.mend()

    assert job.wait() == setting.pids[0]


def test_an_agent_that_is_killed_takes_its_work_with_it_and_its_successor_goes_on(
    setting: Setting,
) -> None:
    process = setting.agent("a")
    job = setting.begin(f.persist)
    process.kill()
    process.wait()
    wait_gone(setting.pids[0])

    setting.agent("a")
    wait_until(lambda: len(setting.pids) == 2)
    setting.let_go()

    assert job.wait() == setting.pids[1]


def test_what_must_not_run_twice_is_lost_with_its_agent(setting: Setting) -> None:
    process = setting.agent("a")
    job = setting.begin()
    process.kill()
    process.wait()

    setting.agent("a")

    outcome = setting.server.outcome(job)
    assert outcome.status.value == "lost"
    assert outcome.error is not None
    assert outcome.error.data["maybe_ran"] is True


def test_a_killed_agent_is_noticed_after_its_lease_where_none_follows(setting: Setting) -> None:
    process = setting.agent("a")
    job = setting.begin(f.persist)
    setting.agent("b")
    process.kill()
    process.wait()

    wait_until(lambda: len(setting.pids) == 2)
    setting.let_go()

    assert job.wait() == setting.pids[1]


@pytest.mark.parametrize("delay_s", [0.0, 0.02])
def test_frames_may_come_twice_and_late(setting: Setting, delay_s: float) -> None:
    setting.server.is_twice = True
    setting.server.delay_s = delay_s
    setting.agent()

    assert f.double.map(range(30)) == [2 * n for n in range(30)]
    assert f.call_others.remote(1) == [4, 6]


def test_cuts_at_any_moment_lose_nothing(setting: Setting) -> None:
    setting.agent("a")
    setting.agent("b")
    jobs = []
    for n in range(60):
        jobs.append(f.double.spawn(n))
        if n % 10 == 5:
            setting.server.cut()
            setting.server.mend()

    assert [job.wait() for job in jobs] == [2 * n for n in range(60)]


# --- the control plane starts again --------------------------------------------------------------


def opened(path: Path, port: int = 0) -> Server:
    store = Store(SqliteEngine(path))
    store.open()
    return Server(store=store, port=port, lease_s=10 * LEASE_S)


def test_running_work_goes_on_through_a_restart_of_the_control_plane(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    first = opened(tmp_path / "state.db")
    before = use(first.backend)
    process = start_agent(first.url, tmp_path)
    job = f.stay.spawn(str(tmp_path / "began"), str(tmp_path / "gate"))
    wait_until((tmp_path / "began").exists)
    first.close()

    second = opened(tmp_path / "state.db", first.port)
    use(second.backend)
    second.until(lambda plane: plane.fleet.agents.far[1].is_heard)
    with (tmp_path / "gate").open("w") as gate:
        gate.write("x")

    outcome = second.outcome(job)
    assert outcome.status.value == "succeeded"
    assert len((tmp_path / "began").read_text().split()) == 1
    process.kill()
    process.wait()
    use(before)
    second.close()


def test_what_has_ended_meanwhile_is_told_to_the_next_control_plane(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    first = opened(tmp_path / "state.db")
    before = use(first.backend)
    process = start_agent(first.url, tmp_path)
    job = f.stay.spawn(str(tmp_path / "began"), str(tmp_path / "gate"))
    wait_until((tmp_path / "began").exists)
    first.close()
    with (tmp_path / "gate").open("w") as gate:
        gate.write("x")

    second = opened(tmp_path / "state.db", first.port)
    use(second.backend)

    assert second.outcome(job).status.value == "succeeded"
    process.kill()
    process.wait()
    use(before)
    second.close()
