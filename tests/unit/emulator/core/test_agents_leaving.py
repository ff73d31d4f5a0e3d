"""Agents that are about to leave, and those whose Python cannot load a function."""

from __future__ import annotations

import pytest

from apothic_backends.commands import OpenItems, ReadItems, RunJob
from apothic_backends.model.agents import StaleSession
from apothic_backends.model.payloads import Payload
from apothic_emulator.core.effects import DumpStack, Effect, Kill, Recall, Retire, StartExecutor
from apothic_emulator.core.hellos import Drain, HeldExecutor
from apothic_emulator.core.journal import Journal
from apothic_emulator.core.plane import Plane
from tests.unit.emulator.core.agents import LARGE, SMALL, Far
from tests.unit.emulator.core.driving import Driver, jobs_sent, only

# --- agents that are drained ----------------------------------------------------------------------


def test_an_agent_that_is_drained_lets_its_idle_executors_end() -> None:
    driver = Far()
    driver.join()
    driver.report(driver.begun())

    assert driver.drain() == [Recall(1)] or only(driver.effects, Retire) == [Retire(1)]


def test_an_agent_that_is_drained_gets_nothing_new() -> None:
    driver = Far(max_containers=2)
    driver.join("a")
    driver.join("b", SMALL)
    driver.drain("a")

    driver.submit_many(2)

    assert driver.agents_of(driver.effects) == []
    assert {e.agent for e in driver.plane.ledger.executors.values()} == {2}


def test_work_waits_while_the_only_agent_is_drained() -> None:
    driver = Far()
    driver.join()
    driver.drain()

    job = driver.submit()

    assert driver.effects == []
    assert driver.status(job) == "queued"


def test_what_has_begun_there_ends_there_and_what_has_not_begins_elsewhere() -> None:
    driver = Far()
    driver.join("a")
    first = driver.begun()
    driver.plane.pools[1].mean_s = 0.001
    second = driver.submit()
    assert jobs_sent(driver.effects) == [second]
    driver.join("b")
    assert Recall(1) in driver.drain("a")
    driver.recalled(1, second)

    effects = driver.report(first)

    assert driver.status(first) == "succeeded"
    assert only(effects, Retire) == [Retire(1)]
    effects += driver.died(1)
    assert driver.agents_of(effects) == [2]
    assert jobs_sent(effects) == [second]


def test_an_executor_that_is_still_loading_there_is_ended_and_its_job_begins_elsewhere() -> None:
    driver = Far()
    driver.join("a")
    job = driver.submit()
    driver.join("b")

    assert only(driver.drain("a"), Kill) == [Kill(1)]
    effects = driver.died(1)

    assert driver.agents_of(effects) == [2]
    assert driver.job(job).losses == 0


def test_idle_executors_of_an_agent_that_leaves_make_no_room() -> None:
    driver = Far()
    driver.join("a", SMALL)
    other = driver.register("g")
    busy = driver.begun()
    driver.drain("a")
    driver.report(busy)

    driver.submit(other)

    assert only(driver.effects, StartExecutor) == []


def test_what_was_to_have_a_place_there_makes_room_elsewhere_at_once() -> None:
    driver = Far(max_containers=1)
    driver.join("a", SMALL)
    driver.report(driver.begun())
    driver.join("b", SMALL)
    other = driver.register("other")
    on_b = driver.submit(other)
    driver.loads()
    driver.accepts(on_b)
    driver.report(on_b)
    driver.submit(driver.register("third"))
    assert only(driver.effects, Retire) == [Retire(1)]

    assert Retire(2) in driver.drain("a")


def test_whoever_speaks_in_an_old_session_drains_nobody() -> None:
    driver = Far()
    driver.join()
    driver.join()

    with pytest.raises(StaleSession):
        driver.ask(Drain(1, 1))


def test_an_executor_behind_a_cut_ends_when_its_drained_agent_is_heard_again() -> None:
    driver = Far()
    driver.join()
    driver.report(driver.begun())
    driver.cut()
    driver.join()
    driver.drain()

    effects = driver.beat()

    assert only(effects, Recall) or only(effects, Retire)


# --- what is told of their Python -----------------------------------------------------------------


def pickled(driver: Far | Driver, python: str = "3.12", **limits: object) -> str:
    """A function by value; its id."""
    return driver.register("g", python=python, **limits)


def test_a_function_goes_where_its_pickle_can_be_loaded() -> None:
    driver = Far()
    driver.join("a", python="3.11")
    driver.join("b", SMALL, python="3.12")

    driver.submit(pickled(driver))

    assert driver.agents_of(driver.effects) == [2]


def test_code_that_is_found_by_its_name_goes_anywhere() -> None:
    driver = Far()
    driver.join("a", python="3.11")

    driver.submit()

    assert driver.agents_of(driver.effects) == [1]


def test_an_agent_that_does_not_say_what_it_has_is_believed_to_be_able() -> None:
    driver = Far()
    driver.join("a")

    driver.submit(pickled(driver))

    assert driver.agents_of(driver.effects) == [1]


def test_without_any_agent_it_waits() -> None:
    driver = Far()
    job = driver.submit(pickled(driver))
    assert driver.status(job) == "queued"

    driver.join(python="3.12")

    assert jobs_sent(driver.effects) == [job]


def test_where_no_machine_can_load_it_the_error_says_all_versions() -> None:
    driver = Far()
    driver.join("lab", python="3.11")

    error = driver.outcome(driver.submit(pickled(driver))).error

    assert error is not None
    assert error.code == "python_mismatch"
    assert "'g' was pickled under Python 3.12" in error.message
    assert "lab (linux-x86_64) has Python 3.11" in error.message
    assert error.data == {"python": "3.12", "machines": {"lab (linux-x86_64)": "3.11"}}


def test_a_caller_who_waits_for_what_no_machine_can_load_is_told() -> None:
    driver = Far()
    driver.join(python="3.11")

    outcome = driver.ask(RunJob(pickled(driver), Payload(b"")))

    assert outcome.error.code == "python_mismatch"


def test_a_generator_that_no_machine_can_load_says_so_to_its_reader() -> None:
    driver = Far()
    driver.join(python="3.11")
    job = driver.ask(OpenItems(pickled(driver, is_generator=True), Payload(b"")))

    assert driver.ask(ReadItems(job, 0)).outcome.error.code == "python_mismatch"


def test_it_waits_for_a_machine_that_is_only_cut_off() -> None:
    driver = Far()
    driver.join("a", python="3.11")
    driver.join("b", python="3.12")
    driver.cut("b")

    job = driver.submit(pickled(driver))
    assert driver.status(job) == "queued"
    driver.join("b", python="3.12")

    assert driver.status(job) == "dispatched"


def test_it_waits_for_a_machine_that_was_there_before_a_restart() -> None:
    driver = Far()
    driver.join("a", python="3.11")
    driver.join("b", python="3.12")
    job = driver.submit(pickled(driver))
    driver.restart()
    driver.welcomes.clear()

    driver.join("a", python="3.11")
    assert driver.status(job) == "dispatched"  # as far as is known, to the other one
    driver.join("b", python="3.12")

    assert driver.agents_of(driver.effects) == [2]


def test_at_home_it_is_the_control_planes_own_python_that_counts() -> None:
    class Home(Driver):
        def new_plane(self, wall_offset: float) -> Plane:
            return Plane("here", wall_offset, python="3.11", journal=Journal())

    driver = Home()
    right = driver.submit(pickled(driver, "3.11"))
    assert driver.status(right) == "dispatched"

    error = driver.outcome(driver.submit(driver.register("h", python="3.12"))).error

    assert error is not None
    assert "this machine has Python 3.11" in error.message


def test_what_loads_has_all_its_time_after_a_cut() -> None:
    driver = Far(timeout_s=60.0)
    driver.join()
    driver.submit()
    driver.cut()
    driver.join("a", LARGE, HeldExecutor(1, 1, loaded=False, jobs=()))
    told: list[Effect] = []
    for _ in range(3):
        driver.pass_s(20.0)
        told += driver.effects + driver.beat()

    assert DumpStack not in map(type, told)
