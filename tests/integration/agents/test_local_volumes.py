"""A function that mounts a volume of one host: rented there with machines, and it outlives them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from apothic import App, Volume
from apothic_backends.commands.machines import AllowMachines, GetCloud, ReleaseMachines
from apothic_backends.commands.volumes import DropVolume
from apothic_backends.connection import use
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.machines import CloudSnapshot
from apothic_backends.model.volumes import HOST, LOCAL_FOLDER, LOCAL_VOLUME
from apothic_backends.placement.offers import Offer
from apothic_backends.providers.base import (
    Mount,
    Order,
    Rented,
    SeenVolume,
    VolumeListing,
    VolumeOrder,
)
from apothic_backends.ticket import Ticket
from apothic_emulator.core.renting import Rent, RentVolume, Terms
from apothic_emulator.server.accounts import Account
from apothic_emulator.server.renting import Renting
from tests.fakes.provider import MemoryProvider, offer, order
from tests.integration.agents.server import Server, start_agent

app = App("keeping")
data = Volume.create("kept", backend="vast_local")


@app.function(memory_mb=256, volumes=[data.mounted_at("/tmp/apothic-kept")])
def add(line: str) -> tuple[str, str]:
    """What is in the volume once a line is added, and on which machine."""
    path = Path("/tmp/apothic-kept/lines")
    path.write_text((path.read_text() if path.exists() else "") + line)
    return path.read_text(), os.environ["APOTHIC_FAR"]


class Disks:
    """Volumes as folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.there: dict[str, SeenVolume] = {}
        self.deleted: SimpleQueue[str] = SimpleQueue()

    def rent(self, order: VolumeOrder) -> SeenVolume:
        made = SeenVolume(f"{len(self.there) + 1}", order.label, order.host, 20.0, 0.004)
        (self.folder / made.provider_id).mkdir(parents=True)
        self.there[made.provider_id] = made
        return made

    def list(self, prefix: str) -> VolumeListing:
        return VolumeListing(tuple(it for it in self.there.values() if it.label.startswith(prefix)))

    def delete(self, provider_id: str) -> None:
        self.there.pop(provider_id, None)
        self.deleted.put(provider_id)


class Provider(MemoryProvider):
    """Its machines are agents of this machine, on two hosts."""

    name = "vast"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.url = folder, ""
        self.volumes: Any = Disks(folder / "disks")
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def offers(self, spec: FunctionSpec, disk_gb: float) -> Sequence[Offer]:
        its = offer(self.price).values
        return [
            Offer(f"o{host}", {**its, "machine_id": host, "avail_vol_size": 100.0})
            for host in (31, 32)
        ]

    def create(self, order: Order) -> Rented:
        rented = super().create(order)
        assert order.volume is not None
        home = self.folder / rented.provider_id
        home.mkdir()
        env: dict[str, Any] = {**order.env, LOCAL_FOLDER: order.volume.path}
        self.agents[rented.provider_id] = start_agent(
            self.url, home, "--machine", order.tag, name=order.tag, **env
        )
        return rented

    def destroy(self, provider_id: str) -> None:
        super().destroy(provider_id)
        agent = self.agents.pop(provider_id, None)
        if agent is not None:
            agent.kill()
            agent.wait()


class Papers:
    """Nobody asks for any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def order(self, rent: Rent) -> Order:
        assert rent.volume is not None
        mount = Mount(rent.volume.provider_id, str(self.folder / rent.volume.provider_id))
        env = {LOCAL_VOLUME: rent.volume.name, HOST: f"vast-{rent.volume.host}"}
        its: Any = {"offer": rent.offer, "most_usd_per_hour": rent.most_usd_per_hour}
        return order(rent.tag, env=env, volume=mount, **its)

    def check_volume(self, rent: RentVolume) -> None: ...

    def host_of(self, name: str) -> str | None: ...

    def revoke(self, tag: str) -> None: ...


@pytest.fixture
def rented(tmp_path: Path) -> Iterator[tuple[Server, Provider, Renting]]:
    provider = Provider(tmp_path)
    papers: Any = Papers(tmp_path / "disks")
    renting = Renting(Terms(("vast",), max_usd_per_hour=1.2), {"vast": provider}, papers)
    server = Server(lease_s=30.0, renting=renting)
    provider.url = server.url
    before = use(server.backend)
    yield server, provider, renting
    use(before)
    for name in list(provider.agents):
        provider.destroy(name)
    server.close()


def test_what_is_in_it_is_there_on_the_next_machine_of_its_host(rented: Any) -> None:
    server, provider, _ = rented

    first, machine = add.spawn("a").wait(timeout_s=120)
    server.backend.start(ReleaseMachines(timeout_s=0)).wait(30)
    server.backend.start(AllowMachines()).wait(30)
    second, other = add.spawn("b").wait(timeout_s=120)

    assert (first, second) == ("a", "ab")
    assert machine != other
    assert [it.offer.values["machine_id"] for it in provider.orders] == [31, 31]
    cloud: CloudSnapshot = server.backend.start(GetCloud()).wait(30)
    (volume,) = cloud.volumes
    assert (volume.name, volume.host, volume.status) == ("kept", "31", "there")
    assert len(provider.volumes.there) == 1


def test_it_is_deleted_at_its_provider_when_it_is_deleted_here(rented: Any) -> None:
    server, provider, renting = rented
    add.spawn("a").wait(timeout_s=120)
    server.backend.start(ReleaseMachines(timeout_s=0)).wait(30)
    account, deleted = Account("default", server.host), Ticket[None]()
    account.rents_volumes(renting)

    account.volumes.answer(DropVolume("kept"), deleted)

    deleted.wait(30)
    assert provider.volumes.deleted.get(timeout=30) == "1"
    assert renting.papers.host_of("kept") is None
