"""Devices that get into trouble while somebody has them, and ones that come back."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.agents import ListAgents
from apothic_backends.model.agents import StaleSession
from apothic_backends.model.errors import UsageError
from apothic_emulator.core.effects import Kill
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.hellos import BEGUN, Capacity, Gpu, GpusFound
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import Driver, only
from tests.unit.emulator.core.test_gpus import devices

H1, H2 = Gpu("GPU-h1", "NVIDIA H100", 81_559), Gpu("GPU-h2", "NVIDIA H100", 81_559)
LOST = H1.replace(trouble="it fell off the bus")


def needy(*gpus: Gpu, **how: Any) -> Far:
    driver = Far(**{"gpu_count": 1, "max_containers": 4, **how})
    driver.join(capacity=Capacity(8, 16_384, gpus))
    driver.beat()
    return driver


def found(driver: Far, *gpus: Gpu) -> None:
    """The agent tells what it has by now."""
    it = driver.welcomes["a"]
    driver.ask(GpusFound(gpus, "", it.agent, it.session))


def killed(driver: Driver) -> list[int]:
    return [effect.executor for effect in only(driver.effects, Kill)]


def test_what_has_it_is_ended_and_says_why() -> None:
    driver = needy(H1, H2)
    job, other = driver.begun(), driver.begun()

    found(driver, LOST, H2)
    assert killed(driver) == [1]
    driver.died(1)

    error = driver.look(job).error
    assert error is not None
    assert (
        "lost its GPU: GPU-h1: it fell off the bus; retries=1 would run it again" in error.message
    )
    assert error.data["reason"] == "gpu"
    assert driver.status(other) == "running"


def test_one_that_is_not_there_any_more_is_lost_as_well() -> None:
    driver = needy(H1, H2)
    job = driver.begun()

    found(driver, H2)
    driver.died(1)

    assert "GPU-h1: it is not there any more" in str(driver.look(job).error)


def test_the_next_attempt_gets_another() -> None:
    driver = needy(H1, H2, retries=1)
    driver.begun()

    found(driver, LOST, H2)
    driver.died(1)
    driver.pass_s(2.0)

    assert devices(driver) == {2: ("GPU-h2",)}


def test_it_is_given_to_nobody_until_it_is_back() -> None:
    driver = needy(LOST)
    job = driver.submit()
    assert devices(driver) == {}
    assert "there are: a with 8 cores, 16384 MB, no GPU (GPU-h1: it fell off the bus)" in (
        driver.look(job).waiting
    )

    found(driver, H1)

    assert devices(driver) == {1: ("GPU-h1",)}


def test_a_start_that_fails_for_it_says_nothing_of_the_function() -> None:
    driver = needy(H1)
    job = driver.submit()

    found(driver, LOST)
    driver.step(Ended(1, "start", (job,)))

    assert driver.status(job) == "queued"
    found(driver, H1)
    assert devices(driver) == {2: ("GPU-h1",)}


def test_what_is_being_killed_is_not_killed_again() -> None:
    driver = needy(H1)
    driver.begun()
    found(driver, LOST)

    found(driver, LOST)

    assert killed(driver) == []


def test_of_an_agent_that_comes_back_without_it_what_has_it_is_ended_once_that_is_heard() -> None:
    driver = needy(H1)
    job = driver.begun()
    held = driver.held(job, BEGUN)
    driver.cut()

    driver.join("a", Capacity(8, 16_384, (LOST,)), held)
    assert killed(driver) == []
    driver.beat()

    assert killed(driver) == [1]


def test_what_is_found_before_the_agent_is_heard_ends_nothing_yet() -> None:
    driver = needy(H1)
    job = driver.begun()
    driver.cut()
    driver.join("a", Capacity(8, 16_384, (H1,)), driver.held(job, BEGUN))

    found(driver, LOST)
    assert killed(driver) == []
    driver.beat()

    assert killed(driver) == [1]


def test_one_of_this_machine_is_lost_likewise() -> None:
    driver = Driver(gpu_count=1)
    job = driver.submit()
    driver.ask(GpusFound((H1,)))
    driver.loaded()

    driver.ask(GpusFound((LOST,)))
    assert killed(driver) == [1]
    driver.died(1)

    assert "lost its GPU" in str(driver.look(job).error)


def test_what_only_a_lost_one_could_run_fails_at_once_here() -> None:
    driver = Driver(gpu_count=1)
    driver.ask(GpusFound((LOST,)))

    job = driver.submit()

    assert "no GPU (GPU-h1: it fell off the bus)" in str(driver.look(job).error)


def test_a_session_that_has_ended_says_nothing_of_devices() -> None:
    driver = needy(H1)
    with pytest.raises(StaleSession):
        driver.ask(GpusFound((LOST,), "", 1, 99))


def test_what_cannot_be_found_is_refused() -> None:
    driver = needy(H1)
    with pytest.raises(UsageError):
        found(driver, H1, H1)


def test_a_lost_one_is_listed_with_its_trouble() -> None:
    driver = needy(LOST)

    assert [gpu.trouble for gpu in driver.ask(ListAgents())[0].gpus] == ["it fell off the bus"]
