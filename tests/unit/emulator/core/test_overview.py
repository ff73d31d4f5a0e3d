from __future__ import annotations

from apothic_backends.commands.agents import GetOverview
from apothic_backends.commands.queues import OpenQueue, PutItems
from apothic_backends.model.agents import Depth, GpuSnapshot, Waiting, WorkerSnapshot
from apothic_backends.model.queues import alone
from apothic_emulator.core.hellos import Capacity, Gpu, GpusFound
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import Driver

H1 = Gpu("GPU-h1", "NVIDIA H100", 81_559)


def test_what_runs_and_what_waits_is_told_with_where_and_why() -> None:
    driver = Far(gpu_count=1, max_containers=4)
    driver.join(capacity=Capacity(8, 16_384, (H1,)))
    driver.submit_many(2)

    seen = driver.ask(GetOverview())

    assert seen.workers == (
        WorkerSnapshot(1, "app", "f", "a", "starting", ("GPU-h1",), ("jobs:1",)),
    )
    assert seen.functions == (
        Waiting("app", "f", 1, 1, "waits for a GPU: 1 of 1 GPUs on a are taken"),
    )
    assert [agent.gpus for agent in seen.agents] == [
        (GpuSnapshot("GPU-h1", "NVIDIA H100", 81_559, "app/f"),)
    ]
    assert seen.gpus == ()


def test_devices_of_the_control_plane_s_own_machine_are_told() -> None:
    driver = Driver(gpu_count=1)
    driver.submit()
    driver.ask(GpusFound((H1,)))

    seen = driver.ask(GetOverview())

    assert seen.gpus == (GpuSnapshot("GPU-h1", "NVIDIA H100", 81_559, "app/f"),)
    assert seen.workers[0].machine == ""


def test_versions_of_a_function_are_told_as_one() -> None:
    driver = Driver()
    driver.submit()
    driver.submit(driver.register("f", timeout_s=5.0))

    assert driver.ask(GetOverview()).functions == (Waiting("app", "f", 2, 0),)


def test_where_nothing_happens_nothing_is_told() -> None:
    seen = Driver().ask(GetOverview())

    assert (seen.workers, seen.functions, seen.queues, seen.agents) == ((), (), (), ())


def test_of_many_the_busiest_are_told_and_how_many_there_are() -> None:
    driver = Driver(max_containers=2)
    driver.submit(driver.register("idle"))
    driver.submit_many(5)
    for name, items in (("one", 1), ("three", 3), ("none", 0)):
        driver.ask(OpenQueue(name))
        for _ in range(items):
            driver.ask(PutItems(name, alone(b"x"), 1))

    seen = driver.ask(GetOverview(most=1))

    assert [it.function_name for it in seen.functions] == ["f"]
    assert seen.queues == (Depth("three", 3, 0),)
    assert (len(seen.workers), seen.worker_count) == (1, 3)
    assert (seen.function_count, seen.queue_count) == (2, 2)
