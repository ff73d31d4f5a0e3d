"""A control plane rents machines, on which real agents run, and gives them back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App
from apothic_backends.commands.machines import GetCloud, ReleaseMachines
from apothic_backends.connection import use
from apothic_backends.model.machines import CloudSnapshot
from apothic_backends.providers.base import Order, Rented
from apothic_emulator.core.renting import Rent, Terms
from apothic_emulator.server.renting import Renting
from tests.fakes.provider import MemoryProvider, order
from tests.integration.agents.server import Server, start_agent

app = App("renting")


@app.function(memory_mb=256)
def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


class Provider(MemoryProvider):
    """Its machines are agents of this machine."""

    name = "fly"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.url = ""
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def create(self, order: Order) -> Rented:
        rented = super().create(order)
        home = self.folder / rented.provider_id
        home.mkdir()
        self.agents[rented.provider_id] = start_agent(
            self.url, home, "--machine", order.tag, name=order.tag
        )
        return rented

    def destroy(self, provider_id: str) -> None:
        super().destroy(provider_id)
        agent = self.agents.get(provider_id)
        if agent is not None:
            agent.kill()
            agent.wait()


class Papers:
    """Nobody asks for any."""

    def order(self, rent: Rent) -> Order:
        return order(rent.tag, most_usd_per_hour=rent.most_usd_per_hour)

    def revoke(self, tag: str) -> None:
        pass


@pytest.fixture
def rented(tmp_path: Path) -> Iterator[tuple[Server, Provider]]:
    provider = Provider(tmp_path)
    terms = Terms(("fly",), max_usd_per_hour=1.0)
    papers: Any = Papers()
    server = Server(lease_s=30.0, renting=Renting(terms, {"fly": provider}, papers))
    provider.url = server.url
    before = use(server.backend)
    yield server, provider
    use(before)
    for name in list(provider.agents):
        provider.destroy(name)
    server.close()


def test_a_call_has_a_machine_rented_that_goes_back_when_all_are_released(rented: Any) -> None:
    server, provider = rented

    assert double.spawn(21).wait(timeout_s=120) == 42
    cloud: CloudSnapshot = server.backend.start(GetCloud()).wait(30)
    machine = cloud.machines[0]
    assert (machine.status, machine.function, cloud.usd_per_hour) == ("up", "renting/double", 0.5)

    server.backend.start(ReleaseMachines(timeout_s=0)).wait(30)
    provider.agents[machine.provider_id].wait(60)
    assert provider.machines == {}
