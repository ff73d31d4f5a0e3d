"""A control plane rents machines, on which real agents run, and gives them back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Image
from apothic_backends.commands.machines import GetCloud, PublishImage, ReleaseMachines
from apothic_backends.connection import use
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.machines import CloudSnapshot, PublishedImage
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


@app.function(memory_mb=256, image=Image.from_registry("debian:12"))
def where() -> tuple[str, bool, str]:
    """What this runs in."""
    return (
        os.environ["OF_IMAGE"],
        "click" in sys.modules,
        os.environ.get("APOTHIC_MACHINE_IMAGE", ""),
    )


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
        env: dict[str, Any] = {"OF_IMAGE": order.image, **order.env}
        self.agents[rented.provider_id] = start_agent(
            self.url, home, "--machine", order.tag, name=order.tag, **env
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
        its, image = {"most_usd_per_hour": rent.most_usd_per_hour}, rent.image
        if image is None:
            return order(rent.tag, **its)
        env = {"APOTHIC_MACHINE_IMAGE": image.digest}
        return order(rent.tag, image=image.reference, env=env, **its)

    def revoke(self, tag: str) -> None:
        pass

    def veiled(self, text: str) -> str:
        return text


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


def test_who_cannot_ask_a_provider_is_told_what_its_control_plane_has_not_seen_to_be_gone(
    rented: Any,
) -> None:
    from apothic.cli.cloud.down import release  # workers have what is above

    server, provider = rented
    assert double.spawn(21).wait(timeout_s=120) == 42
    provider.stubborn = 1000

    assert release(server.backend, ("fly",), 30) == []  # who can will look for it
    (left,) = release(server.backend, ("vast",), 0)
    provider.stubborn = 0

    (tag,) = (it.tag for it in provider.machines.values())
    assert left == f"fly m1 ({tag})"


def test_a_function_runs_in_a_machine_that_was_made_of_its_published_image(rented: Any) -> None:
    server, provider = rented
    job = where.spawn()
    cloud: CloudSnapshot = server.backend.start(GetCloud()).wait(30)
    assert "publish it, where there is a Docker" in cloud.waiting["renting/where"]
    assert provider.orders == []

    digest = ImageSpec(base="debian:12").digest
    reference = f"registry.example.com/own@sha256:{'0' * 64}"
    server.backend.start(PublishImage(PublishedImage(digest, reference))).wait(30)

    assert job.wait(timeout_s=120) == (reference, False, "")
    assert [it.image for it in provider.orders] == [reference]
