"""An agent and its control plane are cut off from each other, in both directions or in one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agents import functions as f
from tests.integration.agents.setting import Setting
from tests.integration.agents.steps import Stop
from tests.integration.support import is_alive, wait_gone, wait_until


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """A lease of two seconds, and a minute more for what must not run twice."""
    setting = Setting(tmp_path)
    yield setting
    setting.close()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Setting]:
    """The same with one second more."""
    setting = Setting(tmp_path, grace_s=1.0)
    yield setting
    setting.close()


def test_a_cut_that_is_shorter_than_the_lease_costs_nothing(setting: Setting) -> None:
    setting.agent()
    job = setting.begin(f.persist)

    setting.server.cut()
    setting.server.mend()
    setting.server.until(lambda plane: plane.fleet.agents.far[1].session == 2)
    setting.let_go()

    assert job.wait() == setting.pids[0]
    kept = setting.server.kept(job)
    assert (kept.attempt, kept.losses, kept.failures) == (1, 0, 0)
    told = [event for event in setting.server.events(job) if event != "job.log"]
    assert told == ["job.queued", "job.running", "job.result", "job.end"]


def test_an_outcome_that_comes_too_late_is_told_and_changes_nothing(setting: Setting) -> None:
    setting.agent("a")
    job = setting.begin(f.persist)
    stop = setting.server.stops["a"] = Stop("Reported")
    setting.let_go()
    assert stop.reached.wait(30)
    setting.agent("b")
    wait_until(lambda: len(setting.pids) == 2)

    setting.server.let_go("a")
    wait_until(lambda: "job.late_report" in setting.server.events(job))
    setting.let_go()

    assert job.wait() == setting.pids[1]
    told = setting.server.events(job)
    assert (told.count("job.retry"), told.count("job.late_report"), told.count("job.end")) == (
        1,
        1,
        1,
    )


def test_what_must_not_run_twice_is_lost_when_nobody_comes_back_in_the_grace(
    hasty: Setting,
) -> None:
    hasty.agent("a")
    job = hasty.begin()
    hasty.agent("b")

    hasty.server.stops["a"] = stop = Stop("")
    stop.reached.set()

    outcome = hasty.server.outcome(job)
    assert outcome.status.value == "lost"
    assert outcome.error is not None
    assert (outcome.error.data["maybe_ran"], outcome.error.data["reason"]) == (True, "disconnect")
    assert len(hasty.pids) == 1
    wait_gone(hasty.pids[0])


def test_an_agent_that_is_not_heard_stops_its_work_though_it_hears_everything(
    setting: Setting,
) -> None:
    setting.agent()
    setting.begin()

    setting.server.go_deaf()

    wait_gone(setting.pids[0])
    assert setting.agents[0].poll() is None


def test_a_machine_that_vanishes_without_a_word_is_given_up_after_its_lease(
    setting: Setting,
) -> None:
    frozen = setting.agent("a")
    job = setting.begin(f.persist)
    frozen.send_signal(signal.SIGSTOP)  # its connection stays open
    setting.agent("b")
    wait_until(lambda: len(setting.pids) == 2)
    assert is_alive(setting.pids[0])

    frozen.send_signal(signal.SIGCONT)

    wait_gone(setting.pids[0])
    setting.let_go()
    assert job.wait() == setting.pids[1]
