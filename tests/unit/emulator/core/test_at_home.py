"""A control plane that runs functions, and rents machines for those that do not fit there."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.functions import Condition
from apothic_backends.model.services import ServiceSpec
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.facts import Tick
from apothic_emulator.core.hellos import Capacity, GpusFound
from apothic_emulator.core.renting import SeekOffers
from tests.unit.emulator.core.driving import only
from tests.unit.emulator.core.renting import TERMS, Renter, gpus, offer

HOME = Capacity(8, 16_000, offer={"cpu_arch": "amd64", "disk_space": 50.0})
ARM = Condition("cpu_arch", "eq", "arm64", "offer_filters={'cpu_arch': {'eq': 'arm64'}}")
SMALL: dict[str, Any] = {"cpu": 8, "memory_mb": 16_000, "disk_gb": 50}


def at_home(**how: Any) -> Renter:
    return Renter(terms=TERMS.replace(home=HOME), **{**SMALL, **how})


@pytest.mark.parametrize(
    ("needs", "told"),
    [
        ({"cpu": 9}, "not this machine: cpu_cores_effective is 8, and cpu=9 wants at least 9"),
        ({"memory_mb": 16_001}, "cpu_ram_effective is 16000 MB, and memory_mb=16001 wants"),
        ({"disk_gb": 51}, "disk_space is 50 GB, and disk_gb=51 wants at least 51 GB"),
        ({"placement": (ARM,)}, "cpu_arch is amd64, and offer_filters={'cpu_arch'"),
    ],
    ids=["cores", "memory", "disk", "platform"],
)
def test_what_does_not_fit_here_is_rented_for(needs: dict[str, Any], told: str) -> None:
    driver = at_home(**needs)

    job = driver.submit()

    assert driver.wanted(SeekOffers)
    assert told in driver.look(job).waiting


def test_what_needs_no_more_than_is_here_runs_here_however_much_runs_already() -> None:
    driver = at_home(max_containers=3)
    driver.submit_many(3)

    assert driver.wanted(SeekOffers) == []
    assert len(driver.plane.ledger.executors) == 3
    assert driver.cloud.waiting == {}


def test_what_was_rented_for_runs_on_the_machine_that_comes() -> None:
    driver = at_home(cpu=9)
    driver.submit()
    (rent,) = driver.offers(offer(cpu_cores=16, cpu_cores_effective=16))
    driver.rented(rent)
    welcome = driver.comes_up(rent.tag, capacity=Capacity(16, 64_000))

    assert [it.agent for it in only(driver.effects, StartExecutor)] == [welcome.agent]


def test_a_service_that_does_not_fit_here_is_rented_for() -> None:
    driver = at_home(cpu=9)
    pool = driver.plane.pools[1]
    pool.function.spec = pool.function.spec.replace(service=ServiceSpec("asgi"))
    driver.plane.scheduler.start(pool, driver.now)

    assert only(driver.step(Tick()), SeekOffers)


def test_what_has_its_gpu_here_and_lacks_cores_is_rented_for() -> None:
    driver = at_home(cpu=9, gpu_count=1)
    driver.submit()
    driver.ask(GpusFound(gpus(1)))

    assert driver.plane.ledger.executors == {}
    assert [*driver.cloud.waiting] == ["app/f"]


def test_where_nothing_can_be_rented_nobody_asks_what_is_here() -> None:
    driver = Renter(terms=None, cpu=999, memory_mb=999_999)
    plane: Any = driver.plane
    plane.scheduler.agents.has_home = plane.scheduler.agents.home.is_joined = True
    driver.submit()

    assert len(driver.plane.ledger.executors) == 1
