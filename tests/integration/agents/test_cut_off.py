"""Rented machines, with networks of their own, that are cut off from everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apothic_backends.commands import SubmitJob
from apothic_backends.connection import use
from tests.conformance.client import Client, arguments
from tests.fakes.fly.machines import Machine
from tests.fakes.vast.instance import Instance
from tests.remote.rented import Rented

LEASE_S, NO_CONTACT_S = 2.0, 5.0
PATIENCE_S = 120.0
NOTHING = f"nothing was heard for {NO_CONTACT_S:g} s"
IN_VAIN = "asked the provider to destroy this machine (HTTP without an answer)"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rented(tmp_path: Path) -> Iterator[Rented]:
    rented = Rented(tmp_path)
    yield rented
    rented.close()


@pytest.fixture
def client(rented: Rented) -> Iterator[Client]:
    backend = rented.open(NO_CONTACT_S, lease_s=LEASE_S)
    before = use(backend)
    yield Client(backend)
    use(before)
    backend.close()


def hang() -> None:
    threading.Event().wait()


def wait_until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def made(rented: Rented) -> tuple[list[Machine], list[Instance]]:
    """All machines: on a busy computer one may have heard nothing for too long already."""
    return [*rented.fly.machines, *rented.fly.state.gone], [*rented.vast.instances.values()]


def output(machine: Machine | Instance) -> str:
    assert machine.program is not None
    return machine.program.output()


@pytest.mark.anyio
async def test_machines_that_are_cut_off_end_by_themselves_and_cost_nothing_any_more(
    rented: Rented, client: Client
) -> None:
    cpu = await client.register(hang)
    gpu = await client.register(hang, gpu=("H100",), gpu_count=2)
    for function in (cpu, gpu):
        job = await client.backend.start(SubmitJob(function, arguments()))
        await client.until_running(job)
    fly, vast = made(rented)
    networks = [it.program and it.program.network for it in (*fly, *vast)]
    if not all(networks):
        pytest.skip("no process here may have a network of its own")

    for network in filter(None, networks):
        network.cut()

    wait_until(lambda: not rented.fly.machines)  # they go with their programs
    for machine in fly:
        assert NOTHING in output(machine)
        assert [it["type"] for it in machine.events][:2] == ["destroy", "exit"]
    for instance in vast:  # here that has to be asked for
        wait_until(lambda it=instance: IN_VAIN in output(it) or it.gone_at is not None)
    for network in filter(None, networks):
        network.mend()
    wait_until(lambda: not rented.vast.alive())
    assert all(NOTHING in output(it) for it in vast)
