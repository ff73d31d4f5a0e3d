"""What a driver tells, through the real `nvidia-ml-py` and a library that is built for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apothic_emulator.agent.nvml import HIDDEN, Device, Inventory, Process, is_in_namespace
from apothic_emulator.core.hellos import Gpu
from tests.integration.gpus.driver import GIB, Driver

LOOK = "from apothic_emulator.agent.gpus import look; print(look())"
FIND = "from apothic_emulator.agent.gpus import find; print(find())"
AGAIN = f"{LOOK}; input(); print(look())"

NOBODY = HIDDEN if is_in_namespace() else ""
LOST = "it fell off the bus; a reset of it or a restart of the machine may bring it back"


def read(printed: str) -> Any:
    """What was printed, as it was."""
    names = {it.__name__: it for it in (Inventory, Device, Process, Gpu)}
    return eval(printed, names)


def look(driver: Driver, **env: str) -> Inventory:
    found: Inventory = read(driver.run(LOOK, **env))
    return found


def found(driver: Driver, **env: str) -> list[str]:
    """The UUIDs of what may be used."""
    gpus, _ = read(driver.run(FIND, **env))
    return [gpu.uuid for gpu in gpus]


def reason(driver: Driver, **env: str) -> str:
    """Why there is nothing."""
    gpus, why = read(driver.run(FIND, **env))
    assert gpus == ()
    return str(why)


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


def test_each_device_is_told_with_how_it_is(driver: Driver) -> None:
    driver.device(0, "GPU-1", "NVIDIA L4", 24)
    driver.device(1, "GPU-2", "NVIDIA H100 80GB HBM3", 80)
    driver.tell(_1_used=8 * GIB, _1_util=61, _1_temp=58)

    assert look(driver) == Inventory(
        (
            Device("0", Gpu("GPU-1", "NVIDIA L4", 24_576), False, 0, 0, 40, (), NOBODY),
            Device(
                "1", Gpu("GPU-2", "NVIDIA H100 80GB HBM3", 81_920), False, 8192, 61, 58, (), NOBODY
            ),
        )
    )


def test_slices_are_the_units_and_have_memory_of_their_own(driver: Driver) -> None:
    driver.device(0, "GPU-1", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(0, "MIG-a", "MIG-b")
    driver.tell(**{"_0.1.used": GIB, "_0_util": 77})

    whole, first, second = look(driver).devices

    assert whole.is_cut
    assert whole.util_percent is None
    name = "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert first.gpu == Gpu("MIG-a", name, 5120, parent="GPU-1")
    assert (second.number, second.used_mb, second.util_percent) == ("0.1", 1024, None)
    assert second.temperature_c == 40  # of the whole
    assert found(driver) == ["MIG-a", "MIG-b"]


def test_a_device_that_is_cut_and_has_no_slices_gives_nothing(driver: Driver) -> None:
    driver.device(0, "GPU-1", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(0)

    assert reason(driver) == "NVIDIA A100-SXM4-40GB 0: is cut into no slices"


@pytest.mark.parametrize("told", [{"_0_memory_error": 3}, {"_0_total": 0}])
def test_memory_that_is_the_machines_is_told_as_that(driver: Driver, told: dict[str, int]) -> None:
    driver.device(0, "GPU-1", "NVIDIA GB10", 1)
    driver.tell(**told)

    (device,) = look(driver).devices

    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert device.gpu.is_unified
    assert device.gpu.memory_mb == total_kib >> 10
    assert device.used_mb is not None
    assert 0 < device.used_mb < device.gpu.memory_mb


def test_what_the_driver_does_not_tell_is_none(driver: Driver) -> None:
    driver.device(0, "GPU-1")
    driver.tell(_0_util_error=3, _0_temp_error=3, _0_pids_error=4)

    (device,) = look(driver).devices

    assert (device.util_percent, device.temperature_c) == (None, None)
    assert device.hidden == "this driver does not tell"


# --- processes -----------------------------------------------------------------------------------


def test_processes_are_told_with_their_names_and_memory(driver: Driver) -> None:
    driver.device(0, "GPU-1")
    pid = os.getpid()
    driver.tell(_0_pids=f"{pid}:{GIB}", _0_graphics="")

    (device,) = look(driver).devices

    name = Path(f"/proc/{pid}/comm").read_text().strip()
    assert device.processes == (Process(pid, name, 1024),)
    assert device.hidden == ""


def test_processes_of_another_pid_namespace_are_hidden_and_not_none(driver: Driver) -> None:
    driver.device(0, "GPU-1")
    driver.tell(_0_pids=f"{os.getpid()}:{GIB}")
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces can be made here")

    done = subprocess.run(
        [*apart, sys.executable, "-c", LOOK],
        env=driver.environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    (device,) = read(done.stdout).devices
    assert (device.processes, device.hidden) == ((), "hidden by pid namespace")


# --- what goes wrong -----------------------------------------------------------------------------


def test_without_a_driver_that_is_the_reason(driver: Driver, tmp_path: Path) -> None:
    why = reason(driver, LD_LIBRARY_PATH=str(tmp_path))

    assert why == "there is no NVIDIA driver (libnvidia-ml.so.1 was not found)"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"init": 9}, "the NVIDIA driver is not loaded"),
        ({"init": 4}, "this user has no permission to ask the NVIDIA driver"),
        (
            {"init": 18},
            "the NVIDIA library is not of the version of the driver that runs: restart the machine",
        ),
        ({"count_error": 999}, "the NVIDIA driver says: Unknown Error"),
        ({}, "the NVIDIA driver knows of no device"),
    ],
)
def test_a_driver_that_cannot_be_asked_says_why(
    driver: Driver, told: dict[str, int], why: str
) -> None:
    driver.tell(**told)

    assert reason(driver) == why


def test_a_device_that_is_lost_hides_no_other(driver: Driver) -> None:
    for place in range(3):
        driver.device(place, f"GPU-{place}")
    driver.tell(_1_error=15)

    devices = look(driver).devices

    assert [it.gpu.trouble for it in devices] == ["", LOST, ""]
    assert found(driver) == ["GPU-0", "GPU-2"]


def test_the_numbers_of_others_stay_beside_one_that_is_lost(driver: Driver) -> None:
    for place in range(3):
        driver.device(place, f"GPU-{place}")
    driver.tell(_1_error=15)

    assert found(driver, CUDA_VISIBLE_DEVICES="2") == ["GPU-2"]


def test_a_device_that_this_user_may_not_ask_hides_no_other(driver: Driver) -> None:
    driver.device(0, "GPU-0")
    driver.device(1, "GPU-1")
    driver.tell(_0_handle_error=4)

    assert look(driver).devices[0].gpu.trouble == (
        "this user has no permission to ask the NVIDIA driver"
    )
    assert found(driver) == ["GPU-1"]


def test_a_slice_that_does_not_answer_hides_no_other(driver: Driver) -> None:
    driver.device(0, "GPU-1", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(0, "MIG-a", "MIG-b")
    driver.tell(**{"_0.0.memory.error": 15})

    first = look(driver).devices[1].gpu

    assert (first.uuid, first.trouble) == ("MIG-a", LOST)


def test_a_device_may_fall_off_the_bus_between_two_looks(driver: Driver) -> None:
    driver.device(0, "GPU-0")
    program = subprocess.Popen(
        [sys.executable, "-u", "-c", AGAIN],
        env=driver.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    first = read(program.stdout.readline())

    driver.tell(_0_error=15)
    second, _ = program.communicate("\n", timeout=60)

    assert first.devices[0].gpu.trouble == ""
    assert read(second).devices[0].gpu.trouble == LOST


def test_a_driver_that_knows_no_mig_and_older_questions_only_is_asked_those(
    tmp_path: Path,
) -> None:
    driver = Driver(tmp_path, "-DOLD")
    driver.device(0, "GPU-0")
    driver.tell(_0_pids=f"{os.getpid()}:{GIB}")

    (device,) = look(driver).devices

    assert not device.is_cut
    assert [it.pid for it in device.processes] == [os.getpid()]


def test_a_driver_that_cannot_be_asked_at_all_is_too_old(tmp_path: Path) -> None:
    driver = Driver(tmp_path, "-DnvmlInitWithFlags=nvmlInit_v2")

    assert reason(driver) == "this NVIDIA driver is too old to be asked"


# --- CUDA_VISIBLE_DEVICES ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ("1,0", ["GPU-bb", "GPU-aa"]),
        ("GPU-b", ["GPU-bb"]),
        ("MIG-2,MIG-1", ["MIG-2", "MIG-1"]),
        ("MIG-GPU-cc/2/0", ["MIG-2"]),
        ("2", ["MIG-1", "MIG-2"]),
        ("0,0", []),
        ("", []),
    ],
)
def test_only_what_is_visible_is_found(driver: Driver, wanted: str, seen: list[str]) -> None:
    driver.device(0, "GPU-aa")
    driver.device(1, "GPU-bb")
    driver.device(2, "GPU-cc", "NVIDIA A100-SXM4-40GB", 40)
    driver.cut(2, "MIG-1", "MIG-2")
    driver.tell(**{"_2.0.gi": 1, "_2.1.gi": 2})

    assert found(driver, CUDA_VISIBLE_DEVICES=wanted) == seen
