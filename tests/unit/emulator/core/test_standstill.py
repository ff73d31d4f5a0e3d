"""Nobody waits for GPUs that are held for as long as somebody waits."""

from __future__ import annotations

from typing import Any

from apothic_backends.commands.queues import OpenQueue, TakeItems
from apothic_backends.model.errors import SlotDeadlock
from apothic_emulator.core.hellos import Capacity, Gpu
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import jobs_sent

H1, H2 = Gpu("GPU-h1", "NVIDIA H100", 81_559), Gpu("GPU-h2", "NVIDIA H100", 81_559)
T1 = Gpu("GPU-t1", "Tesla T4", 15_360)


def with_gpus(*gpus: Gpu, **how: Any) -> Far:
    """A machine with these, and a function that needs one."""
    driver = Far(**{"gpu_count": 1, "max_containers": 4, **how})
    driver.join(capacity=Capacity(16, 65_536, gpus))
    return driver


def call(driver: Far, caller: int, function: str = "") -> tuple[int, Any]:
    """Code calls a function, and waits; the job, and what the wait was answered with."""
    origin = driver.inside(caller)
    job = driver.submit(function, origin)
    return job, driver.answers.get(driver.wait(job, origin))


def test_a_call_that_holds_the_only_one_cannot_wait_for_another() -> None:
    driver = with_gpus(H1)
    caller = driver.begun()

    job, answer = call(driver, caller)

    assert isinstance(answer, SlotDeadlock)
    assert f"jobs:{job} (f) needs 1 x GPU" in str(answer)
    assert "spawn()" in str(answer)


def test_what_was_refused_runs_once_the_device_is_free() -> None:
    driver = with_gpus(H1)
    caller = driver.begun()
    job, _ = call(driver, caller)

    driver.report(caller)
    driver.loads()

    assert jobs_sent(driver.effects) == [job] or driver.job(job).executor


def test_where_there_is_another_it_waits() -> None:
    driver = with_gpus(H1, H2)
    caller = driver.begun()

    job, answer = call(driver, caller)

    assert answer is None
    assert driver.plane.ledger.executors[driver.job(job).executor].gpus == ("GPU-h2",)


def test_where_another_is_held_by_who_will_end_it_waits() -> None:
    driver = with_gpus(H1, H2)
    caller, _ = driver.begun(), driver.begun()

    assert call(driver, caller)[1] is None


def test_a_device_that_will_not_do_is_none() -> None:
    driver = with_gpus(H1, T1, min_vram_gb=40)
    caller = driver.begun()

    assert isinstance(call(driver, caller)[1], SlotDeadlock)


def test_two_that_hold_one_each_cannot_both_wait() -> None:
    driver = with_gpus(H1, H2)
    one, two = driver.begun(), driver.begun()
    assert call(driver, one)[1] is None

    assert isinstance(call(driver, two)[1], SlotDeadlock)


def test_the_way_there_may_be_long() -> None:
    driver = with_gpus(H1)
    plain = driver.register("plain", max_containers=4)
    caller = driver.begun()
    between, answer = call(driver, caller, plain)
    assert answer is None
    driver.loads()
    driver.accepts(between)

    assert isinstance(call(driver, between)[1], SlotDeadlock)


def test_the_ring_may_be_closed_at_its_other_end() -> None:
    driver = with_gpus(H1)
    plain = driver.register("plain", max_containers=4)
    caller = driver.begun()
    between = driver.begun(function=plain)
    assert call(driver, between)[1] is None

    token = driver.wait(between, driver.inside(caller))

    assert isinstance(driver.answers[token], SlotDeadlock)


def test_what_needs_no_device_is_called_from_what_holds_one() -> None:
    driver = with_gpus(H1)
    plain = driver.register("plain")
    caller = driver.begun()

    assert call(driver, caller, plain)[1] is None


def test_a_place_beside_the_caller_is_enough() -> None:
    driver = with_gpus(H1, concurrent_requests=2)
    caller = driver.begun()

    job, answer = call(driver, caller)

    assert answer is None
    assert driver.job(job).executor == driver.job(caller).executor


def test_what_no_machine_has_is_waited_for() -> None:
    driver = with_gpus(H1)
    wide = driver.register("wide", gpu_count=2)
    caller = driver.begun()

    assert call(driver, caller, wide)[1] is None


def test_another_machine_may_have_one() -> None:
    driver = with_gpus(H1)
    caller = driver.begun()
    driver.join("b", Capacity(4, 4096, (H2,)))

    assert call(driver, caller)[1] is None


def test_a_place_that_another_call_will_leave_is_enough() -> None:
    driver = with_gpus(H1, concurrent_requests=2, max_containers=1)
    first, _ = driver.begun(), driver.begun()

    assert call(driver, first)[1] is None


def test_who_waits_for_an_item_may_go_on() -> None:
    driver = with_gpus(H1, H2)
    one, two = driver.begun(), driver.begun()
    driver.ask(OpenQueue("q"))
    driver.start(TakeItems("q"), driver.inside(two))

    assert call(driver, one)[1] is None


def test_a_place_may_be_what_is_waited_for() -> None:
    driver = with_gpus(H1)
    plain = driver.register("plain", max_containers=1)
    holder, other = driver.begun(), driver.begun(function=plain)
    assert call(driver, holder, plain)[1] is None

    assert isinstance(call(driver, other)[1], SlotDeadlock)


def test_who_waits_for_itself_is_told_so() -> None:
    driver = with_gpus(H1)
    plain = driver.register("plain")
    job = driver.begun(function=plain)

    token = driver.wait(job, driver.inside(job))

    assert "would wait for itself" in str(driver.answers[token])
