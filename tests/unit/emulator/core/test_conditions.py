"""Conditions of functions on machines; and what becomes of one whose GPUs no machine has."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption, UsageError
from apothic_backends.model.functions import Condition, FunctionSpec
from apothic_backends.model.images import ImageSpec, ImageStep
from apothic_backends.model.payloads import Payload
from apothic_backends.placement import own
from apothic_backends.placement.compiling import wish_of
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.functions import Function, check_spec
from apothic_emulator.core.hellos import Capacity, Gpu, GpusFound
from apothic_emulator.core.placement import lacks, made_up, pick
from tests.unit.emulator.core.agents import Far
from tests.unit.emulator.core.driving import Driver, only

ARM = Condition("cpu_arch", "eq", "arm64", "filters")
H1 = Gpu("GPU-h1", "NVIDIA H100 80GB HBM3", 81_559)
T1 = Gpu("GPU-t1", "Tesla T4", 15_360)


def machine(arch: str, *gpus: Gpu, **more: Any) -> Capacity:
    """One that tells its architecture."""
    return Capacity(8, 16_384, gpus, {"cpu_arch": arch, **more})


def places(driver: Driver) -> list[tuple[int, tuple[str, ...]]]:
    """Where executors are started, and with what."""
    return [(effect.agent, effect.gpus) for effect in only(driver.effects, StartExecutor)]


# --- conditions ----------------------------------------------------------------------------------


def test_only_a_machine_that_meets_the_conditions_gets_a_function() -> None:
    driver = Far(placement=(ARM,))
    driver.join("a", machine("amd64"))
    driver.join("b", machine("arm64"))

    driver.submit()

    assert places(driver) == [(2, ())]


def test_what_a_machine_does_not_tell_is_waived() -> None:
    driver = Far(placement=(ARM, Condition("geolocation", "eq", "US", "filters")))
    driver.join("a", Capacity(8, 16_384))

    driver.submit()

    assert places(driver) == [(1, ())]


def test_it_is_said_which_conditions_keep_a_job_waiting() -> None:
    driver = Far(placement=(ARM,), disk_gb=100)
    driver.join("a", machine("amd64", disk_space=50))

    job = driver.submit()

    assert driver.look(job).waiting == (
        "waits for an agent that has 1 core, 1024 MB; there are: a with 8 cores, 16384 MB, no GPU; "
        "not a: disk_space is 50 GB, and disk_gb=100 wants at least 100 GB, cpu_arch is amd64, and "
        "filters wants arm64"
    )


def test_of_this_machine_only_the_devices_have_to_meet_them() -> None:
    driver = Driver(placement=(ARM,), disk_gb=1e6)

    driver.submit()

    assert places(driver) == [(0, ())]


def test_a_device_has_to_meet_the_filters() -> None:
    driver = Driver(gpu_count=1, placement=(Condition("gpu_ram", "lte", 24_576, "filters"),))
    job = driver.submit()

    driver.ask(GpusFound((H1,)))

    error = driver.look(job).error
    assert error is not None
    assert (
        "not NVIDIA H100 80GB HBM3: gpu_ram is 81559 MB, and filters wants at most 24576 MB"
    ) in error.message
    assert "APOTHIC_ON_MISSING_GPU=cpu" in error.message


@pytest.mark.parametrize(
    ("filters", "picked"),
    [
        ({"gpu_ram": {"gte": 20_000}}, (H1,)),
        ({"gpu_ram": {"lt": 20_000}}, (T1,)),
        ({"gpu_name": {"neq": "T4"}}, (H1,)),
        ({"gpu_total_ram": {"gte": 90_000}}, None),
        ({"pci_gen": {"gte": 9}}, (T1,)),  # the driver does not tell it
    ],
)
def test_devices_are_picked_by_filters(
    filters: dict[str, Any], picked: tuple[Gpu, ...] | None
) -> None:
    wish = wish_of({"gpu_count": 1, "offer_filters": filters})
    spec = FunctionSpec("app", "f", gpu_count=1, placement=wish.placement)

    found = pick(spec, (H1, T1))

    assert (found and found.gpus) == picked


def test_what_an_agent_gives_is_what_it_has_of_cores_and_memory() -> None:
    wish = wish_of({"min_cpu_cores": 16, "offer_filters": {"cpu_ram": {"gte": 99_999}}})
    spec = FunctionSpec("app", "f", placement=wish.placement)

    assert lacks(spec, Capacity(16, 100_000)) == []
    assert lacks(spec, Capacity(8, 16_384)) == [
        "cpu_cores_effective is 8, and min_cpu_cores=16 wants at least 16",
        "cpu_ram is 16384 MB, and offer_filters['cpu_ram']['gte'] wants at least 99999 MB",
    ]


@pytest.mark.parametrize(
    ("image", "docker", "lacking"),
    [
        (None, False, []),
        (ImageSpec(base="debian:12"), True, []),
        (ImageSpec(base="python:3.12-slim", python="3.12"), False, []),
        (
            ImageSpec("python:3.12-slim", "3.12", steps=(ImageStep("apt_install", ("git",)),)),
            False,
            ["it has no Docker, which the image needs (apt_install changes the system)"],
        ),
    ],
    ids=["no image", "docker", "no docker needed", "docker needed"],
)
def test_an_image_that_needs_docker_is_nowhere_without_it(
    image: ImageSpec | None, docker: bool, lacking: list[str]
) -> None:
    spec = FunctionSpec("app", "f", image=image)

    assert lacks(spec, Capacity(1, 1024, docker=docker)) == lacking


def test_it_is_known_what_is_waived_here() -> None:
    filters = {"gpu_ram": {"gte": 1}, "pci_gen": {"gte": 3}}
    options = {"min_cpu_cores": 2, "geolocation": "US", "offer_filters": filters}
    spec = FunctionSpec("app", "f", placement=wish_of(options).placement, disk_gb=5)

    assert [it.said for it in own.waived(spec)] == [
        "disk_gb=5",
        "min_cpu_cores=2",
        "geolocation='US'",
        "offer_filters['pci_gen']['gte']",
    ]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"cpu_ark": "amd64"}, "did you mean 'cpu_arch'"),
        ({"cpu_arch": 64}, "cpu_arch is a text, not 64"),
        ({"disk_space": "much"}, "disk_space is a number"),
        ({"dph": 1.0}, "what a machine tells cannot be: dph=1.0"),
        ({"geolocation": "us"}, "what a machine tells cannot be: geolocation='us'"),
    ],
)
def test_a_machine_that_tells_what_cannot_be_is_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Far().join(capacity=Capacity(1, 1024, (), told))


def test_conditions_of_a_function_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(InvalidOption, match="disk_gb=-1"):
        check_spec(FunctionSpec("app", "f", disk_gb=-1))
    with pytest.raises(InvalidOption, match="nothing is known of machines as 'x'"):
        check_spec(FunctionSpec("app", "f", placement=(Condition("x", "eq", 1, "it"),)))


# --- missing GPUs --------------------------------------------------------------------------------


def needy(missing: str, *gpus: Gpu, **how: Any) -> Driver:
    """A control plane on a machine with these devices; what is asked for is looked at."""
    wanted: dict[str, Any] = {"gpu": ("H100",), "gpu_count": 1, **how}
    driver = Driver(**wanted)
    driver.submit()
    driver.ask(GpusFound(gpus, missing=missing))
    return driver


def test_without_the_gpus_it_wants_a_function_may_run_on_cores() -> None:
    assert places(needy("cpu", T1)) == [(0, ())]


def test_a_function_whose_gpus_are_there_gets_them_all_the_same() -> None:
    assert places(needy("cpu", H1)) == [(0, ("GPU-h1",))]
    assert places(needy("fake", H1)) == [(0, ("GPU-h1",))]


def test_what_waits_for_a_gpu_that_is_taken_does_not_run_without() -> None:
    driver = needy("cpu", H1, max_containers=2)

    second = driver.submit()

    assert places(driver) == []
    assert driver.look(second).waiting == "waits for a GPU: 1 of 1 H100 on this machine are taken"


def test_a_later_function_finds_its_place_at_once() -> None:
    for missing, gpus in (("cpu", ()), ("fake", ("GPU-made-up-B200-1",))):
        driver = needy(missing)

        driver.submit(driver.register("g", gpu=("B200",), gpu_count=1))

        assert places(driver) == [(0, gpus)]


def test_a_service_without_the_gpus_it_wants_runs_on_cores() -> None:
    driver = needy("cpu")
    agents, spec = driver.plane.scheduler.agents, FunctionSpec("app", "s", gpu_count=1)

    assert agents.place_service(Function(9, spec, Payload(b""), {}), ()) == (0, ())


def test_devices_can_be_made_up() -> None:
    driver = needy("fake", T1, gpu_count=2, min_vram_gb=80)

    assert places(driver) == [(0, ("GPU-made-up-H100-1", "GPU-made-up-H100-2"))]
    home = driver.plane.scheduler.agents.home
    assert [gpu.memory_mb for gpu in home.capacity.gpus[1:]] == [80 * 1024, 80 * 1024]


def test_devices_are_made_up_for_filters_too() -> None:
    filters = (Condition("gpu_ram", "gte", 100_000, "filters"),)

    assert places(needy("fake", gpu=(), placement=filters)) == [(0, ("GPU-made-up-GPU-0",))]


def test_made_up_devices_stay_when_the_driver_is_asked_again() -> None:
    driver = needy("fake")

    driver.ask(GpusFound((T1,)))

    home = driver.plane.scheduler.agents.home
    assert [gpu.uuid for gpu in home.capacity.gpus] == ["GPU-t1", "GPU-made-up-H100-0"]
    driver.submit(driver.register("g", gpu=("B200",), gpu_count=1))
    assert places(driver) == [(0, ("GPU-made-up-B200-2",))]


def test_what_no_device_could_be_is_not_made_up() -> None:
    impossible = (Condition("gpu_ram", "gte", 10**9, "filters"),)
    driver = needy("fake", placement=impossible)

    error = driver.look(1).error
    assert error is not None
    assert error.code == "no_machine"
    assert made_up(FunctionSpec("app", "f", gpu_count=1, placement=impossible)) == ()
