"""GPUs: each is one executor's until that has ended, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.agents import ListAgents
from apothic_backends.model.agents import GpuSnapshot
from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_emulator.core.effects import FindGpus, Kill, Retire, StartExecutor
from apothic_emulator.core.hellos import BEGUN, Capacity, Gpu, GpusFound
from tests.unit.emulator.core.agents import GRACE_S, LEASE_S, Far
from tests.unit.emulator.core.driving import RAISED, Driver, jobs_sent, kinds, only

H1, H2 = (
    Gpu("GPU-h1", "NVIDIA H100 80GB HBM3", 81_559),
    Gpu("GPU-h2", "NVIDIA H100 80GB HBM3", 81_559),
)
T1 = Gpu("GPU-t1", "Tesla T4", 15_360)
TWO = Capacity(8, 16_384, (H1, H2))


def devices(driver: Driver) -> dict[int, tuple[str, ...]]:
    """What each executor holds."""
    return {number: e.gpus for number, e in driver.plane.ledger.executors.items()}


def needy(**how: Any) -> Far:
    """A control plane with a function that wants a GPU."""
    return Far(**{"gpu_count": 1, "max_containers": 4, **how})


def test_an_executor_gets_a_device_of_its_own() -> None:
    driver = needy()
    driver.join(capacity=TWO)

    driver.submit_many(2)

    assert devices(driver) == {1: ("GPU-h1",), 2: ("GPU-h2",)}


def test_the_effect_that_starts_it_names_its_devices() -> None:
    driver = needy(gpu_count=2)
    driver.join(capacity=TWO)

    driver.submit()

    assert [effect.gpus for effect in only(driver.effects, StartExecutor)] == [("GPU-h1", "GPU-h2")]


def test_what_wants_none_gets_none() -> None:
    driver = Far()
    driver.join(capacity=TWO)

    driver.submit()

    assert devices(driver) == {1: ()}


def test_a_third_waits_until_one_of_two_has_ended() -> None:
    driver = needy()
    driver.join(capacity=TWO)
    driver.submit_many(3)
    driver.loads()
    driver.accepts(1, 2)
    assert driver.status(3) == "queued"

    driver.died(1)

    assert devices(driver) == {2: ("GPU-h2",), 3: ("GPU-h1",)}


def test_a_device_is_held_while_its_executor_is_being_killed() -> None:
    driver = needy(max_containers=1, timeout_s=5.0)
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    driver.begun()
    other = driver.register("g", gpu_count=1)
    driver.submit(other)

    assert only(driver.pass_s(20.0), Kill)
    assert devices(driver) == {1: ("GPU-h1",)}
    driver.died(1)
    assert devices(driver) == {2: ("GPU-h1",)}


def test_a_function_that_has_calls_parked_keeps_its_devices() -> None:
    driver = needy()
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    caller = driver.begun()
    child = driver.submit(driver.register("g", gpu_count=1), driver.inside(caller))
    driver.wait(child, driver.inside(caller))

    assert driver.status(child) == "queued"
    assert "1 of 1 GPUs on a are taken" in driver.look(child).waiting


def test_one_of_another_function_that_is_idle_gives_way() -> None:
    driver = needy()
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    driver.report(driver.begun())

    driver.submit(driver.register("g", gpu_count=1))

    assert [effect.executor for effect in only(driver.effects, Retire)] == [1]


def test_what_is_idle_beside_one_that_ends_gives_way_before_that_has_ended() -> None:
    driver = needy()
    driver.join(capacity=TWO)
    idle, last = driver.begun(), driver.begun()
    driver.submit(driver.register("g", gpu_count=2))
    assert only(driver.report(idle), Retire) == []

    driver.report(last, retire=True)

    assert {effect.executor for effect in only(driver.effects, Retire)} == {1, 2}


def test_what_is_idle_beside_one_that_is_killed_gives_way_before_that_has_ended() -> None:
    driver = needy()
    driver.join(capacity=TWO)
    idle, last = driver.begun(), driver.begun()
    driver.submit(driver.register("g", gpu_count=2))
    driver.report(idle)
    driver.cancel(last)
    driver.pass_s(0.3)

    driver.report(last, error=RAISED)

    assert only(driver.effects, Kill)
    assert [effect.executor for effect in only(driver.effects, Retire)] == [1]


def test_only_those_give_way_whose_devices_will_do() -> None:
    driver = needy(gpu=("T4",))
    driver.join(capacity=Capacity(8, 16_384, (H1, T1)))
    driver.report(driver.begun())
    driver.now += 1
    large = driver.register("large", gpu=("H100",), gpu_count=1)
    job = driver.submit(large)
    driver.loads()
    driver.accepts(job)
    driver.report(job)

    driver.submit(driver.register("g", gpu=("H100",), gpu_count=1))

    assert [effect.executor for effect in only(driver.effects, Retire)] == [2]


def test_several_give_way_for_one_that_needs_what_all_of_them_have() -> None:
    driver = needy()
    driver.join(capacity=TWO)
    first, second = driver.submit_many(2)
    driver.loads()
    driver.accepts(first, second)
    driver.submit(driver.register("g", gpu_count=2))
    driver.report(first)
    assert only(driver.effects, Retire) == []

    driver.report(second)

    assert {effect.executor for effect in only(driver.effects, Retire)} == {1, 2}


def test_the_machine_with_the_fewest_devices_left_over_comes_first() -> None:
    driver = needy()
    driver.join("many", TWO)
    driver.join("few", Capacity(1, 2048, (Gpu("GPU-x", H1.name, H1.memory_mb),)))

    driver.submit()

    assert devices(driver) == {1: ("GPU-x",)}


def test_the_model_that_is_liked_best_comes_before_all_else() -> None:
    driver = needy(gpu=("H100", "T4"))
    driver.join("many", TWO)
    driver.join("few", Capacity(1, 2048, (T1,)))

    driver.submit_many(3)

    assert devices(driver) == {1: ("GPU-h1",), 2: ("GPU-h2",), 3: ("GPU-t1",)}


def test_machines_with_devices_are_kept_for_what_needs_them() -> None:
    driver = Far()
    driver.join("with", TWO)
    driver.join("without", Capacity(1, 2048))

    driver.submit()

    assert driver.agents_of(driver.effects) == [2]


def test_a_device_on_two_agents_is_one() -> None:
    driver = needy()
    driver.join("a", Capacity(8, 16_384, (H1,)))
    driver.join("b", Capacity(8, 16_384, (H1,)))

    driver.submit_many(2)

    assert devices(driver) == {1: ("GPU-h1",)}


# --- whatever happens ----------------------------------------------------------------------------


def test_a_device_is_held_while_its_agent_is_away() -> None:
    driver = needy(retries=0)
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    driver.begun()
    driver.cut()
    driver.pass_s(LEASE_S + 1)

    driver.join("b", Capacity(8, 16_384, (H1,)))
    driver.submit()
    assert devices(driver) == {1: ("GPU-h1",)}

    for _ in range(4):
        driver.pass_s(GRACE_S / 4)
        driver.beat("b")
    assert devices(driver) == {2: ("GPU-h1",)}


def test_a_device_is_held_over_a_restart_of_the_control_plane() -> None:
    driver = needy()
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    first = driver.begun()
    held = driver.held(first, BEGUN)

    driver.restart()
    assert devices(driver) == {1: ("GPU-h1",)}
    driver.join("a", Capacity(8, 16_384, (H1,)), held)
    driver.beat()
    second = driver.submit()

    assert devices(driver) == {1: ("GPU-h1",)}
    driver.report(first)
    assert jobs_sent(driver.effects) == [second]


def test_a_device_is_free_when_its_agent_is_another_process() -> None:
    driver = needy()
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    driver.begun()

    driver.join("a", Capacity(8, 16_384, (H1,)), incarnation="2", channel="")
    driver.submit()

    assert devices(driver) == {2: ("GPU-h1",)}


# --- what is told --------------------------------------------------------------------------------


def waits(driver: Far, **wants: Any) -> str:
    """For what a job of another function waits."""
    return driver.look(driver.submit(driver.register("waiting", **wants))).waiting


def test_a_job_says_that_the_devices_are_taken() -> None:
    driver = needy(gpu=("H100",))
    driver.join("a1", Capacity(8, 16_384, (H1,)))
    driver.join("a2", Capacity(8, 16_384, (H2,)))
    driver.submit_many(3)

    assert driver.look(3).waiting == "waits for a GPU: 2 of 2 H100 on a1, a2 are taken"
    assert driver.look(1).waiting == ""


def test_a_job_says_that_cores_are_taken() -> None:
    driver = needy(cpu=7)
    driver.join(capacity=TWO)
    driver.submit()

    assert waits(driver, cpu=2) == ("waits for 2 cores, 1024 MB; free: 1 cores and 15360 MB on a")
    assert waits(driver, cpu=3, gpu_count=1) == ("waits for a GPU: 1 of 2 GPUs on a are taken")


def test_a_job_says_that_cores_are_missing_where_devices_are_free() -> None:
    driver = Far(cpu=8)
    driver.join(capacity=TWO)
    driver.submit()

    assert waits(driver, gpu_count=1).startswith("waits for 1 core, 1024 MB and 1 x GPU; free: 0")


def test_a_job_says_that_no_machine_has_what_it_needs() -> None:
    driver = Far()
    assert waits(driver, gpu_count=1) == (
        "waits for an agent that has 1 core, 1024 MB and 1 x GPU; there are: none"
    )
    driver.join(capacity=TWO)

    assert waits(driver, gpu=("B200",), gpu_count=1) == (
        "waits for an agent that has 1 core, 1024 MB and 1 x B200; there are: a with 8 cores, "
        "16384 MB, 2 x NVIDIA H100 80GB HBM3 86 GB"
    )


def test_a_job_that_waits_for_nothing_says_nothing() -> None:
    driver = needy(max_containers=1)
    driver.join(capacity=TWO)
    driver.submit_many(2)
    driver.submit(driver.register("large", cpu=64))

    assert driver.look(2).waiting == ""


def test_agents_are_listed_with_what_is_taken() -> None:
    driver = needy(gpu=("T4",), cpu=2)
    driver.join(capacity=Capacity(8, 16_384, (H1, T1)))
    driver.join("b")
    driver.submit()
    driver.cut("b")

    first, second = driver.ask(ListAgents())

    assert (first.name, first.status, first.executors) == ("a", "joined", 1)
    assert (first.cpu, first.cpu_taken, first.memory_taken_mb) == (8, 2, 1024)
    assert first.gpus == (
        GpuSnapshot("GPU-h1", H1.name, H1.memory_mb),
        GpuSnapshot("GPU-t1", T1.name, T1.memory_mb, "app/f"),
    )
    assert second.status == "cut"
    driver.pass_s(LEASE_S + 1)
    assert [it.status for it in driver.ask(ListAgents())] == ["lost", "lost"]


@pytest.mark.parametrize(
    "capacity",
    [
        Capacity(0, 1024),
        Capacity(float("nan"), 1024),
        Capacity(1, 0),
        Capacity(1, 1024, (H1, H1)),
        Capacity(1, 1024, ("GPU-h1",)),  # type: ignore[arg-type]
    ],
)
def test_an_agent_that_has_what_cannot_be_is_refused(capacity: Capacity) -> None:
    driver = Far()

    with pytest.raises(UsageError):
        driver.join(capacity=capacity)


@pytest.mark.parametrize("how", [{"gpu_count": -1}, {"min_vram_gb": -1}, {"gpu": ("H100",)}])
def test_wishes_that_cannot_be_meant_are_refused(how: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Far().register("g", **how)


# --- at home -------------------------------------------------------------------------------------


class AtHome(Driver):
    """A control plane whose executors run where it does."""

    def found(self, *gpus: Gpu, reason: str = "") -> None:
        self.ask(GpusFound(gpus, reason))


def test_this_machine_is_looked_at_once_something_wants_a_device() -> None:
    driver = AtHome(gpu_count=1, max_containers=4)
    first = driver.submit()
    assert driver.effects == [FindGpus()]
    assert "which GPUs this machine has" in driver.look(first).waiting
    second = driver.submit()
    assert driver.effects == []

    driver.found(H1)

    assert kinds(driver.effects) == ["StartExecutor", "Dispatch"]
    assert jobs_sent(driver.effects) == [first]
    assert driver.look(second).waiting == ("waits for a GPU: 1 of 1 GPUs on this machine are taken")


def test_what_wants_none_starts_nothing_else() -> None:
    driver = AtHome()

    driver.submit()

    assert kinds(driver.effects) == ["StartExecutor", "Dispatch"]


def test_a_device_of_this_machine_is_free_when_its_executor_has_ended() -> None:
    driver = AtHome(gpu_count=1, max_containers=4)
    driver.submit_many(2)
    driver.found(H1)

    driver.died(1)

    assert devices(driver) == {2: ("GPU-h1",)}


def test_at_home_too_those_that_are_idle_give_way() -> None:
    driver = AtHome(gpu_count=1)
    job = driver.submit()
    driver.found(H1)
    driver.loaded()
    driver.submit(driver.register("g", gpu_count=1))
    assert only(driver.effects, Retire) == []

    driver.report(job)

    assert only(driver.effects, Retire) == [Retire(1)]


def test_those_without_a_device_need_not_give_way_here() -> None:
    driver = AtHome(gpu_count=1, max_containers=4)
    driver.submit_many(2)
    driver.found(H1)
    job = driver.submit(driver.register("g"))
    driver.loaded(2)

    driver.report(job)

    assert driver.effects == []
    assert "1 of 1 GPUs" in driver.look(2).waiting


def test_what_this_machine_could_never_run_fails_at_once() -> None:
    driver = AtHome(gpu=("H100",), gpu_count=1)
    first = driver.submit()
    driver.found(reason="no NVIDIA driver: not found")
    second = driver.submit()

    for job in (first, second):
        error = driver.look(job).error
        assert error is not None
        assert error.code == "no_machine"
        assert error.message == (
            "'f' needs 1 core, 1024 MB and 1 x H100, and no machine here has that: this machine "
            "with no GPU (no NVIDIA driver: not found). Ask for less, or run it where there is "
            "such a machine. APOTHIC_ON_MISSING_GPU=cpu (--on-missing-gpu cpu) runs it without "
            "GPUs, slowly; =fake makes devices up, to try where it would run"
        )


class Both(Far):
    """Executors run here, and on agents."""

    has_home = True


def test_what_an_agent_has_runs_there_though_it_is_not_here() -> None:
    driver = Both(gpu_count=1)
    driver.join(capacity=TWO)

    job = driver.submit()

    assert driver.agents_of(driver.effects) == [1]
    assert driver.status(job) == "dispatched"


def test_at_equal_cost_it_runs_here() -> None:
    driver = Both(gpu_count=1)
    driver.ask(GpusFound((T1,)))
    driver.join(capacity=Capacity(8, 16_384, (Gpu("GPU-t2", T1.name, T1.memory_mb),)))

    driver.submit()

    assert driver.agents_of(driver.effects) == [0]


def test_a_job_waits_for_an_agent_that_may_come_back() -> None:
    driver = Both(gpu_count=1)
    driver.ask(GpusFound(()))
    driver.join(capacity=TWO)
    driver.cut()
    job = driver.submit()
    assert driver.status(job) == "queued"

    driver.pass_s(LEASE_S + GRACE_S + 1)

    assert driver.status(job) == "failed"
