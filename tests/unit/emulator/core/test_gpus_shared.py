"""Devices that several executors have by choice."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.agents import ListAgents
from apothic_backends.model.errors import InvalidOption, SlotDeadlock
from apothic_emulator.core.effects import Retire
from apothic_emulator.core.facts import Ended
from apothic_emulator.core.hellos import Capacity, Gpu
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.test_gpus import devices

ONE = Gpu("GPU-1", "NVIDIA L4", 23_034)
TWO = Gpu("GPU-2", "NVIDIA L4", 23_034)


def sharing(*gpus: Gpu, **how: Any) -> Far:
    """A machine with these, and a function that shares one of them."""
    driver = Far(**{"gpu_count": 1, "gpu_share": True, "max_containers": 8, **how})
    driver.join(capacity=Capacity(16, 65_536, gpus))
    return driver


def test_several_executors_have_one_device() -> None:
    driver = sharing(ONE)

    driver.submit_many(3)

    assert devices(driver) == {1: ("GPU-1",), 2: ("GPU-1",), 3: ("GPU-1",)}


def test_a_device_is_taken_until_the_last_that_shares_it_has_ended() -> None:
    driver = sharing(ONE)
    driver.submit_many(2)

    driver.step(Ended(1, "exit"))

    assert devices(driver)[2] == ("GPU-1",)
    assert [gpu.taken_by for gpu in driver.ask(ListAgents())[0].gpus] == ["app/f"]


def test_functions_that_share_share_with_each_other() -> None:
    driver = sharing(ONE)
    driver.submit()

    driver.submit(driver.register("g", gpu_count=1, gpu_share=True))

    assert devices(driver) == {1: ("GPU-1",), 2: ("GPU-1",)}
    assert [gpu.taken_by for gpu in driver.ask(ListAgents())[0].gpus] == ["app/f, app/g"]


def test_one_that_does_not_share_gets_none_that_others_have() -> None:
    driver = sharing(ONE)
    driver.submit()

    waiting = driver.submit(driver.register("g", gpu_count=1))

    assert devices(driver) == {1: ("GPU-1",)}
    assert driver.look(waiting).waiting == "waits for a GPU: 1 of 1 GPUs on a are taken"


def test_one_that_shares_gets_none_that_another_has_to_itself() -> None:
    driver = sharing(ONE, TWO)
    driver.submit(driver.register("g", gpu_count=1))

    driver.submit_many(2)

    assert devices(driver) == {1: ("GPU-1",), 2: ("GPU-2",), 3: ("GPU-2",)}


def test_as_many_share_as_find_their_memory() -> None:
    driver = sharing(ONE, TWO, min_vram_gb=10)

    driver.submit_many(5)

    assert devices(driver) == {1: ("GPU-1",), 2: ("GPU-1",), 3: ("GPU-2",), 4: ("GPU-2",)}


def test_all_that_share_and_are_idle_give_way_to_one_that_does_not() -> None:
    driver = sharing(ONE)
    first, second = driver.submit_many(2)
    driver.loads()
    driver.accepts(first, second)
    driver.submit(driver.register("g", gpu_count=1))
    assert only(driver.report(first), Retire) == []

    driver.report(second)

    assert {effect.executor for effect in only(driver.effects, Retire)} == {1, 2}


def test_a_call_may_wait_for_another_that_shares_its_device() -> None:
    driver = sharing(ONE, max_containers=2)
    caller = driver.begun()
    inside = driver.inside(caller)

    job = driver.submit("", inside)

    assert driver.wait(job, inside) not in driver.answers
    assert devices(driver) == {1: ("GPU-1",), 2: ("GPU-1",)}


def test_a_call_that_shares_cannot_wait_for_one_that_does_not() -> None:
    driver = sharing(ONE)
    caller = driver.begun()
    inside = driver.inside(caller)

    job = driver.submit(driver.register("g", gpu_count=1), inside)

    assert isinstance(driver.answers[driver.wait(job, inside)], SlotDeadlock)


def test_who_asks_for_no_device_cannot_share_one() -> None:
    with pytest.raises(InvalidOption, match="no GPU that it could share"):
        Far().register("g", gpu_share=True)
